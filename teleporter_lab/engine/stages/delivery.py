"""Operators of delivery, which are ours: source_ack, confirm, switch_channel, dead_letter, dedupe_window.

Owns where a record loses its token before the sink does, and where elements go that a rule put aside. `source_ack` has
the stage where it gets a token, `dead_letters` the place for what is put aside.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.dead_letters import DeadLetter, LetterBox
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.redelivery import AckPolicy
from teleporter_lab.engine.stage import Stage, Through
from teleporter_lab.engine.stages.source_ack import SourceAck
from teleporter_lab.engine.supervision import Supervised
from teleporter_lab.errors import AckError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.graph import Flow, Sink
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stages.source_ack import HasPosition

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class Delivering(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def source_ack(self, window: AckWindow, max_age: float = inf, max_deliveries: int = -1) -> Flow[In, Out]:
        """Gives each chunk a token of `window`, which holds its records until everything below has confirmed them.

        Records that are not confirmed within `max_age` seconds are delivered again, before new ones, and only to the
        channels that have not confirmed them; what comes of the older delivery then counts no more. After
        `max_deliveries` (-1: without end) that is a failure, NotConfirmed. Records whose delivery was given back with
        `nack` are a failure at once, with the error it was given back with. When the source has ended, nothing is
        delivered again that is on its way.

        Stands directly below a source that knows its position. The window serves one run: a second one raises AckError.

        Emits when: there is input and room in the window, or records are to be delivered again.
        Waits when: the window is full.
        Tokens: made here, one for each chunk.
        Supervised: yes, by chunk, with the attributes of its source. retry and reload deliver its records again, after
            the delay of the rule; resume leaves them out; deadLetter puts each aside; a stage that fails the stream
            asks nobody here.
        """
        policy = AckPolicy(max_age, max_deliveries)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            if not hasattr(type(upstream), "position"):
                raise AckError("source_ack stands directly below a source that knows its position.")
            return SourceAck(cast("HasPosition", upstream), window, m, policy)

        return self.then("source_ack", attach)

    def confirm(self) -> Flow[In, Out]:
        """Confirms the records of every element here, before it goes on: what is below answers for nothing.

        For a flow that stores records on its way (a writer in the middle) and goes on with what is not worth a retry.

        Emits when: there is input.
        Tokens: settled, and counted as written.
        """
        return self.then("confirm", lambda _, up: Confirm(up))

    def switch_channel(self, channel: int) -> Flow[In, Out]:
        """From here on elements answer for `channel` of the ack window alone (`channelSize` of them, from 0).

        What is delivered again and the channel has confirmed before goes no further: it is settled, and counted as
        written.

        Emits when: there is input.
        Tokens: moved to the channel. A channel that does not exist fails the stream with AckError.
        """
        if channel < 0:
            raise ValueError(f"switch_channel needs a channel from 0 on, not {channel}.")
        return self.then(f"switch_channel({channel})", lambda _, up: SwitchChannel(up, channel))

    def dead_letter(self, sink: Sink[DeadLetter, Any]) -> Flow[In, Out]:
        """Sends every element that a rule puts aside, in all of the flow so far, to `sink`, and goes on without it.

        Emits when: there is input.
        Waits when: nothing below asks, or the sink has not stored a dead letter yet.
        Tokens: those of a dead letter are confirmed, and counted as dead-lettered, when the sink has confirmed it.
        """

        def attach(m: Materializer, flow: Flow[In, Out], upstream: Any) -> Stage[Any]:
            box = LetterBox(m)
            side = m.branch()
            inside = m.within(name=m.name, dead_letters=box)
            inside.tasks = box
            stage = flow.attach(inside, upstream)
            m.spawn(box.served(side.drive(sink.attach(side, box.letters))))
            return DeadLettering(stage, box)

        return cast("Flow[In, Out]", self).enclosed(f"dead_letter({sink})", attach)

    def dedupe_window(self, size: int, key: Callable[[Out], Hashable] | None = None) -> Flow[In, Out]:
        """Leaves out elements whose key (or which themselves) are among the last `size` different ones that passed.

        The window lives in memory, for one run: it takes out what a source repeats, not what a restart reads again.

        Emits when: an element is new.
        Tokens: those of what is left out are confirmed, and counted as filtered.
        Supervised: yes, `key` by element.
        """
        if size < 1:
            raise ValueError(f"dedupe_window needs a size of 1 or more, not {size}.")
        name = f"dedupe_window({size})" if key is None else named("dedupe_window", key)
        return self.then(name, lambda m, up: DedupeWindow(up, m, name, size, key))


class Confirm(Through[T, T]):
    __slots__ = ()

    async def pull(self, n: int) -> Chunk[T] | None:
        chunk = await self.upstream.pull(n)
        if chunk is None:
            return None
        chunk.written()
        return Chunk(chunk.data)


class SwitchChannel(Through[T, T]):
    __slots__ = ("_channel",)

    def __init__(self, upstream: Stage[T], channel: int) -> None:
        super().__init__(upstream)
        self._channel = channel

    async def pull(self, n: int) -> Chunk[T] | None:
        channel = self._channel
        while True:
            chunk = await self.upstream.pull(n)
            if chunk is None or not chunk.tokens:
                return chunk
            if any(token.wants(channel) for token in chunk.tokens):
                return Chunk(chunk.data, tuple(token.switch(channel) for token in chunk.tokens))
            chunk.written()


class DeadLettering(Through[T, T]):
    """Ends the letter box when nothing above can fail any more."""

    __slots__ = ("_box",)

    def __init__(self, upstream: Stage[T], box: LetterBox) -> None:
        super().__init__(upstream)
        self._box = box

    async def pull(self, n: int) -> Chunk[T] | None:
        chunk = await self.upstream.pull(n)
        if chunk is None:
            self._box.end()
        return chunk

    async def on_close(self) -> None:
        try:
            await super().on_close()
        finally:
            self._box.end()


class DedupeWindow(Supervised[T, T]):
    __slots__ = ("_key", "_seen", "_size")

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, size: int, key: Callable[[T], Hashable] | None
    ) -> None:
        super().__init__(upstream, m, name)
        self._size = size
        self._key = key
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        seen, key, size = self._seen, self._key, self._size
        for element in elements:
            mark = cast("Hashable", element) if key is None else key(element)
            if mark in seen:
                seen.move_to_end(mark)
                continue
            seen[mark] = None
            if len(seen) > size:
                seen.popitem(last=False)
            out.append(element)
