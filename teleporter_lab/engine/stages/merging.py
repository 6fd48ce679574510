"""Operators that merge sources by their elements: merge_sorted, merge_latest, merge_sequence.

Owns their methods and stages. Each source is pulled by a task of its own, one chunk ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk, account_change, join
from teleporter_lab.engine.failure import FAILURES, RowsNeeded, failure_of
from teleporter_lab.engine.heads import Heads
from teleporter_lab.engine.marks import Marked, Marking, Numbering
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stages.fan_in import Merge, ahead, stages
from teleporter_lab.engine.supervision import explain

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.ack import Token
    from teleporter_lab.engine.graph import Flow, Source
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Merging(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def merge_sorted(self, other: Source[Out], key: Callable[[Out], Any] | None = None) -> Flow[In, Out]:
        """Merges this flow and `other`, both sorted by `key(x)` (or themselves), into one that is sorted too.

        Of equals, those of this flow come first. What is not sorted above is not sorted below. Elements that cannot
        be compared fail the stream.

        Emits when: both have an element, or one has after the other has ended.
        Completes when: both have.
        Supervised: yes, `key` by element.
        """
        name = "merge_sorted" if key is None else named("merge_sorted", key)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            if key is None:
                return Sorted(ahead(m, upstream, other), m, name)
            made = (Marking(stage, of, m.name or name, key) for of, stage in stages(m, upstream, other))
            return Sorted([Ahead(stage, m.spawn) for stage in made], m, name)

        return self.then(name, attach)

    @overload
    def merge_latest(self, first: Source[A], /, *, eager: bool = False) -> Flow[In, tuple[Out, A]]: ...
    @overload
    def merge_latest(
        self, first: Source[A], second: Source[B], /, *, eager: bool = False
    ) -> Flow[In, tuple[Out, A, B]]: ...
    @overload
    def merge_latest(
        self, first: Source[A], second: Source[B], third: Source[C], /, *, eager: bool = False
    ) -> Flow[In, tuple[Out, A, B, C]]: ...
    @overload
    def merge_latest(self, *others: Source[Any], eager: bool = False) -> Flow[In, tuple[Any, ...]]: ...
    def merge_latest(self, *others: Source[Any], eager: bool = False) -> Flow[In, tuple[Any, ...]]:
        """Tuples of the latest element here and of each of `others`: one for each that comes, once all gave one.

        Elements that are replaced before the first tuple are left out.

        Emits when: one of them has an element and all others gave one before.
        Completes when: all have, or with the first when `eager`; also when one ends that gave none.
        Tokens: a tuple answers for the record whose element came, the first one also for those of the others; those
            of elements left out are counted as filtered.
        """
        return self.then("merge_latest", lambda m, up: Latest(ahead(m, up, *others), m, "merge_latest", eager))

    def merge_sequence(self, *others: Source[Out], sequence: Callable[[Out], int]) -> Flow[In, Out]:
        """Puts elements of this flow and of `others` into the order of `sequence(x)`: 0, 1, 2 and so on.

        In each of them the numbers rise, and no two elements have the same. A number that comes twice or is missing
        fails the stream with SequenceBroken.

        Emits when: the next number is there.
        Waits when: nothing below asks, or the source that has the next number has not given it.
        Completes when: all have.
        Supervised: yes, `sequence` by element; one that is left out is missing.
        """
        name = named("merge_sequence", sequence)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            made = (Numbering(stage, of, m.name or name, sequence) for of, stage in stages(m, upstream, *others))
            return Sequenced([Ahead(stage, m.spawn) for stage in made], m, name)

        return self.then(name, attach)


class SequenceBroken(ValueError):
    """The numbers of the elements are not 0, 1, 2 and so on."""

    @classmethod
    def late(cls, number: int, expected: int) -> SequenceBroken:
        return cls(f"Number {number} comes twice or out of order: {expected} is next.")

    @classmethod
    def gap(cls, expected: int, found: list[int]) -> SequenceBroken:
        return cls(f"Number {expected} is missing: the sources go on with {', '.join(map(str, sorted(found)))}.")


class Sorted(Heads[Any]):
    """Merges two sorted heads as far as both go."""

    __slots__ = ()

    def ready(self) -> bool:
        return any(self.heads) and not self.missing

    def give(self, n: int) -> Chunk[Any] | None:
        left, right = self.heads
        if left is None or right is None:
            return self.take(1 if left is None else 0, n)
        data: list[Any] = []
        counts = [0, 0]
        try:
            _merge(left, right, n, data, counts)
        except FAILURES as error:
            if not data:  # else what was merged goes out first
                self.fail(
                    explain(failure_of(error), self.name, (left.data[0], right.data[0]), "comparing"), left, right
                )
                return None
        pieces = [self.take(i, count) for i, count in enumerate(counts) if count]
        return Chunk(data, join(pieces).tokens)


def _merge(left: Chunk[Any], right: Chunk[Any], n: int, data: list[Any], counts: list[int]) -> None:
    """Appends up to `n` elements in order, as long as both sides have some; `counts` says how many of each."""
    here, there = (head.marks if isinstance(head, Marked) else head.data for head in (left, right))
    while len(data) < n and counts[0] < len(left) and counts[1] < len(right):
        i, j = counts
        if there[j] < here[i]:
            data.append(right.data[j])
            counts[1] += 1
        else:
            data.append(left.data[i])
            counts[0] += 1


class Latest(Merge[Any]):
    """`_kept` is the last element of each source, until all of them gave one; from then on they are in `_latest`."""

    __slots__ = ("_kept", "_latest", "_missing", "_name")

    def __init__(self, sources: list[Ahead[Any]], m: Materializer, name: str, eager: bool) -> None:
        super().__init__(sources, m, eager)
        self._name = m.name or name
        self._latest: list[Any] = [None] * len(sources)
        self._missing = set(range(len(sources)))
        self._kept: dict[int, Chunk[Any]] = {}

    def accept(self, source: Ahead[Any], chunk: Chunk[Any]) -> Chunk[Any] | None:
        super().accept(source, chunk)
        i = self.sources.index(source)
        if type(chunk.data) is not list:
            self.failure = RowsNeeded(self._name)
            chunk.refuse(self.failure)
            return None
        self._missing.discard(i)
        if self._missing:
            self._keep(i, chunk)
            return None
        before, after = tuple(self._latest[:i]), tuple(self._latest[i + 1 :])
        data = [(*before, element, *after) for element in chunk.data]
        self._latest[i] = chunk.data[-1]
        return Chunk(data, self._tokens(chunk))

    def ended(self, source: Ahead[Any], error: Exception | None) -> bool:
        return super().ended(source, error) or self.sources.index(source) in self._missing

    def _keep(self, i: int, chunk: Chunk[Any]) -> None:
        """Keeps the last element; the others, and one that was kept before, are left out."""
        replaced = self._kept.pop(i, None)
        if replaced is not None:
            account_change(replaced.tokens, 1, 0)
            replaced.confirm()
        account_change(chunk.tokens, len(chunk), 1)
        self._kept[i] = Chunk(chunk.data[-1:], chunk.tokens)
        self._latest[i] = chunk.data[-1]

    def _tokens(self, chunk: Chunk[Any]) -> tuple[Token, ...]:
        """What the tuples for the elements of `chunk` answer with."""
        owners = [part for part in (*self._kept.values(), chunk) if part.tokens]
        self._kept = {}
        for owner in owners[:-1]:
            owner.tokens[-1].account("merged", len(owner))
        if owners:
            account_change(owners[-1].tokens, len(owners[-1]), len(chunk))
        return tuple(token for owner in owners for token in owner.tokens)


class Sequenced(Heads[Any]):
    """Gives the head whose first number is the next one, as far as its numbers go on."""

    __slots__ = ("_next",)

    def __init__(self, sources: list[Ahead[Any]], m: Materializer, name: str) -> None:
        super().__init__(sources, m, name)
        self._next = 0

    def _first(self, i: int) -> int | None:
        """The number of the first element of a head."""
        head = self.heads[i]
        return None if head is None else cast("Marked[Any]", head).marks[0]

    def ready(self) -> bool:
        """Whether the next number is there, or cannot come any more."""
        numbers = [number for i in range(len(self.heads)) if (number := self._first(i)) is not None]
        return bool(numbers) and (min(numbers) <= self._next or not self.missing)

    def give(self, n: int) -> Chunk[Any] | None:
        found = {number: i for i in range(len(self.heads)) if (number := self._first(i)) is not None}
        least = min(found)
        head = cast("Marked[Any]", self.heads[found[least]])
        if least < self._next:
            self.fail(SequenceBroken.late(least, self._next), head)
            return None
        if least > self._next:
            self.fail(SequenceBroken.gap(self._next, list(found)))
            return None
        count = 0
        while count < min(n, len(head)) and head.marks[count] == self._next:
            count += 1
            self._next += 1
        return self.take(found[least], count)
