"""The life of one stream on this instance: started, stopped, refreshed, failed, restarted.

Owns the status and who may change it: commands on one stream are taken one after the other. A failure of a stream
touches no other. Refuses to decide which streams run here (`instance` does).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from teleporter_lab.engine.ack import Ledger
from teleporter_lab.errors import TeleporterError
from teleporter_lab.instance.link import AWAY
from teleporter_lab.instance.plan import Plan, Services, prepare
from teleporter_lab.instance.redrive import Redriving
from teleporter_lab.instance.running import Running
from teleporter_lab.instance.stream_rules import StreamRules
from teleporter_lab.rpc.messages import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.config.key import Key
    from teleporter_lab.rpc.messages import Redriven

log = logging.getLogger(__name__)

SHOWN = 4000
"""Characters of an error that its status shows."""

RETRY_SECONDS = 1.0
"""Pause before a stream is tried again whose broker was lost."""

STUCK_SECONDS = 1.0
"""After a hard stop, until the status says what is waited for."""
STUCK = "Is stopped, and waits for a call of its source or sink that cannot be broken off."


class StreamRunner:
    """One stream. `changed` is called after each change of its status."""

    def __init__(
        self, key: Key, services: Services, drain: float, changed: Callable[[StreamRunner], None], epoch: int = 0
    ) -> None:
        self.key = key
        self.epoch = epoch
        self.keys: frozenset[str] = frozenset((str(key),))
        """Every config key this stream stood on when it was last made ready."""
        self._services = services
        self._drain = drain
        self._changed = changed
        self._status = "NORMAL"
        self._since = time.time()
        self._error = ""
        self._restarts = 0
        self._dropped = False
        self._commands = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._running: Running | None = None
        self._plan: Plan | None = None
        self._ledger = Ledger()
        self._alarms = 0
        """Of the runs before this one."""
        self.matched: Counter[str] = Counter()
        """How many failures its error rules have matched by now, by level: its own and those of sources and sinks."""
        self._measured = (self._services.runtime.clock.now(), 0, 0.0)

    async def start(self) -> None:
        """Makes the stream ready and starts it, unless it runs or was dropped.

        Raises why it cannot; the status says it too.
        """
        async with self._commands:
            if self._task is None and not self._dropped:
                self._launch(await self._prepare(failing=True))

    async def redrive(self, letters: Sequence[tuple[str, str]]) -> Redriven:
        """Sends dead letters (id, JSON) through the stream again, beside it and with what it runs by.

        When it does not run, with what the config says now; raises why that cannot run.
        """
        plan = self._plan if self._plan is not None and self.alive else await prepare(self._services, self.key)
        return await Redriving(plan, self._services, self.matched).letters(letters)

    async def stop(self, status: str = "STOPPED") -> None:
        """Drains, at most for the drain time, then stops hard. Returns when the stream has stopped."""
        async with self._commands:
            await self._halt()
            self._set(status)

    async def drop(self, status: str) -> None:
        """Stops for good: commands that waited for their turn, and later ones, do nothing."""
        async with self._commands:
            self._dropped = True
            await self._halt()
            self._set(status)

    async def refresh(self, always: bool = False) -> bool:
        """Starts again with what the config says now, if that is something else, or `always`; False once dropped.

        A bad config raises and the old one runs on.
        """
        async with self._commands:
            if self._dropped:
                return False
            plan = await self._prepare(failing=self._task is None)
            if self._task is not None:
                if plan.same_as(self._plan) and not always:
                    return True
                self._restarts += 1
                await self._halt()
            self._launch(plan)
            return True

    async def _prepare(self, failing: bool) -> Plan:
        try:
            plan = await prepare(self._services, self.key)
        except Exception as error:
            if failing and not isinstance(error, AWAY):
                self._set("FAILURE", describe(error))
            raise
        self.keys = plan.documents.keys
        return plan

    def _launch(self, plan: Plan) -> None:
        rules = StreamRules(str(self.key), plan.rules, self.matched)
        self._plan = plan
        self._running = Running(plan, self._services, lambda: self.epoch, rules)
        self._task = asyncio.create_task(self._work(plan, self._running, rules), name=str(self.key))
        self._set("RUNNING")

    async def _work(self, plan: Plan, running: Running, rules: StreamRules) -> None:
        """Runs the stream to its end; after a failure again, when its rules or a lost broker say so."""
        while True:
            try:
                await running.run()
            except Exception as error:
                tries, delay = rules.tries, self._restart_after(rules, error)
                if delay is None:
                    self._ended("FAILURE", error)
                    log.error("%s failed.", self.key, exc_info=error)
                    return
                self._ledger = running.ledger()
                self._set("RUNNING", f"Restarts in {delay:.1f} s, try {tries}, after: {describe(error)}")
                await self._pause(running, delay)
                if running.stopping:
                    return
                self._restarts += 1
                self._alarms += running.alarms
                self._running = running = Running(plan, self._services, lambda: self.epoch, rules)
                self._set("RUNNING")
            else:
                if not running.stopping:  # one that was told to end is not complete; who told it sets the status
                    self._ended("COMPLETE")
                return

    def _restart_after(self, rules: StreamRules, error: Exception) -> float | None:
        """Seconds to wait before the stream starts again; None when it stays down."""
        if isinstance(error, AWAY):
            log.warning("%s waits for the broker: %s", self.key, error.message)
            return RETRY_SECONDS
        return rules.failed(error)

    async def _pause(self, running: Running, delay: float) -> None:
        """Waits `delay` seconds, or until the stream is told to stop."""
        stopped = asyncio.create_task(running.stopped.wait())
        await self._services.runtime.clock.wait((stopped,), delay)
        stopped.cancel()

    def _ended(self, status: str, error: Exception | None = None) -> None:
        if self._running is not None:
            self._put_down(self._running)
        self._task = None
        self._set(status, "" if error is None else describe(error))

    async def _halt(self) -> None:
        task, running = self._task, self._running
        if task is None or running is None:
            return
        running.shutdown()
        done, _ = await asyncio.wait((task,), timeout=self._drain)
        if not done:
            log.warning("%s did not drain within %g s; stopped hard.", self.key, self._drain)
            await _broken_off(task, lambda: self._set(self._status, STUCK))
        if self._running is running:
            self._put_down(running)
        self._task = None

    def _put_down(self, running: Running) -> None:
        """A run is over, and what it counted is kept."""
        self._ledger = running.ledger()
        self._alarms += running.alarms
        self._running = None

    def _set(self, status: str, error: str = "") -> None:
        self._status = status
        self._error = error
        self._since = time.time()
        self._changed(self)

    @property
    def status(self) -> str:
        return self._status

    @property
    def alive(self) -> bool:
        return self._task is not None

    def ledger(self) -> Ledger:
        """Everything this stream has read by now, earlier runs included; in elements."""
        return self._ledger if self._running is None else self._running.ledger()

    def statistics(self) -> StreamState:
        """The stream now; `rate` in records a second since the last call at least half a second ago."""
        ledger = self.ledger()
        now = self._services.runtime.clock.now()
        at, read, rate = self._measured
        if now - at >= 0.5:
            by_now = 0 if self._running is None else self._running.read()
            rate = max(0.0, (by_now - read) / (now - at))
            self._measured = (now, by_now, rate)
        counts = {**ledger.as_dict(), "in_flight": ledger.in_flight}
        return StreamState(
            str(self.key),
            self._services.instance,
            self._status,
            self._since,
            self._restarts,
            self._error,
            counts,
            round(rate if self.alive else 0.0, 1),
            dict(self.matched),
            self._alarms + (0 if self._running is None else self._running.alarms),
            {} if self._running is None else self._running.acks(),
        )


async def _broken_off(task: asyncio.Task[None], tell: Callable[[], None]) -> None:
    """Cancels `task` and returns when it is over; calls `tell` where that takes long.

    A thread cannot be broken off. It is waited for, as a second writer beside it would break what is promised.
    """
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=STUCK_SECONDS)
    if not done:
        tell()
        await asyncio.wait((task,))


def describe(error: BaseException) -> str:
    """An error in the words of its own, with the notes that say where it happened; cut, and fit to be sent."""
    text = str(error) if isinstance(error, TeleporterError) else f"{type(error).__name__}: {error}"
    whole = "\n".join([text, *getattr(error, "__notes__", ())])
    shown = whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}…"
    return shown.encode("utf-8", "backslashreplace").decode()
