"""Sinks that take the dead letters of other sinks, as their `deadLetter` says.

Owns the side streams to them: one for each such sink in a run, started by its first letter and ended with the run, as a
file can have one writer only. A letter is put when that sink has confirmed it. What the sink fails with and its own
rules do not deal with fails the stream. Refuses to make sinks (`ends` does).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from teleporter_lab.engine.dead_letters import DeadLetter, LetterBox, LetterBoxClosed
from teleporter_lab.engine.graph import source
from teleporter_lab.errors import Problem
from teleporter_lab.instance.letter import LetterIds, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from teleporter_lab.config.key import Key
    from teleporter_lab.config.nodes import SinkNode
    from teleporter_lab.engine.graph import Sink
    from teleporter_lab.engine.run import Materializer, Runtime
    from teleporter_lab.engine.supervision import Failure
    from teleporter_lab.instance.aside import Aside

log = logging.getLogger(__name__)


def circles(sinks: Mapping[str, tuple[Key, SinkNode]]) -> list[Problem]:
    """A problem for each of `sinks`, by key, whose dead letters would come back to it."""
    problems: list[Problem] = []
    for key in sinks:
        way = [key]
        while way[-1] in sinks and (onward := sinks[way[-1]][1].dead_letter) and onward not in way:
            way.append(onward)
        if way[-1] in sinks and sinks[way[-1]][1].dead_letter == key:
            shown = " → ".join([*way, key])
            problems.append(Problem(f"{key}: deadLetter", f"Leads back to where it came from: {shown}; leave one out."))
    return problems


class LetterSinks:
    """Those of one run. An async context manager: leaving it waits until each has stored and closed what it got.

    After a failure, also of one of them, they are stopped; what was put is stored, and the rest is nobody's letter yet.
    `make` gives the sink of a key.
    """

    def __init__(self, stream: str, runtime: Runtime, make: Callable[[str], Sink[Any, Any]], aside: Aside) -> None:
        self._stream = stream
        self._runtime = runtime
        self._make = make
        self._aside = aside
        self._ids = LetterIds()
        self._open: dict[str, _SideStream] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        sides = list(self._open.values())
        try:
            for side in sides if kind is None else ():
                await side.end()
        finally:
            for side in sides:
                await side.stop()

    def place(self, of: str, to: str) -> _Place:
        """Where the dead letters of the sink `of` go, which are those of the sink `to`; both by key."""
        return _Place(self, of, to)

    async def put(self, of: str, to: str, failure: Failure) -> None:
        """Returns when the sink `to` has confirmed the letter. Raises what that has failed with."""
        if to not in self._open:
            self._open[to] = _SideStream(self._make(to), self._runtime, self._aside, f"{self._stream}: {to}")
        letter = fields(DeadLetter.of(failure), self._ids.next(), self._stream, of)
        await self._open[to].put(replace(failure, element=letter))


class _Place:
    """Where one sink puts its letters."""

    def __init__(self, sinks: LetterSinks, of: str, to: str) -> None:
        self._sinks = sinks
        self._of = of
        self._to = to

    async def put(self, failure: Failure) -> None:
        await self._sinks.put(self._of, self._to, failure)


class _SideStream:
    """A sink for letters, running in a task of its own."""

    def __init__(self, sink: Sink[Any, Any], runtime: Runtime, aside: Aside, name: str) -> None:
        self._box: asyncio.Future[LetterBox] = asyncio.get_running_loop().create_future()
        graph = source("letters", self._letters).map(lambda letter: letter.element).to(sink)
        self._task = asyncio.create_task(graph.run(runtime, dead_letters=aside), name=name)

    def _letters(self, m: Materializer) -> Any:
        box = LetterBox(m)
        self._box.set_result(box)
        return box.letters

    async def put(self, failure: Failure) -> None:
        putting = asyncio.create_task(self._put(failure))
        try:
            await asyncio.wait((putting, self._task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not putting.done():
                putting.cancel()
                await asyncio.wait((putting,))
        if self._task.done():
            self._task.result()  # raises what the sink has failed with
        if putting.cancelled():
            raise LetterBoxClosed from failure.error
        putting.result()

    async def _put(self, failure: Failure) -> None:
        await (await asyncio.shield(self._box)).put(failure)

    async def end(self) -> None:
        """No more letters come. Returns when the sink has closed; raises what it has failed with."""
        await asyncio.wait((self._box, self._task), return_when=asyncio.FIRST_COMPLETED)
        if self._box.done():
            self._box.result().end()
        await self._task

    async def stop(self) -> None:
        """Stops the sink, unless it has ended. What it fails with meanwhile concerns nobody: the run has failed."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None:
            log.warning("%s: the sink for dead letters has failed: %s", self._task.get_name(), error)
