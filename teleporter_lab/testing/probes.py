"""Streams by hand: a source whose every chunk a test gives out, and a sink or a stage pulled as the test says.

Owns what a test of an operator needs to see: the demand that reached the source, how often it was closed, the tokens of
what came out. `pulled` is for one operator, `SourceProbe` and `SinkProbe` for a whole graph that runs.

    source, sink = SourceProbe(wait=True), SinkProbe()
    run = asyncio.create_task(source.as_source().map(str).to(sink.as_sink()).run())
    source.give([1, 2, 3])
    assert await sink.pull(2) == ["1", "2"]
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.graph import Flow, Sink, Source, source
from teleporter_lab.engine.run import Materializer, Runtime, Tasks, lone
from teleporter_lab.engine.stage import Stage, Terminal, close_fully, give_up
from teleporter_lab.engine.supervision import StopOnError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.supervision import DeadLetters, Supervisor

END: Any = object()
"""Given to a probe: the source ends here."""


class SourceProbe(Stage[Any]):
    """Gives what `script` says, chunk by chunk: a list of elements, an exception to raise, or `END`.

    With `wait`, a pull for which the script has nothing waits for `give`; else the source ends there. Each pull takes
    `passes` of the event loop. `demands` are the pulls that reached it, `closes` counts `close`; `given` counts
    elements and is the position. `window` acknowledges. Refuses two pulls at once, and a pull after `close`.
    """

    def __init__(
        self, script: Iterable[Any] = (), *, window: AckWindow | None = None, wait: bool = False, passes: int = 0
    ) -> None:
        super().__init__()
        self.demands: list[int] = []
        self.closes = 0
        self.given = 0
        self._window = window
        self._wait = wait
        self._passes = passes
        self._pulling = False
        self._script: deque[Any] = deque(script)
        self._more = asyncio.Event()

    @property
    def position(self) -> int:
        return self.given

    def give(self, *steps: Any) -> None:
        """Adds to the script, and wakes a pull that waits."""
        self._script.extend(steps)
        self._more.set()

    def as_source(self) -> Source[Any]:
        return source("probe", lambda _: self)

    async def pull(self, n: int) -> Chunk[Any] | None:
        if self.closes or self._pulling or n < 1:
            raise AssertionError(f"pull({n}) on a source closed {self.closes} times, pulled already: {self._pulling}")
        self.demands.append(n)
        self._pulling = True
        try:
            for _ in range(self._passes):
                await asyncio.sleep(0)
            while not self._script and self._wait:
                self._more.clear()
                await self._more.wait()
        finally:
            self._pulling = False
        return self._step(n)

    def _step(self, n: int) -> Chunk[Any] | None:
        step: Any = self._script[0] if self._script else END
        if step is END:
            return None
        if isinstance(step, Exception):
            raise step
        data, rest = step[:n], step[n:]
        self._script.popleft()
        if rest:
            self._script.appendleft(rest)
        self.given += len(data)
        if self._window is None:
            return Chunk(data)
        return Chunk(data, (self._window.open(len(data), self.position, 0.0, data),))

    async def on_close(self) -> None:
        if self._pulling:
            raise AssertionError("closed in the middle of a pull")
        self.closes += 1


class SinkProbe:
    """Pulls when the test does, one pull at a time. Raises in the test what the stream failed with."""

    def __init__(self) -> None:
        self.ended = False
        """Whether the stream has ended, failed or was left."""
        self._pulls: asyncio.Queue[tuple[int, asyncio.Future[Chunk[Any] | None]] | None] = asyncio.Queue()

    def as_sink(self) -> Sink[Any, None]:
        return Sink("probe", lambda _, upstream: _Driven(self, self._pulls, upstream))

    async def chunk(self, n: int) -> Chunk[Any] | None:
        """1 to `n` elements with their tokens, which the test settles; None at the end."""
        if self.ended:
            raise AssertionError("The stream is over; a probe pulls no more.")
        answer: asyncio.Future[Chunk[Any] | None] = asyncio.get_running_loop().create_future()
        await self._pulls.put((n, answer))
        return await answer

    async def pull(self, n: int) -> list[Any] | None:
        """1 to `n` elements, settled as written; None at the end."""
        chunk = await self.chunk(n)
        if chunk is None:
            return None
        chunk.written()
        return chunk.data

    async def leave(self) -> None:
        """Has got all it wants: what is above is closed, and the run ends."""
        await self._pulls.put(None)


class _Driven(Terminal[None]):
    def __init__(self, probe: SinkProbe, pulls: asyncio.Queue[Any], upstream: Stage[Any]) -> None:
        self._probe = probe
        self._pulls = pulls
        self._upstream = upstream

    async def run(self) -> None:
        try:
            while (pull := await self._pulls.get()) is not None and await self._answer(*pull):
                pass
        except BaseException as error:
            self._probe.ended = True
            await give_up(self._upstream.close, error)
            raise
        self._probe.ended = True
        await close_fully(self._upstream.close)

    async def _answer(self, n: int, answer: asyncio.Future[Chunk[Any] | None]) -> bool:
        """Whether the stream goes on."""
        try:
            chunk = await self._upstream.pull(n)
        except BaseException as error:
            if isinstance(error, Exception) and not answer.done():
                answer.set_exception(error)
            answer.cancel()
            raise
        if not answer.done():
            answer.set_result(chunk)
        return chunk is not None


@asynccontextmanager
async def pulled(
    flow: Flow[Any, Any],
    runtime: Runtime | None = None,
    supervisor: Supervisor | None = None,
    dead_letters: DeadLetters | None = None,
) -> AsyncGenerator[Stage[Any]]:
    """The last stage of a source, to be pulled by hand; it is closed at the end, and every task with it."""
    try:
        async with AsyncExitStack() as stack:
            own = runtime or await stack.enter_async_context(Runtime())
            tasks = await stack.enter_async_context(Tasks())
            stage = flow.attach(Materializer(own, tasks, supervisor or StopOnError(), dead_letters))
            stack.push_async_callback(stage.close)
            yield stage
    except BaseExceptionGroup as failures:
        raise lone(failures) from None
