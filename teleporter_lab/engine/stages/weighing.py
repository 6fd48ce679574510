"""What an element weighs, costs or waits: a number that a user's function gives for it.

Owns the stage that asks for the number, by element and under supervision, and the guess how many elements make up a
weight that is left, so that no more is read than will be used. Refuses to decide what the number is for.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from teleporter_lab.engine.stages.transform import Calling
from teleporter_lab.engine.turnstile import MAX_CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


def checked(number: Any) -> float:
    """The number. Raises ValueError for one below 0, for infinity and for what is no number."""
    if not 0 <= number < inf:
        raise ValueError(f"A finite number of 0 or more is needed for an element, not {number!r}.")
    return number


class Weighed(Calling[T, tuple[T, float]]):
    """Each element together with its number."""

    __slots__ = ()

    def work(self, elements: Iterator[T], out: list[tuple[T, float]]) -> None:
        weigh, add = self.function, out.append
        for element in elements:
            add((element, checked(weigh(element))))


class Typical:
    """What elements weighed so far, on average, the last ones counting most."""

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean: float | None = None

    def saw(self, elements: int, weight: float) -> None:
        """`elements` together weighed `weight`."""
        mean = weight / elements
        self._mean = mean if self._mean is None else self._mean + (mean - self._mean) / 4

    def count(self, weight: float) -> int:
        """How many elements weigh `weight`, at least 1; 1 as long as none was seen."""
        if self._mean is None:
            return 1
        return max(1, int(min(weight / self._mean, MAX_CHUNK))) if self._mean > 0 else MAX_CHUNK
