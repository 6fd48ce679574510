"""What the tests of restarting share: flows that fail once, and runs in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.backoff import Backoff
from teleporter_lab.engine.graph import Flow, flow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

BACKOFF = Backoff(1.0, 10.0, jitter=0.0)
AWAY = OSError("away")


async def in_time(work: Any) -> tuple[Any, FakeClock]:
    """The result of a graph in virtual time, and the clock."""
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        return await clock.run(work.run(runtime)), clock


def bad(x: Any) -> Any:
    """Fails on 3."""
    if x == 3:
        raise OSError("away")
    return x


def failing_once(at: int) -> Callable[[], Flow[int, int]]:
    """Makes flows of which the first fails on the element `at`."""
    made: list[int] = []

    def make() -> Flow[int, int]:
        made.append(at)
        first = len(made) == 1

        def fails(x: int) -> int:
            if first and x == at:
                raise OSError("away")
            return x

        return flow(int).map(fails)

    return make
