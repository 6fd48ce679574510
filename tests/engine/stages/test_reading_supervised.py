"""Readers that fail, under each rule: read again, opened again at the last position, delays that can be cut short."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.reading import read_from, read_from_blocking
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.supervision import (
    Action,
    Decision,
    Failure,
    NoPlaceForDeadLetters,
    Resume,
    Retry,
    StopOnError,
)
from teleporter_lab.errors import BadRecord
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness, cut_off, drain, drain_with_cuts
from teleporter_lab.testing.probes import pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Flow

INPUT = list(range(10))


class Rule:
    """One action for everything; notes what it was asked about."""

    def __init__(self, action: Action, delay: float = 0.0, most: int = 1000) -> None:
        self.asked: list[tuple[str, Any, int]] = []
        self._decision = Decision(action, delay)
        self._most = most

    def decide(self, failure: Failure) -> Decision:
        self.asked.append((failure.stage, failure.element, failure.tries))
        return self._decision if failure.tries <= self._most else Decision(Action.STOP)


class System:
    """What several readers, one after the other, are connected to: its failures are those of its calls by number."""

    def __init__(self, *fails: str) -> None:
        self.fails = list(fails)
        self.calls: list[str] = []
        self.readers = 0

    def call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            self.fails.remove(name)
            raise OSError(name)

    def reader(self) -> Connected:
        self.readers += 1
        return Connected(self)

    def blocking(self) -> BlockingConnected:
        self.readers += 1
        return BlockingConnected(self)


class BlockingConnected:
    def __init__(self, system: System) -> None:
        self.system = system
        self.position = 0
        self.state = "new"

    def open(self, position: int | None) -> None:
        assert self.state == "new", self.state
        self.state = "opening"
        self.system.call(f"open {position}")
        self.position = position or 0
        self.state = "open"

    def read(self, n: int) -> list[int] | None:
        assert self.state == "open"
        self.system.call(f"read {self.position}")
        data = INPUT[self.position : self.position + min(n, 4)]
        self.position += len(data)
        return data or None

    def close(self) -> None:
        if self.state == "closed":
            return
        self.state = "closed"
        self.system.call("close")


class Connected(BlockingConnected):
    async def open(self, position: int | None) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().open(position)

    async def read(self, n: int) -> list[int] | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().read(n)

    async def close(self) -> None:  # type: ignore[override]
        super().close()


def source(system: System, blocking: bool) -> Flow[Any, int]:
    return read_from_blocking("system", system.blocking) if blocking else read_from("system", system.reader)


BOTH = pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])


@BOTH
@pytest.mark.parametrize("action", [Action.RETRY, Action.RESUME, Action.DEAD_LETTER], ids=lambda a: a.value)
async def test_a_read_that_fails_is_made_again(action: Action, blocking: bool) -> None:
    system, rule = System("read 0", "read 3", "read 3"), Rule(action)
    found = await source(system, blocking).with_attributes(supervisor=rule).to(to_list()).run()
    assert found == INPUT
    assert rule.asked == [("system", None, 1), ("system", 3, 1), ("system", 3, 2)]
    assert system.readers == 1
    assert system.calls.count("close") == system.calls.count("open None") == 1


@BOTH
async def test_reload_opens_a_fresh_reader_at_the_last_position(blocking: bool) -> None:
    system = System("read 0", "read 3", "read 3")
    found = await source(system, blocking).with_attributes(supervisor=Rule(Action.RELOAD)).to(to_list()).run()
    assert found == INPUT
    assert system.readers == 4
    opened = [call for call in system.calls if not call.startswith("read")]
    assert opened == ["open None", "close", "open None", "close", "open 3", "close", "open 3", "close"]


@BOTH
@pytest.mark.parametrize("action", [Action.RETRY, Action.RESUME, Action.RELOAD], ids=lambda a: a.value)
async def test_what_does_not_open_is_never_opened_again_but_made_anew(action: Action, blocking: bool) -> None:
    system = System("open None", "open None")
    assert await source(system, blocking).to(to_list()).run(supervisor=Rule(action)) == INPUT
    assert system.readers == 3
    assert system.calls[:5] == ["open None", "close", "open None", "close", "open None"]


@BOTH
async def test_a_reader_that_does_not_close_is_reloaded_all_the_same(blocking: bool) -> None:
    system = System("read 3", "close")
    assert await source(system, blocking).to(to_list()).run(supervisor=Rule(Action.RELOAD)) == INPUT
    assert system.readers == 2


async def test_a_reader_that_cannot_be_made_is_one_more_failure() -> None:
    system = System("read 3", "make", "make")

    def make() -> Connected:
        if system.readers:
            system.call("make")
        return system.reader()

    rule = Rule(Action.RELOAD)
    assert await read_from("system", make).to(to_list()).run(supervisor=rule) == INPUT
    assert [tries for _, _, tries in rule.asked] == [1, 2, 3]
    assert system.readers == 2


async def test_what_is_held_back_is_not_read_again_by_a_reload() -> None:
    class Generous(Connected):
        async def read(self, n: int) -> list[int] | None:
            return await super().read(1000)

    system = System("read 4", "read 8", "read 8")
    stage_source = read_from("system", lambda: Generous(system))
    async with pulled(stage_source, supervisor=Rule(Action.RELOAD)) as stage:
        assert await drain(stage, 1, 3) == INPUT
    assert [call for call in system.calls if call.startswith("open")] == ["open None", "open 4", "open 8", "open 8"]


async def test_tries_are_counted_in_a_row_and_the_error_comes_out_at_last() -> None:
    system = System(*["read 3"] * 2, *["read 7"] * 3)
    found: list[int] = []
    with pytest.raises(OSError, match="read 7"):
        await read_from("system", system.reader).map(found.append).to(to_list()).run(supervisor=Retry(2))
    assert found == INPUT[:7]
    assert system.calls[-1] == "close"


async def test_an_error_that_stops_the_stream_is_raised_again_and_nothing_is_read_any_more() -> None:
    system = System("read 0")
    async with pulled(read_from("system", system.reader), supervisor=StopOnError()) as stage:
        for _ in range(3):
            with pytest.raises(OSError, match="read 0"):
                await stage.pull(5)
    assert system.calls == ["open None", "read 0", "close"]


async def test_a_delay_is_waited_for() -> None:
    clock, system = FakeClock(), System("read 0", "read 0")
    rule = Rule(Action.RETRY, delay=60.0)
    async with Runtime(clock) as runtime:
        await clock.run(read_from("system", system.reader).to(to_list()).run(runtime, rule))
    assert clock.now() == 120.0


@pytest.mark.parametrize("action", [Action.RETRY, Action.RESUME, Action.RELOAD], ids=lambda a: a.value)
@pytest.mark.parametrize("delay", [0.0, 60.0])
async def test_a_reader_that_fails_for_ever_can_be_stopped(action: Action, delay: float) -> None:
    system = System(*["read 0"] * 100_000)
    run = asyncio.ensure_future(
        read_from("system", system.reader).to(to_list()).run(supervisor=Rule(action, delay, 10**9))
    )
    for _ in range(50):
        await asyncio.sleep(0)
    assert not run.done()
    run.cancel()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert system.calls.count("close") == system.readers


async def test_a_pull_that_is_cancelled_in_a_delay_goes_on_with_the_decision() -> None:
    clock, system, rule = FakeClock(), System("read 0"), Rule(Action.RELOAD, delay=5.0)
    async with pulled(read_from("system", system.reader), Runtime(clock), rule) as stage:
        assert await cut_off(stage.pull(1), 20) == (False, None)
        pull = asyncio.ensure_future(stage.pull(1))
        await clock.advance(5.0)
        assert (await pull).data == [0]
    assert len(rule.asked) == 1
    assert system.readers == 2


@BOTH
@pytest.mark.parametrize("often", [1, 3])
@pytest.mark.parametrize("action", [Action.RETRY, Action.RELOAD], ids=lambda a: a.value)
async def test_cancelled_pulls_between_failures_lose_and_double_nothing(
    action: Action, often: int, blocking: bool
) -> None:
    for passes in range(8):
        system = System("open None", "read 0", "read 0", "read 5", "read 9", "close")
        window = Witness()
        async with pulled(source(system, blocking).source_ack(window), supervisor=Rule(action)) as stage:
            assert await drain_with_cuts(stage, passes, often) == INPUT, f"cancelled after {passes} passes"
        window.check_all_settled()
        assert system.calls.count("close") == system.readers


async def test_resume_of_everything_ends_when_the_reader_does() -> None:
    system = System("read 0", "read 1", "read 3", "read 7", "read 10")
    assert await read_from("system", system.reader).to(to_list()).run(supervisor=Resume()) == INPUT


class Spoilt(Connected):
    """Cannot read 3 and 7, and is behind them when it has said so."""

    async def read(self, n: int) -> list[int] | None:
        data = await super().read(1)
        if data in ([3], [7]):
            raise BadRecord(f"{data[0]} is no number", record=str(data[0]))
        return data


class Shelf:
    """A place for dead letters; each takes a few passes of the loop to store."""

    def __init__(self) -> None:
        self.letters: dict[int, Failure] = {}

    async def put(self, failure: Failure) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.letters[failure.position] = failure


async def test_a_record_that_cannot_be_read_is_put_aside_and_the_others_go_on() -> None:
    shelf, system = Shelf(), System("read 5")
    graph = read_from("system", lambda: Spoilt(system)).to(to_list())
    assert await graph.run(supervisor=Rule(Action.DEAD_LETTER), dead_letters=shelf) == [0, 1, 2, 4, 5, 6, 8, 9]
    assert [(at, letter.element, letter.stage) for at, letter in shelf.letters.items()] == [
        (3, "3", "system"),
        (7, "7", "system"),
    ]


async def test_a_record_that_cannot_be_read_has_to_have_a_place() -> None:
    with pytest.raises(NoPlaceForDeadLetters) as caught:
        await read_from("system", lambda: Spoilt(System())).to(to_list()).run(supervisor=Rule(Action.DEAD_LETTER))
    assert isinstance(caught.value.__cause__, BadRecord)


async def test_a_pull_that_is_cancelled_while_a_record_is_put_aside_loses_neither() -> None:
    for passes in range(12):
        shelf, system, window = Shelf(), System(), Witness()
        read = read_from("system", lambda system=system: Spoilt(system)).source_ack(window)
        placed = read.within(lambda m, shelf=shelf: m.within(dead_letters=shelf))
        async with pulled(placed, supervisor=Rule(Action.DEAD_LETTER)) as stage:
            assert await drain_with_cuts(stage, passes, 3) == [0, 1, 2, 4, 5, 6, 8, 9]
        assert sorted(shelf.letters) == [3, 7]
