"""What is above sub-streams: elements shared out by key, or at marked elements.

Owns how much is read for all sub-streams together, and what waits for which of them. An element that was read is either
held here, or in work in its sub-stream until that gives something or asks again; the two together are bounded. Refuses
to run the sub-streams; `substreams` does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk, Held, account_change
from teleporter_lab.engine.stage import Stage, switched_off
from teleporter_lab.engine.stages.transform import Calling

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from types import TracebackType

    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.turnstile import Pace

T = TypeVar("T")

WINDOW = 1024
"""Elements that may wait for sub-streams, or be in work in them, all together."""


class TooManySubstreams(RuntimeError):
    """One key more than `group_by` was told to expect."""

    def __init__(self, number: int, key: Any) -> None:
        super().__init__(f"There are more than {number} sub-streams: {key!r} would be one more. Raise max_substreams.")
        self.number = number
        self.key = key


class Tagged(Calling[T, tuple[Any, T]]):
    """Each element with what the user's function gives for it."""

    __slots__ = ()

    def work(self, elements: Iterator[T], out: list[tuple[Any, T]]) -> None:
        function, add = self.function, out.append
        for element in elements:
            add((function(element), element))


class Keyed(Tagged[T]):
    """Each element with its key, which can be one."""

    __slots__ = ()

    def work(self, elements: Iterator[T], out: list[tuple[Any, T]]) -> None:
        function, add = self.function, out.append
        for element in elements:
            key = function(element)
            hash(key)
            add((key, element))


class Substream(Stage[T]):
    """What is above one sub-stream: the elements that are meant for it."""

    __slots__ = ("_held", "_of", "_pace", "_running", "_wake", "_work", "finished", "key", "used")

    def __init__(self, of: Splitter[T], key: Any = None) -> None:
        super().__init__()
        self.key = key
        self.finished = False
        """Whether no more elements come for it, although the stream goes on."""
        self.used = False
        """Whether it has taken an element."""
        self._of = of
        self._held: Held[T] = Held()
        self._work = 0
        """Elements taken since it last asked or gave something."""
        self._running = False
        self._pace: Pace | None = None
        self._wake: asyncio.Future[None] | None = None

    def begin(self, m: Materializer) -> Stage[T]:
        """It is run from now on, by a task of its own."""
        self._pace = m.pace()
        self._running = True
        self._of.running += self._held.count
        return self

    def give(self, chunk: Chunk[T]) -> None:
        """Elements for it; left out when it wants no more."""
        if self._closed:
            leave_out(chunk)
            return
        self._held.add(chunk)
        self._load(len(chunk))
        self.rouse()

    def _load(self, n: int) -> None:
        self._of.load += n
        if self._running:
            self._of.running += n

    def rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def finish(self) -> None:
        """No more elements come for it."""
        self.finished = True
        self.rouse()

    async def pull(self, n: int) -> Chunk[T] | None:
        pace = self._pace
        if pace is None:
            raise AssertionError("a sub-stream is begun before it is pulled")
        self._resolve()
        fit = pace.fit(n)
        while not self._held.count:
            if self.finished or self._of.over:
                return self._of.end(self)
            await self._more()
        await pace.turn()
        chunk = self._held.take(min(fit, self._held.count))
        self.used = True
        self._work += len(chunk)
        pace.gave(len(chunk))
        return chunk

    async def _more(self) -> None:
        self._of.hungry += 1
        self._wake = asyncio.get_running_loop().create_future()
        try:
            self._of.read()
            await self._wake
        finally:
            self._wake = None
            self._of.hungry -= 1

    def _resolve(self) -> None:
        """What it took is dealt with."""
        self._load(-self._work)
        self._work = 0

    def out(self, chunk: Chunk[Any]) -> Chunk[Any]:
        """It has given something: what it took is dealt with."""
        self._resolve()
        return chunk

    def over(self, error: Exception | None) -> None:
        """It has ended; what is above it was told when it was closed."""

    def rest(self) -> Chunk[T] | None:
        """What waits for it, taken away."""
        count = self._held.count
        return self._held.take(count) if count else None

    async def on_close(self) -> None:
        self._resolve()
        self._load(-self._held.count)
        if switched_off() and not self._of.closing:
            self._of.closing = True
            self._of.fail(None)
            self._of.rouse()
        self._of.left(self)


def leave_out(chunk: Chunk[Any]) -> None:
    """Elements of a sub-stream that has ended."""
    account_change(chunk.tokens, len(chunk), 0)
    chunk.confirm()


class Splitter(Stage[T], Generic[T]):
    """Reads what is above, by a task of its own, and shares it out. Subclasses say which element goes where.

    It is not pulled: whoever runs the sub-streams sets `want`, takes them from `opened` and asks it to `read`.
    """

    __slots__ = (
        "_ahead", "_traceback", "closing", "failure", "hungry", "load", "more", "opened", "over", "rouse", "running",
        "want",
    )  # fmt: skip

    def __init__(self, upstream: Stage[tuple[Any, T]], m: Materializer) -> None:
        super().__init__()
        self._ahead = Ahead(upstream, m.spawn)
        self.opened: deque[Substream[T]] = deque()
        """New ones, which nobody runs yet."""
        self.over = False
        self.failure: Exception | None = None
        self._traceback: TracebackType | None = None
        self.closing = False
        """Whether the sub-streams are closed because nobody wants anything any more, or a kill switch was fired."""
        self.rouse: Callable[[], None] = _nobody
        """Tells whoever runs the sub-streams."""
        self.want = 0
        """Elements that are asked for below."""
        self.more = True
        """Whether another sub-stream may be run."""
        self.load = self.running = self.hungry = 0
        """Elements held or in work, of all sub-streams and of those that run; running ones that wait for elements."""

    def share(self, chunk: Chunk[tuple[Any, T]]) -> None:
        """Gives each element to the sub-stream it is meant for."""
        raise AssertionError(f"{type(self).__name__} does not say where its elements go")

    def open_ones(self) -> list[Substream[T]]:
        """Those that wait for the end of the stream."""
        raise AssertionError(f"{type(self).__name__} does not say which are open")

    def left(self, substream: Substream[T]) -> None:
        """It wants no more elements."""

    def open(self, key: Any = None) -> Substream[T]:
        substream = Substream(self, key)
        self.opened.append(substream)
        return substream

    def read(self) -> None:
        """Reads on, where somebody waits for it, as much as is wanted below and is not there yet."""
        if self.over or self._ahead.started:
            return
        if self.opened if self.more else not self.hungry:  # new ones are run first; or nobody waits
            return
        room = min(self.want - self.running, WINDOW - self.load)
        if room > 0:
            self._ahead.start(room).add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self.closing:  # what came is not meant to be left out: it stays un-confirmed
            return
        outcome = self._ahead.outcome(WINDOW)
        if isinstance(outcome, Chunk):
            try:
                self.share(outcome)
            except Exception as error:  # noqa: BLE001 - a key that cannot be compared; nobody awaits a callback
                self.fail(error)
        else:
            self.fail(outcome)
        self.read()
        self.rouse()

    def fail(self, error: Exception | None) -> None:
        """The stream has ended, or failed with `error`."""
        self.over, self.failure = True, error
        self._traceback = None if error is None else error.__traceback__
        for substream in self.open_ones():
            substream.rouse()

    def end(self, substream: Substream[T]) -> None:
        """What a sub-stream comes to that has no more elements. Raises the one error in each of them."""
        if self.failure is not None and not substream.finished:
            raise self.failure.with_traceback(self._traceback)

    async def on_close(self) -> None:
        await self._ahead.close()


def _nobody() -> None:
    """Nobody is told."""


def pieces(chunk: Chunk[Any], lists: list[list[T]]) -> list[Chunk[T]]:
    """Chunks of the `lists`, which are together what `chunk` has; all answer for the same records."""
    for token in chunk.tokens:
        token.retain(len(lists) - 1)
    return [Chunk(data, chunk.tokens) for data in lists]


class ByKey(Splitter[T]):
    """One sub-stream a key."""

    __slots__ = ("_again", "_ended", "_most", "_open")

    def __init__(self, upstream: Stage[tuple[Any, T]], m: Materializer, most: int, again: bool) -> None:
        super().__init__(upstream, m)
        self._most = most
        self._again = again
        self._open: dict[Hashable, Substream[T]] = {}
        self._ended: set[Hashable] = set()
        """Keys whose sub-streams have ended, for good."""

    def open_ones(self) -> list[Substream[T]]:
        return list(self._open.values())

    def share(self, chunk: Chunk[tuple[Any, T]]) -> None:
        lists: dict[Hashable, list[T]] = {}
        shared = 0
        failure: TooManySubstreams | None = None
        for key, element in chunk.data:
            if key not in lists:
                if not self._has_room(key):
                    failure = TooManySubstreams(self._most, key)
                    break
                lists[key] = []
            lists[key].append(element)
            shared += 1
        rest = [element for _, element in chunk.data[shared:]]
        parts = pieces(chunk, [*lists.values(), rest] if rest else [*lists.values()])
        for key, part in zip(lists, parts, strict=False):
            self._give(key, part)
        if failure is not None:
            parts[-1].refuse(failure)
            self.fail(failure)

    def _has_room(self, key: Hashable) -> bool:
        """Whether there is a sub-stream for `key`, which may be a new one, or was one."""
        if key not in self._open and key not in self._ended:
            if len(self._open) + len(self._ended) >= self._most:
                return False
            self._open[key] = self.open(key)
        return True

    def _give(self, key: Hashable, chunk: Chunk[T]) -> None:
        substream = self._open.get(key)
        if substream is None:
            leave_out(chunk)
        else:
            substream.give(chunk)

    def left(self, substream: Substream[T]) -> None:
        if self.closing:
            return
        key, rest = substream.key, substream.rest()
        del self._open[key]
        if not self._again:
            self._ended.add(key)
        if rest is None:
            return
        if self._again and substream.used:
            self._has_room(key)
            self.rouse()
        self._give(key, rest)


class ByMark(Splitter[T]):
    """A new sub-stream with each marked element, or after it. One that ended early is not begun again in between."""

    __slots__ = ("_after", "_current")

    def __init__(self, upstream: Stage[tuple[Any, T]], m: Materializer, after: bool) -> None:
        super().__init__(upstream, m)
        self._after = after
        self._current: Substream[T] | None = None

    def open_ones(self) -> list[Substream[T]]:
        return [] if self._current is None else [self._current]

    def share(self, chunk: Chunk[tuple[Any, T]]) -> None:
        runs: list[tuple[Substream[T], list[T]]] = []
        done: list[Substream[T]] = []
        current, run = self._current, list[T]()
        for marked, element in chunk.data:
            if current is None or (marked and not self._after):
                if current is not None:
                    done.append(current)
                current, run = self.open(), []
            if not run:
                runs.append((current, run))
            run.append(element)
            if marked and self._after:
                done.append(current)
                current, run = None, []
        self._current = current
        parts = pieces(chunk, [run for _, run in runs])
        for (substream, _), part in zip(runs, parts, strict=True):
            substream.give(part)
        for substream in done:
            substream.finish()

    def left(self, substream: Substream[T]) -> None:
        rest = substream.rest()
        if rest is not None and not self.closing:
            leave_out(rest)
