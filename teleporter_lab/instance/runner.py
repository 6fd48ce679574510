"""The life of one stream on this instance: started, stopped, refreshed, failed, restarted.

Owns the status and who may change it: commands on one stream are taken one after the other. A failure of a stream
touches no other. Refuses to decide which streams run here (`instance` does).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from teleporter_lab.engine.ack import Ledger
from teleporter_lab.errors import InvalidPattern, TeleporterError
from teleporter_lab.instance.link import AWAY
from teleporter_lab.instance.plan import Plan, Services, prepare
from teleporter_lab.instance.running import Running
from teleporter_lab.rpc.messages import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.config.key import Key

log = logging.getLogger(__name__)

LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}

SHOWN = 4000
"""Characters of an error that its status shows."""

RETRY_SECONDS = 1.0
"""Pause before a stream is tried again whose broker was lost."""


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
        self._measured = (self._services.runtime.clock.now(), 0, 0.0)

    async def start(self) -> None:
        """Makes the stream ready and starts it, unless it runs or was dropped.

        Raises why it cannot; the status says it too.
        """
        async with self._commands:
            if self._task is None and not self._dropped:
                self._launch(await self._prepare(failing=True))

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
        self._plan = plan
        self._running = Running(plan, self._services, lambda: self.epoch)
        self._task = asyncio.create_task(self._work(plan, self._running), name=str(self.key))
        self._set("RUNNING")

    async def _work(self, plan: Plan, running: Running) -> None:
        """Runs the stream to its end; after a failure again, when its rules or a lost broker say so."""
        tries = 0
        while True:
            try:
                await running.run()
            except Exception as error:
                tries = 1 if running.advanced else tries + 1
                delay = self._restart_after(plan, error, tries)
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
                self._running = running = Running(plan, self._services, lambda: self.epoch)
                self._set("RUNNING")
            else:
                if not running.stopping:  # one that was told to end is not complete; who told it sets the status
                    self._ended("COMPLETE")
                return

    def _restart_after(self, plan: Plan, error: Exception, tries: int) -> float | None:
        """Seconds to wait before the stream starts again; None when it stays down."""
        if isinstance(error, AWAY):
            log.warning("%s waits for the broker: %s", self.key, error.message)
            return RETRY_SECONDS
        try:
            rule = plan.rules.match(error)
        except InvalidPattern as slow:
            log.error("%s: an error rule cannot be used: %s", self.key, slow.message)
            return None
        if rule is None:
            return None
        action, delay = rule.attempt(tries, random.random())
        log.log(LEVELS[rule.level], "%s: rule %r says %s: %s", self.key, rule.pattern, action, describe(error))
        return None if action == "stop" else delay

    async def _pause(self, running: Running, delay: float) -> None:
        """Waits `delay` seconds, or until the stream is told to stop."""
        stopped = asyncio.create_task(running.stopped.wait())
        await self._services.runtime.clock.wait((stopped,), delay)
        stopped.cancel()

    def _ended(self, status: str, error: Exception | None = None) -> None:
        self._ledger = self.ledger()
        self._task = None
        self._running = None
        self._set(status, "" if error is None else describe(error))

    async def _halt(self) -> None:
        task, running = self._task, self._running
        if task is None or running is None:
            return
        running.shutdown()
        done, _ = await asyncio.wait((task,), timeout=self._drain)
        if not done:
            log.warning("%s did not drain within %g s; stopped hard.", self.key, self._drain)
            task.cancel()
            await asyncio.wait((task,))
        self._ledger = running.ledger()
        self._task = None
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
            rate = max(0.0, (ledger.read - read) / (now - at))
            self._measured = (now, ledger.read, rate)
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
        )


def describe(error: BaseException) -> str:
    """An error in the words of its own, with the notes that say where it happened; cut, and fit to be sent."""
    text = str(error) if isinstance(error, TeleporterError) else f"{type(error).__name__}: {error}"
    whole = "\n".join([text, *getattr(error, "__notes__", ())])
    shown = whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}…"
    return shown.encode("utf-8", "backslashreplace").decode()
