"""What a broker hears of an instance: each change once there is somebody to hear it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.config.key import Key
from teleporter_lab.engine.clock import LoopClock
from teleporter_lab.instance.link import Link
from teleporter_lab.instance.report import REPORT_SECONDS, STREAMS, Reporter
from teleporter_lab.instance.runner import StreamRunner
from teleporter_lab.rpc.messages import Done, InstanceState, MetricsReport, StreamState, Welcome
from teleporter_lab.rpc.peer import Listener
from teleporter_lab.testing.clock import FakeClock
from tests.instance.conftest import INSTANCE, STREAM, Desk
from tests.instance.seat import Seat, hello, seat_at
from tests.instance.test_runner import GATED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.client import Client
    from teleporter_lab.rpc.messages import Message

KEY = Key.parse(STREAM)


@dataclass
class Ear:
    """A listener that only listens, and the link to it, once it is opened; `heard` is what was told."""

    link: Link
    heard: list[Message] = field(default_factory=list)
    keeping: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self) -> None:
        self.keeping.append(asyncio.create_task(self.link.run()))
        await self.link.wait_ready(5.0)

    async def close(self) -> None:
        for task in self.keeping:
            task.cancel()
            await asyncio.wait([task])

    async def hears(self, *kinds: type[Any]) -> list[Any]:
        """Everything told by now, once it is of these kinds."""
        async with asyncio.timeout(5):
            while [type(message) for message in self.heard] != list(kinds):
                await asyncio.sleep(0)
        found, self.heard[:] = list(self.heard), []
        return found


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    heard: list[Message] = []

    async def answer(message: Message) -> Message:
        heard.append(message)
        return Done()

    async def authorize(_: object) -> Welcome:
        return Welcome("/broker/test/b", "session", 30.0)

    async def accept(_: object) -> Any:
        return answer

    async def linked(_: object) -> None:
        return

    async with Listener("127.0.0.1", 0, authorize, accept) as listener:
        link = Link([("127.0.0.1", listener.port)], hello("t"), answer, linked, LoopClock())
        found = Ear(link, heard)
        yield found
        await found.close()


@pytest.fixture
async def seat(broker: Running) -> AsyncIterator[Seat]:
    async with seat_at(broker) as found:
        yield found


def reporter_for(link: Link, clock: FakeClock, runners: dict[Key, StreamRunner]) -> Reporter:
    return Reporter(link, INSTANCE, clock, runners)


async def test_a_change_is_told_at_once(ear: Ear, seat: Seat) -> None:
    await ear.open()
    reporter = reporter_for(ear.link, FakeClock(), {})
    runner = StreamRunner(KEY, seat.services, 1.0, reporter.tell_stream)
    await runner.stop()
    (told,) = await ear.hears(StreamState)
    assert (told.key, told.instance, told.status) == (STREAM, INSTANCE, "STOPPED")


async def test_what_nobody_could_hear_is_told_when_somebody_can(ear: Ear, seat: Seat) -> None:
    clock = FakeClock()
    assert ear.link.active is None
    reporter = reporter_for(ear.link, clock, {})
    runner = StreamRunner(KEY, seat.services, 1.0, reporter.tell_stream)
    for _ in range(3):
        await runner.stop()
    reporting = asyncio.create_task(reporter.run())
    await ear.open()
    assert ear.heard == []
    await clock.advance(REPORT_SECONDS)
    (told,) = await ear.hears(StreamState)
    assert told.status == "STOPPED"
    await clock.advance(5 * REPORT_SECONDS)
    await ear.hears()
    reporting.cancel()
    await asyncio.wait([reporting])


async def test_a_new_connection_hears_of_every_stream_again(ear: Ear, seat: Seat) -> None:
    await ear.open()
    clock, runners = FakeClock(), {}
    reporter = reporter_for(ear.link, clock, runners)
    for name in "ab":
        key = Key.parse(f"{STREAM}-{name}")
        runners[key] = StreamRunner(key, seat.services, 1.0, reporter.tell_stream)
    reporting = asyncio.create_task(reporter.run())
    reporter.tell_again()
    await clock.advance(REPORT_SECONDS)
    told = await ear.hears(StreamState, StreamState)
    assert {state.key for state in told} == {str(key) for key in runners}
    reporting.cancel()
    await asyncio.wait([reporting])


async def test_the_instance_names_its_own_status(ear: Ear) -> None:
    reporter = reporter_for(ear.link, FakeClock(), {})
    reporter.tell_state("OFFLINE")
    await ear.open()
    reporter.tell_state("ONLINE")
    (told,) = await ear.hears(InstanceState)
    assert (told.instance, told.status) == (INSTANCE, "ONLINE")


async def test_counts_of_running_streams_are_told_in_messages_that_fit(
    ear: Ear, seat: Seat, client: Client, tmp_path: Path
) -> None:
    """One that runs, as often as it takes; those that do not run are left out."""
    await ear.open()
    await Desk(client, tmp_path).prepare(60)
    await client.save(STREAM, {"template": GATED.replace("GATE", repr(str(tmp_path / "gate")))})
    clock = FakeClock()
    runs = StreamRunner(KEY, seat.services, 1.0, lambda _: None)
    idle = StreamRunner(KEY, seat.services, 1.0, lambda _: None)
    await runs.start()
    runners = {Key.parse(f"{STREAM}-{n}"): runs for n in range(STREAMS + 1)} | {KEY: idle}
    reporting = asyncio.create_task(reporter_for(ear.link, clock, runners).run())
    await clock.advance(REPORT_SECONDS)
    told = await ear.hears(MetricsReport, MetricsReport)
    assert [len(report.streams) for report in told] == [STREAMS, 1]
    assert {report.instance for report in told} == {INSTANCE}
    assert told[1].streams[0].status == "RUNNING"
    (tmp_path / "gate").touch()
    await runs.drop("NORMAL")
    await clock.advance(REPORT_SECONDS)
    await ear.hears()
    reporting.cancel()
    await asyncio.wait([reporting])
