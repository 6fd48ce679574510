"""What an instance tells the broker of itself: each change of a stream's status, and counts while streams run.

Owns when it is told. A change that could not be told, because no broker was there, is told when one is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from teleporter_lab.rpc.messages import InstanceState, MetricsReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from teleporter_lab.config.key import Key
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.instance.link import Link
    from teleporter_lab.instance.runner import StreamRunner

REPORT_SECONDS = 0.5
"""How often counts and rates are told."""

STREAMS = 500
"""Streams told of in one message: of all streams of a large instance it would be too long."""


class Reporter:
    """Reports on `runners`, which its owner changes."""

    def __init__(self, link: Link, instance: str, clock: Clock, runners: Mapping[Key, StreamRunner]) -> None:
        self._link = link
        self._instance = instance
        self._clock = clock
        self._runners = runners
        self._untold: set[StreamRunner] = set()

    async def run(self) -> None:
        """Tells until it is cancelled."""
        while True:
            await self._clock.sleep(REPORT_SECONDS)
            for runner in list(self._untold):
                self.tell_stream(runner)
            states = [runner.statistics() for runner in self._runners.values() if runner.alive]
            for at in range(0, len(states), STREAMS):
                self._link.tell(MetricsReport(self._instance, time.time(), states[at : at + STREAMS]))

    def tell_stream(self, runner: StreamRunner) -> None:
        """A status has changed: the broker keeps it."""
        if self._link.tell(runner.statistics()):
            self._untold.discard(runner)
        else:
            self._untold.add(runner)

    def tell_again(self) -> None:
        """A new connection: the broker there may know nothing of what was told before."""
        self._untold.update(self._runners.values())

    def tell_state(self, status: str) -> None:
        """The instance itself goes ONLINE or OFFLINE."""
        self._link.tell(InstanceState(self._instance, status, time.time()))
