"""Operators that pair the elements of two sources: zip, zip_with, zip_all, zip_latest, zip_latest_with.

Owns their methods and the stage that pairs. Each source is pulled by a task of its own, one chunk ahead. Tokens: a pair
answers for the records of both sides.
"""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.heads import Heads
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stages.fan_in import ahead
from teleporter_lab.engine.stages.merging import Latest
from teleporter_lab.engine.supervision import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.ahead import Ahead
    from teleporter_lab.engine.graph import Flow, Source
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage

In = TypeVar("In")
Out = TypeVar("Out")
Other = TypeVar("Other")
Here = TypeVar("Here")
There = TypeVar("There")
A = TypeVar("A")
B = TypeVar("B")


class Zipping(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def zip(self, other: Source[Other]) -> Flow[In, tuple[Out, Other]]:
        """Pairs of the n-th element here and the n-th of `other`.

        Emits when: both have an element.
        Completes when: either does. An element that has no partner yet is not given, and stays un-confirmed.
        Tokens: a pair answers for the records of both.
        """
        return self.then("zip", lambda m, up: Zip(ahead(m, up, other), m, "zip"))

    def zip_with(self, other: Source[Other], function: Callable[[Out, Other], B]) -> Flow[In, B]:
        """`function(x, y)` of the n-th element here and the n-th of `other`.

        Emits when: both have an element.
        Completes when: either does. An element that has no partner yet is not given, and stays un-confirmed.
        Tokens: a result answers for the records of both.
        Supervised: yes, by pair.
        """
        name = named("zip_with", function)
        return self.then(name, lambda m, up: Unpacked(Zip(ahead(m, up, other), m, name), m, name, function))

    def zip_all(
        self, other: Source[Other], here_default: Here, there_default: There
    ) -> Flow[In, tuple[Out | Here, Other | There]]:
        """Like `zip`, but goes on to the end of the longer side.

        What has no partner is paired with `here_default` in the place of an element of this flow, or `there_default`
        in the place of one of `other`.

        Emits when: both have an element, or one has after the other has ended.
        Completes when: both have.
        Tokens: a pair answers for the records of both.
        """
        defaults = (here_default, there_default)
        return self.then("zip_all", lambda m, up: ZipAll(ahead(m, up, other), m, "zip_all", defaults))

    def zip_latest(self, other: Source[Other]) -> Flow[In, tuple[Out, Other]]:
        """Pairs of the latest element here and the latest of `other`: one for each that comes, once both gave one.

        Elements that are replaced before the first pair are left out.

        Emits when: either has an element and the other gave one before.
        Completes when: either does.
        Tokens: a pair answers for the record whose element came, the first one also for that of the other; those of
            elements left out are counted as filtered.
        """
        return self.then("zip_latest", lambda m, up: Latest(ahead(m, up, other), m, "zip_latest", True))

    def zip_latest_with(self, other: Source[Other], function: Callable[[Out, Other], B]) -> Flow[In, B]:
        """`function(x, y)` of the latest element here and the latest of `other`: a result for each that comes.

        The first comes when both gave one. Elements that are replaced before are left out.

        Emits when: either has an element and the other gave one before.
        Completes when: either does.
        Tokens: like `zip_latest`.
        Supervised: yes, by pair.
        """
        name = named("zip_latest_with", function)
        return self.then(name, lambda m, up: Unpacked(Latest(ahead(m, up, other), m, name, True), m, name, function))


class Unpacked(Supervised[Any, B], Generic[B]):
    """Calls the function with the two of each pair."""

    __slots__ = ("_function",)

    def __init__(self, upstream: Stage[Any], m: Materializer, name: str, function: Callable[[Any, Any], B]) -> None:
        super().__init__(upstream, m, name)
        self._function = function

    def work(self, elements: Iterator[Any], out: list[B]) -> None:
        out.extend(starmap(self._function, elements))


class Zip(Heads[Any]):
    """Whoever ends first ends all."""

    __slots__ = ()

    def ready(self) -> bool:
        return all(self.heads)

    def ends(self) -> bool:
        return True

    def give(self, n: int) -> Chunk[Any]:
        count = min(n, *(len(head) for head in self.heads if head is not None))
        left, right = [self.half(i, count) for i in (0, 1)]
        if left.tokens and right.tokens:
            left.tokens[-1].account("merged", count)
        return Chunk(list(zip(left.data, right.data, strict=True)), (*left.tokens, *right.tokens))

    def half(self, i: int, count: int) -> Chunk[Any]:
        return self.take(i, count)


class ZipAll(Zip):
    __slots__ = ("_defaults",)

    def __init__(self, sources: list[Ahead[Any]], m: Materializer, name: str, defaults: tuple[Any, Any]) -> None:
        super().__init__(sources, m, name)
        self._defaults = defaults

    def ready(self) -> bool:
        return any(self.heads) and not self.missing

    def ends(self) -> bool:
        return self.gone(0) and self.gone(1)

    def half(self, i: int, count: int) -> Chunk[Any]:
        return Chunk([self._defaults[i]] * count) if self.gone(i) else self.take(i, count)
