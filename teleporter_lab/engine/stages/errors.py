"""Operators that change what an error does to the stream below: recover, map_error.

Owns their methods and stages. An element's own failure is the supervision's matter; these see what it let through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through
from teleporter_lab.engine.supervision import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class Recovering(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def recover(self, function: Callable[[Exception], Out]) -> Flow[In, Out]:
        """Gives `function(error)` as a last element when what is above fails, then the end.

        The failed records stay un-confirmed; the last element answers for none.
        """
        return self.then(named("recover", function), lambda m, up: Recover(up, function))

    def map_error(self, function: Callable[[Exception], Exception]) -> Flow[In, Out]:
        """Fails with `function(error)` when what is above fails with `error`."""
        return self.then(named("map_error", function), lambda m, up: MapError(up, function))


class Recover(Through[T, T]):
    __slots__ = ("_function", "_over")

    def __init__(self, upstream: Stage[T], function: Callable[[Exception], T]) -> None:
        super().__init__(upstream)
        self._function = function
        self._over = False

    async def pull(self, n: int) -> Chunk[T] | None:
        if self._over:
            return None
        outcome = await attempt(self.upstream, n)
        if not isinstance(outcome, Exception):
            return outcome
        last = self._function(outcome)
        self._over = True
        return Chunk([last])


class MapError(Through[T, T]):
    __slots__ = ("_function",)

    def __init__(self, upstream: Stage[T], function: Callable[[Exception], Exception]) -> None:
        super().__init__(upstream)
        self._function = function

    async def pull(self, n: int) -> Chunk[T] | None:
        outcome = await attempt(self.upstream, n)
        if isinstance(outcome, Exception):
            raise self._function(outcome) from outcome
        return outcome
