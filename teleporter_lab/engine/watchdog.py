"""Who holds the loop: notices user code that blocks it, and names the stream and the line.

Owns a thread that asks the loop for an answer and looks at its stack when none comes. Refuses to interrupt anything: it
reports, and the remedy is `blocking=True`, `map_blocking` or an `async` driver.
"""

from __future__ import annotations

import asyncio
import linecache
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

LIMIT = 0.1
"""Seconds the loop may be silent."""

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_PACKAGE = str(Path(__file__).parents[1])


@dataclass(frozen=True, slots=True)
class Blocked:
    """The loop is held, or was (`over`): by which stream (the name of its task), where, and for how many seconds."""

    stream: str
    file: str
    line: int
    function: str
    text: str
    """The line's own text, empty where its source is not at hand."""
    seconds: float
    over: bool

    def __str__(self) -> str:
        has = "held" if self.over else "has held"
        text = f" `{self.text}`" if self.text else ""
        return (
            f"{self.stream} {has} the loop for {self.seconds:.2f} s in {self.function}, {self.file}:{self.line}{text}: "
            "give the operator blocking=True, or use an asynchronous driver."
        )


class Watchdog:
    """Watches the loop it is entered in. `report` is called in the watchdog's own thread, twice for each block: when
    it is noticed, and when it is over. An error of `report` ends the watching.

    An async context manager; leaving it ends the thread.
    """

    def __init__(self, report: Callable[[Blocked], None], limit: float = LIMIT) -> None:
        if limit <= 0:
            raise ValueError(f"A watchdog needs a limit > 0 seconds, not {limit}.")
        self._report = report
        self._limit = limit
        self._stopped = threading.Event()
        self._answered = threading.Event()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> Self:
        watched = (asyncio.get_running_loop(), threading.get_ident())
        self._thread = threading.Thread(target=self._watch, args=watched, name="teleporter-watchdog", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped.set()
        self._answered.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._stopped.wait(self._limit):
            self._answered.clear()
            asked = time.monotonic()
            try:
                loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # the loop was closed without leaving
                return
            if not self._answered.wait(self._limit) and not self._stopped.is_set():
                self._blocked(loop, thread, asked)

    def _blocked(self, loop: asyncio.AbstractEventLoop, thread: int, asked: float) -> None:
        frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage] - documented all the same
        if frame is None:
            return
        task = asyncio.current_task(loop)
        stream = task.get_name() if task is not None else "A callback"
        found = _of_the_user(frame)
        code = found.f_code
        place = (stream, code.co_filename, found.f_lineno, code.co_qualname)
        text = linecache.getline(code.co_filename, found.f_lineno, found.f_globals).strip()
        del frame, found
        self._report(Blocked(*place, text, time.monotonic() - asked, over=False))
        self._answered.wait()
        if not self._stopped.is_set():
            self._report(Blocked(*place, text, time.monotonic() - asked, over=True))


def _of_the_user(frame: FrameType) -> FrameType:
    """The innermost frame that is neither ours nor a library's; the innermost of all where there is none."""
    for outer in _outwards(frame):
        file = outer.f_code.co_filename
        if not file.startswith((_PACKAGE, *_LIBRARIES)):
            return outer
    return frame


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
