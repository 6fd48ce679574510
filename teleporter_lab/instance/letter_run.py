"""One run of dead letters through a part of their stream, and what came of each.

Owns their source, which gives one letter a chunk, so that a failure says which letters it is about, and the ack window
that says which were confirmed. Refuses to know where they go.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from teleporter_lab.engine.ack import AckWindow, Span
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.graph import source
from teleporter_lab.engine.stage import Stage
from teleporter_lab.engine.supervision import AGAIN, Action, Decision

if TYPE_CHECKING:
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.engine.graph import RunnableGraph, Source
    from teleporter_lab.engine.ledger import Ledger
    from teleporter_lab.engine.run import Runtime
    from teleporter_lab.engine.supervision import DeadLetters, Failure, Supervisor
    from teleporter_lab.instance.letter import Letter

log = logging.getLogger(__name__)

GRACE: Final = 3.0
"""Seconds that what is below may go on when all letters are settled, such as another source that is merged in."""

SHOWN: Final = 1000
"""Characters of a reason."""

SKIP: Final = Decision(Action.RESUME)


class LetterRun:
    """`channels` is how many sinks the stream's records answer for."""

    def __init__(self, letters: list[Letter], channels: int, runtime: Runtime) -> None:
        self._letters = letters
        self._runtime = runtime
        self._window = AckWindow(len(letters), channels, on_change=self._changed)
        self._spans: dict[str, Span] = {}
        self._settled = asyncio.Event()
        self._why: dict[str, str] = {}
        self._told = 0
        """Records that were left out with a reason."""
        self._end = "The stream has ended without it."

    def source(self) -> Source[Any]:
        """Gives the letters' records. For one use."""
        return source("letters", lambda m: _Letters(deque(self._letters), self._window, self._spans, m.clock))

    def watched(self, inner: Supervisor, *, sink: bool = False) -> Supervisor:
        """`inner`, whose decisions leave a failing letter to its reason and let the others go on.

        A sink that says stop does stop: what it cannot write now may be all of them.
        """
        return _Watched(self, inner, sink)

    def left_out(self, failure: Failure) -> bool:
        """A rule lets a failure pass that is about letters: notes why; False where it is about none."""
        names = [token.span.position for token in failure.tokens if token.window is self._window]
        for name in names:
            self._why.setdefault(name, said(failure.error))
        self._told += bool(names)
        return bool(names)

    async def drive(
        self, graph: RunnableGraph[Any], supervisor: Supervisor, dead_letters: DeadLetters, ends_at: float
    ) -> None:
        """Runs `graph` until it has ended or all letters are settled, at most until `ends_at`."""
        clock = self._runtime.clock
        running = asyncio.create_task(graph.run(self._runtime, supervisor, dead_letters), name="redrive")
        settled = asyncio.create_task(self._settled.wait())
        try:
            await clock.wait((running, settled), max(0.0, ends_at - clock.now()))
            if settled.done() and not running.done():
                await clock.wait((running,), GRACE)
            if not running.done() and not settled.done():
                self._end = "It took too long, and was stopped; the sink may have it all the same."
        finally:
            for task in (running, settled):
                task.cancel()
            await asyncio.wait((running, settled))
        error = None if running.cancelled() else running.exception()
        if error is not None:
            self.ended(error)

    def ended(self, error: BaseException) -> None:
        """The run has failed with `error`: so it is for every letter that is not confirmed."""
        self._end = said(error)
        log.warning("The redrive of %d dead letters has stopped: %s", len(self._letters), self._end)

    def outcome(self) -> tuple[list[str], dict[str, str]]:
        """The ids of the letters that have arrived, and why each of the others has not."""
        whole = self._window.ledger()
        out = whole.skipped + whole.dead_lettered != self._told
        failed = {letter.id: why for letter in self._letters if (why := self._missing(letter.id, out)) is not None}
        return [letter.id for letter in self._letters if letter.id not in failed], failed

    def _missing(self, name: str, out: bool) -> str | None:
        """Why a letter has not arrived; None when it has. `out`: some were left out and nobody here was asked."""
        span = self._spans.get(name)
        if name in self._why:
            return self._why[name]
        if span is None or span.pending:
            return self._end
        if out and not _has_arrived(span.ledger):
            return "The code of the stream has left it out again, or one that went with it."
        return None

    def _changed(self) -> None:
        spans = self._spans
        if len(spans) == len(self._letters) and not any(span.pending for span in spans.values()):
            self._settled.set()


class _Letters(Stage[Any]):
    """One letter a chunk."""

    __slots__ = ("_clock", "_letters", "_spans", "_window")

    def __init__(self, letters: deque[Letter], window: AckWindow, spans: dict[str, Span], clock: Clock) -> None:
        super().__init__()
        self._letters = letters
        self._window = window
        self._spans = spans
        self._clock = clock

    async def pull(self, n: int) -> Chunk[Any] | None:
        if not self._letters:
            return None
        letter = self._letters.popleft()
        token = self._window.open(1, letter.id, self._clock.now(), [letter.record])
        self._spans[letter.id] = token.span
        return Chunk([letter.record], (token,))


class _Watched:
    def __init__(self, run: LetterRun, inner: Supervisor, sink: bool) -> None:
        self._run = run
        self._inner = inner
        self._sink = sink

    def decide(self, failure: Failure) -> Decision:
        decision = self._inner.decide(failure)
        stops = self._sink and decision.action is Action.STOP
        if decision.action in AGAIN or stops or not self._run.left_out(failure):
            return decision
        return SKIP


def _has_arrived(book: Ledger) -> bool:
    """Whether the record went its way alone and none of it was left out.

    Records that travel together are accounted together: of which of them one was left out, nobody knows.
    """
    return book.read == 1 and not (book.merged or book.carried or book.skipped or book.dead_lettered)


def said(error: BaseException) -> str:
    """An error as a reason: its class and its words, cut."""
    text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")
