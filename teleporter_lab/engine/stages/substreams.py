"""Operators on sub-streams: group_by, split_when, split_after open them, merge_substreams and concat_substreams close.

Owns their methods. What stands between the two is the flow that each sub-stream gets for itself, so every operator may
stand there, an opening one too: a closing one closes the last that is open. Refuses to let a stream run with
sub-streams that are open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import close_each
from teleporter_lab.engine.stages.nesting import Merging, Part
from teleporter_lab.engine.stages.substream import WINDOW, ByKey, ByMark, Keyed, Splitter, Tagged

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage
    from teleporter_lab.engine.stages.substream import Substream

In = TypeVar("In")
Out = TypeVar("Out")
B = TypeVar("B")


class Substreaming(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def group_by(
        self, max_substreams: int, key: Callable[[Out], Hashable], *, allow_closed_recreation: bool = False
    ) -> Flow[In, Out]:
        """Opens one sub-stream for each `key(x)`: what stands below, up to `merge_substreams`, runs for each by itself.

            orders.group_by(1000, customer_of).scan(0, add).merge_substreams()

        More than `max_substreams` keys fail the stream with TooManySubstreams; those whose sub-streams have ended by
        themselves count too, and further elements for them are left out. With `allow_closed_recreation` such an element
        opens a new sub-stream, and only those that are open count.

        Emits when: there is an element for the sub-stream.
        Waits when: as many elements as are asked for below, at most 1,024, wait for sub-streams or are in work there.
        Cancels when: all that is below the merge does.
        Tokens: pass with the elements; those of what is left out are confirmed, and counted as filtered.
        Supervised: yes, `key` by element.
        """
        if max_substreams < 1:
            raise ValueError(f"group_by needs max_substreams of 1 or more, not {max_substreams}")
        name = named("group_by", key)
        return self.then(
            name,
            lambda m, up: ByKey(Keyed(up, m, name, key), m, max_substreams, allow_closed_recreation),
            opens=True,
        )

    def split_when(self, predicate: Callable[[Out], object]) -> Flow[In, Out]:
        """Opens a new sub-stream with each element for which `predicate` is true; the first is opened in any case.

        What stands below, up to `concat_substreams` or `merge_substreams`, runs for each by itself. The elements of one
        that has ended by itself are left out up to the next.

        Emits when: there is an element for the sub-stream.
        Waits when: as many elements as are asked for below, at most 1,024, wait for sub-streams or are in work there.
        Cancels when: all that is below the merge does.
        Tokens: pass with the elements; those of what is left out are confirmed, and counted as filtered.
        Supervised: yes, by element.
        """
        name = named("split_when", predicate)
        return self.then(name, lambda m, up: ByMark(Tagged(up, m, name, predicate), m, after=False), opens=True)

    def split_after(self, predicate: Callable[[Out], object]) -> Flow[In, Out]:
        """Like `split_when`, but an element for which `predicate` is true is the last one of its sub-stream.

        Emits when: there is an element for the sub-stream.
        Waits when: as many elements as are asked for below, at most 1,024, wait for sub-streams or are in work there.
        Cancels when: all that is below the merge does.
        Tokens: pass with the elements; those of what is left out are confirmed, and counted as filtered.
        Supervised: yes, by element.
        """
        name = named("split_after", predicate)
        return self.then(name, lambda m, up: ByMark(Tagged(up, m, name, predicate), m, after=True), opens=True)

    def merge_substreams(self, parallelism: int | None = None) -> Flow[In, Out]:
        """Closes the sub-streams that were opened last, and gives what they give as it comes; each keeps its order.

        All run side by side, or up to `parallelism` of them, in the order they were opened; the others wait for one of
        these to end. A sub-stream that is slow holds up the others when all that may be under way is in it: as many
        elements as are asked for below, so a `buffer` below gives them more room. Below `group_by` sub-streams end with
        the input, so with a `parallelism` lower than the number of keys the stream stops for good as soon as 1,024
        elements wait for those that do not run. Sinks inside sub-streams are stopped when what is below stops asking.
        Values published inside cannot be asked for.

        Emits when: a sub-stream does; what several of them have goes out together, in turn.
        Completes when: the input and all sub-streams do. An error of the input comes when they have given what they
        had; a sub-stream that fails fails the stream.
        Like: Pekko's mergeSubstreams and mergeSubstreamsWithParallelism.
        """
        if parallelism is not None and parallelism < 1:
            raise ValueError(f"merge_substreams needs a parallelism of 1 or more, not {parallelism}")
        name = "merge_substreams" if parallelism is None else f"merge_substreams({parallelism})"
        return self._closed(name, parallelism)

    def concat_substreams(self) -> Flow[In, Out]:
        """Closes the sub-streams that were opened last, and gives everything from the first, then from the next.

        For `split_when` and `split_after`. Below `group_by` sub-streams end with the input, so the stream stops for
        good as soon as 1,024 elements wait for any but the first.

        Emits when: the first of the sub-streams that have not ended does.
        Completes when: the input and all sub-streams do.
        Like: Pekko's concatSubstreams.
        """
        return self._closed("concat_substreams", 1)

    def _closed(self, name: str, parallelism: int | None) -> Flow[In, Out]:
        flow = cast("Flow[In, Out]", self)
        at = max((i for i, step in enumerate(flow.steps) if step.opens), default=None)
        if at is None:
            raise ValueError(f"{name} closes the sub-streams of group_by, split_when or split_after: none is open.")
        opening, inner = flow.steps[at], type(flow)(flow.steps[at + 1 :])

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            splitter = opening.attach(m, upstream)
            if not isinstance(splitter, Splitter):
                raise AssertionError(f"{opening.name} opens no sub-streams")
            return MergeSubstreams(splitter, m, inner, parallelism)

        shown = " → ".join([opening.name, *(step.name for step in inner.steps), name])
        return type(flow)(flow.steps[:at]).then(shown, attach)


class MergeSubstreams(Merging[B]):
    __slots__ = ("_flow", "_late", "_most", "_splitter")

    def __init__(self, splitter: Splitter[Any], m: Materializer, flow: Flow[Any, B], parallelism: int | None) -> None:
        super().__init__(m)
        self._splitter = splitter
        self._flow = flow
        self._most = parallelism
        self._late: Exception | None = None
        """What the first sub-stream made of the error from above."""
        splitter.rouse = self.together.rouse

    def _may_run(self) -> bool:
        return self._most is None or len(self.together) < self._most

    def go_on(self, n: int) -> bool:
        splitter, together = self._splitter, self.together
        splitter.want = min(n, WINDOW)
        while splitter.opened and self._may_run():
            self._run(splitter.opened.popleft())
        splitter.more = self._may_run()
        together.start(n)
        splitter.read()
        return len(together) > 0 or not splitter.over

    def _run(self, substream: Substream[Any]) -> None:
        part: Part[B] = Part(self.m, lambda m: self._flow.attach(m, substream.begin(m)))
        self.together.add(part, substream)

    def fails_with(self, error: Exception) -> bool:
        """An error from above comes to each of them, and counts when all have given what they had."""
        if self._splitter.failure is None:
            return True
        self._late = self._late or error
        return False

    def end(self) -> Exception | None:
        return self._late or self._splitter.failure

    async def pull(self, n: int) -> Chunk[B] | None:
        try:
            return await super().pull(n)
        finally:
            self._splitter.want = 0  # nothing is read ahead for nobody

    async def on_close(self) -> None:
        self._splitter.closing = True
        await close_each(self.together.close, self._splitter.close)
