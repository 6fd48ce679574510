"""Streams by hand: a source whose every chunk a test gives out, and a stage pulled as the test says.

Owns what a test of an operator needs to see: the demand that reached the source, how often it was closed, the tokens of
what came out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.graph import Flow, Source, source
from teleporter_lab.engine.run import Materializer, Runtime
from teleporter_lab.engine.stage import Stage
from teleporter_lab.engine.supervision import StopOnError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from teleporter_lab.engine.ack import AckWindow
    from teleporter_lab.engine.supervision import Supervisor

END = object()
"""Given to a probe: the source ends here."""


class SourceProbe(Stage[Any]):
    """Gives what `script` says, chunk by chunk: a list of elements, an exception to raise, or `END`.

    With `wait`, a pull for which the script has nothing waits for `give`; else the source ends there. `demands` are the
    pulls that reached it, `closes` counts `close`; `position` is the number of elements given. `window` acknowledges.
    """

    def __init__(self, script: Iterable[Any] = (), *, window: AckWindow | None = None, wait: bool = False) -> None:
        super().__init__()
        self.demands: list[int] = []
        self.closes = 0
        self.position = 0
        self._window = window
        self._wait = wait
        self._script: deque[Any] = deque(script)
        self._more = asyncio.Event()

    def give(self, *steps: Any) -> None:
        """Adds to the script, and wakes a pull that waits."""
        self._script.extend(steps)
        self._more.set()

    def as_source(self) -> Source[Any]:
        return source("probe", lambda _: self)

    async def pull(self, n: int) -> Chunk[Any] | None:
        self.demands.append(n)
        while not self._script:
            if not self._wait:
                return None
            self._more.clear()
            await self._more.wait()
        step = self._script[0]
        if step is END:
            return None
        if isinstance(step, Exception):
            raise step
        data, rest = step[:n], step[n:]
        self._script.popleft()
        if rest:
            self._script.appendleft(rest)
        self.position += len(data)
        if self._window is None:
            return Chunk(data)
        return Chunk(data, (self._window.open(len(data), self.position, 0.0, data),))

    async def on_close(self) -> None:
        self.closes += 1


@asynccontextmanager
async def pulled(
    flow: Flow[Any, Any], runtime: Runtime | None = None, supervisor: Supervisor | None = None
) -> AsyncGenerator[Stage[Any]]:
    """The last stage of a source, to be pulled by hand; it is closed at the end, and every task with it."""
    own = runtime or Runtime()
    async with asyncio.TaskGroup() as group:
        stage = flow.attach(Materializer(own, group, supervisor or StopOnError()))
        try:
            yield stage
        finally:
            await stage.close()
    if runtime is None:
        await own.__aexit__()
