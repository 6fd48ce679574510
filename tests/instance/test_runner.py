"""The life of one stream: commands one after the other, a drain with a limit, failures that stay its own."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.config.key import Key
from teleporter_lab.errors import ConnectorError, InvalidConfig, NotFound, Problem, TemplateError
from teleporter_lab.instance import runner
from teleporter_lab.instance.positions import load
from teleporter_lab.instance.runner import SHOWN, StreamRunner, describe
from teleporter_lab.rpc.messages import KVSave
from teleporter_lab.testing.clock import FakeClock
from tests.instance.conftest import STREAM, Desk
from tests.instance.seat import COPY, GATED, HELD, Seat, seat_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.client import Client
    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.rpc.messages import StreamState

KEY = Key.parse(STREAM)
SOURCE = Key.parse("/source/test/task/copy/rows")


class Bench:
    """One runner at a real broker, its desk, and every status it has had."""

    def __init__(self, desk: Desk, seat: Seat, drain: float = 5.0) -> None:
        self.desk = desk
        self.seat = seat
        self.states: list[StreamState] = []
        self.gate = desk.folder / "gate"
        self.runner = StreamRunner(KEY, seat.services, drain, self._changed, seat.epoch)
        self._news = asyncio.Event()

    def _changed(self, runner: StreamRunner) -> None:
        self.states.append(runner.statistics())
        self._news.set()

    @property
    def statuses(self) -> list[str]:
        return [state.status for state in self.states]

    async def save(self, template: str, **fields: Any) -> None:
        await self.desk.client.save(STREAM, {"template": template.replace("GATE", repr(str(self.gate))), **fields})

    async def until(self, status: str) -> StreamState:
        async with asyncio.timeout(20):
            while not self.states or self.states[-1].status != status:
                self._news.clear()
                await self._news.wait()
        return self.states[-1]

    async def written(self, n: int) -> None:
        """Returns when that many rows are through."""
        async with asyncio.timeout(20):
            while self.runner.ledger().written < n:
                await asyncio.sleep(0.005)

    @property
    def ids(self) -> list[int]:
        return [json.loads(line)["id"] for line in self.desk.output.read_text().splitlines()]


@asynccontextmanager
async def bench_at(broker: Running, client: Client, folder: Path, clock: Clock | None = None) -> AsyncIterator[Bench]:
    async with seat_at(broker, clock=clock) as seat:
        desk = Desk(client, folder)
        await desk.prepare(200)
        await client.refresh("/group/test/all")
        yield Bench(desk, seat)


@pytest.fixture
async def bench(broker: Running, client: Client, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_at(broker, client, tmp_path) as found:
        yield found
        found.gate.touch()
        await found.runner.drop("NORMAL")


# ---- commands


async def test_it_runs_to_the_end_and_counts(bench: Bench) -> None:
    await bench.save(COPY)
    assert (bench.runner.status, bench.runner.alive) == ("NORMAL", False)
    await bench.runner.start()
    state = await bench.until("COMPLETE")
    assert bench.statuses == ["RUNNING", "COMPLETE"]
    assert (state.key, state.instance, state.error, state.restarts, state.rate) == (
        STREAM,
        "/instance/test/one",
        "",
        0,
        0,
    )
    assert state.counts == {**dict.fromkeys(state.counts, 0), "read": 200, "written": 200}
    assert not bench.runner.alive
    assert bench.runner.keys == {STREAM, "/task/test/task", str(SOURCE), "/sink/test/task/copy/lines"}


async def test_started_twice_it_runs_once(bench: Bench) -> None:
    await bench.save(GATED)
    await asyncio.gather(*(bench.runner.start() for _ in range(3)))
    await bench.runner.start()
    assert bench.statuses == ["RUNNING"]
    bench.gate.touch()
    await bench.until("COMPLETE")
    assert bench.ids == list(range(200))


async def test_a_stop_while_it_is_made_ready_has_the_last_word(bench: Bench) -> None:
    await bench.save(COPY)
    starting = asyncio.create_task(bench.runner.start())
    await asyncio.sleep(0)
    await bench.runner.stop()
    assert starting.done()
    assert (bench.runner.status, bench.runner.alive) == ("STOPPED", False)
    await bench.runner.start()
    await bench.until("COMPLETE")
    assert bench.ids == list(range(200))


async def test_a_stop_drains_what_was_read(bench: Bench) -> None:
    await bench.save(GATED)
    await bench.runner.start()
    await bench.written(50)
    stopping = asyncio.create_task(bench.runner.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    bench.gate.touch()
    await stopping
    ledger = bench.runner.ledger()
    assert bench.statuses == ["RUNNING", "STOPPED"]
    assert ledger.in_flight == 0
    assert ledger.read == ledger.written == len(bench.ids) > 50
    assert (await load(bench.seat.link, SOURCE)).ledger == ledger


async def test_what_does_not_drain_is_stopped_hard_with_the_confirmed_prefix_committed(bench: Bench) -> None:
    await bench.save(GATED)
    hasty = StreamRunner(KEY, bench.seat.services, 0.05, bench._changed, bench.seat.epoch)
    await hasty.start()
    while hasty.ledger().written < 50:
        await asyncio.sleep(0.005)
    await hasty.stop()
    assert bench.statuses == ["RUNNING", "STOPPED"]
    kept = await load(bench.seat.link, SOURCE)
    assert bench.ids == list(range(50))
    assert kept.ledger.read == (kept.position or {}).get("row", 0) <= 50
    assert kept.ledger.in_flight == 0
    bench.gate.touch()
    await bench.runner.start()
    state = await bench.until("COMPLETE")
    assert bench.ids == [*range(50), *range(kept.ledger.read, 200)]
    assert (state.counts["read"], state.counts["in_flight"]) == (200, 0)


async def test_a_thread_that_cannot_be_broken_off_is_waited_for_and_the_status_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STUCK_SECONDS", 0.01)
    await bench.save(HELD)
    hasty = StreamRunner(KEY, bench.seat.services, 0.05, bench._changed, bench.seat.epoch)
    await hasty.start()
    while not bench.gate.with_suffix(".entered").exists():
        await asyncio.sleep(0.005)
    stopping = asyncio.create_task(hasty.stop())
    async with asyncio.timeout(20):
        while hasty.statistics().error != runner.STUCK:
            await asyncio.sleep(0.005)
    assert not stopping.done()
    bench.gate.touch()
    await stopping
    assert (hasty.status, hasty.statistics().error) == ("STOPPED", "")


async def test_a_stop_of_what_does_not_run_says_stopped(bench: Bench) -> None:
    await bench.runner.stop()
    await bench.runner.stop("NORMAL")
    assert bench.statuses == ["STOPPED", "NORMAL"]


async def test_dropped_it_does_nothing_any_more(bench: Bench) -> None:
    """A refresh that waited for its turn must not start what was given to another instance."""
    await bench.save(GATED)
    await bench.runner.start()
    await bench.written(50)
    dropping = asyncio.create_task(bench.runner.drop("NORMAL"))
    waiting = [asyncio.create_task(bench.runner.refresh(always=True)), asyncio.create_task(bench.runner.start())]
    await asyncio.sleep(0)
    bench.gate.touch()
    await dropping
    assert await asyncio.gather(*waiting) == [False, None]
    assert bench.statuses == ["RUNNING", "NORMAL"]
    assert not bench.runner.alive


# ---- refresh


async def test_a_refresh_changes_what_changed(bench: Bench) -> None:
    await bench.save(GATED)
    await bench.runner.start()
    await bench.written(50)
    assert await bench.runner.refresh()
    assert bench.statuses == ["RUNNING"]
    await bench.save(GATED + "\n")
    bench.gate.touch()
    assert await bench.runner.refresh()
    state = await bench.until("COMPLETE")
    assert (bench.statuses, state.restarts) == (["RUNNING", "RUNNING", "COMPLETE"], 1)
    assert bench.ids == list(range(200))


async def test_a_bad_config_is_raised_and_the_old_one_runs_on(bench: Bench) -> None:
    await bench.save(GATED)
    await bench.runner.start()
    await bench.written(50)
    await bench.save("def")
    with pytest.raises(TemplateError):
        await bench.runner.refresh()
    assert bench.statuses == ["RUNNING"]
    bench.gate.touch()
    await bench.until("COMPLETE")
    assert bench.ids == list(range(200))


async def test_a_refresh_starts_what_has_failed(bench: Bench) -> None:
    await bench.save("def")
    with pytest.raises(TemplateError):
        await bench.runner.start()
    assert (bench.runner.status, bench.states[-1].error) == ("FAILURE", (await failure_of(bench)))
    await bench.save(COPY)
    assert await bench.runner.refresh()
    state = await bench.until("COMPLETE")
    assert (state.error, state.restarts) == ("", 0)


async def failure_of(bench: Bench) -> str:
    with pytest.raises(TemplateError) as caught:
        await bench.runner.start()
    return str(caught.value)


async def test_a_stream_that_is_not_there_fails_with_a_sentence(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.runner.start()
    assert bench.states[-1].error == f"There is no stream at {STREAM}; save one there."


# ---- failures


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("exec('raise ValueError(chr(0xdc80) + 10**7 * \\'x\\')')", "ValueError: \\udc80xxx"),
    ],
    ids=["error", "unspeakable"],
)
async def test_a_failure_is_told_and_stays_its_own(bench: Bench, function: str, sentence: str) -> None:
    await bench.save(COPY.replace(".to(", f".map(lambda row: {function}).to("))
    await bench.runner.start()
    state = await bench.until("FAILURE")
    assert state.error.startswith(sentence)
    assert len(state.error.encode()) < 5 * SHOWN
    assert bench.seat.link.tell(state)
    await bench.save(COPY)
    await bench.runner.start()
    await bench.until("COMPLETE")
    assert bench.ids == list(range(200))


async def test_a_broken_record_of_the_position_fails_it_and_nothing_else(bench: Bench) -> None:
    record = '{"position": {"offset": 0}, "ledger": {"read": "many"}}'
    await bench.seat.link.request(KVSave("runtime", "/position/test/task/copy/rows", record))
    await bench.save(COPY)
    await bench.runner.start()
    state = await bench.until("FAILURE")
    assert "is no position" in state.error
    assert bench.runner.statistics().counts["read"] == 0


async def test_when_another_one_commits_it_fails(bench: Bench) -> None:
    """Two runs of one stream, on whatever instances: the later commit is refused."""
    await bench.save(GATED)
    await bench.runner.start()
    await bench.written(50)
    record = {"position": {"offset": 0}, "ledger": {}}
    await bench.seat.link.request(KVSave("runtime", "/position/test/task/copy/rows", json.dumps(record)))
    bench.gate.touch()
    state = await bench.until("FAILURE")
    assert "/position/test/task/copy/rows" in state.error
    assert (await load(bench.seat.link, SOURCE)).position == {"offset": 0}


async def test_a_rule_that_cannot_be_used_leaves_the_failure_as_it_is(bench: Bench) -> None:
    """Its pattern takes too long on this message."""
    failing = ".map(lambda row: exec('raise ValueError(\"a\" * 400)')).to("
    await bench.save(COPY.replace(".to(", failing), errorRules=[r"^(a|aa|a.|.a)+\d$ => restart"])
    await bench.runner.start()
    state = await bench.until("FAILURE")
    assert state.error.startswith("ValueError: aaaa")
    assert (state.restarts, bench.runner.alive) == (0, False)


async def test_a_rule_restarts_it_after_a_while_that_a_stop_ends(
    broker: Running, client: Client, tmp_path: Path
) -> None:
    clock = FakeClock()
    async with bench_at(broker, client, tmp_path, clock) as bench:

        async def waits(tries: int) -> None:
            async with asyncio.timeout(20):
                while f"Restarts in 10.0 s, try {tries}" not in bench.states[-1].error:
                    await clock.advance(0.0)

        await bench.save(
            COPY.replace(".to(", ".map(lambda row: 1 / 0).to("),
            errorRules=["division:INFO => restart(delay = 10.seconds, retries = 2)"],
        )
        await bench.runner.start()
        for tries in (1, 2):
            await waits(tries)
            assert bench.states[-1].restarts == tries - 1
            await clock.advance(10.0)
        state = await bench.until("FAILURE")
        assert (state.restarts, state.error.split("\n")[0]) == (2, "ZeroDivisionError: division by zero")
        await bench.runner.start()
        await waits(1)
        await bench.runner.stop()
        assert (bench.runner.status, bench.runner.alive) == ("STOPPED", False)


# ---- statistics


async def test_the_rate_is_that_of_the_last_while(broker: Running, client: Client, tmp_path: Path) -> None:
    """The window of un-confirmed records lets 60 be read while the gate is shut."""
    clock = FakeClock()
    async with bench_at(broker, client, tmp_path, clock) as bench:
        source = (await client.get(str(SOURCE)))["value"]
        await client.save(str(SOURCE), {**source, "ack": {"cacheSize": 60, "maxAge": "Inf"}})
        shut = GATED.replace(".throttle(10, per=0.001)", "").replace(">= 50", ">= 0")
        await bench.save(shut.replace("map_async(1,", "map_async(100,"))
        await bench.runner.start()
        async with asyncio.timeout(20):
            while bench.runner.ledger().read < 60:
                await asyncio.sleep(0.005)
        rates: list[float] = []
        for seconds in (0.4, 1.6, 0.0, 0.4, 1.0):
            await clock.advance(seconds)
            rates.append(bench.runner.statistics().rate)
        assert rates == [0.0, 30.0, 30.0, 30.0, 0.0]
        assert bench.runner.statistics().counts["in_flight"] == 60
        bench.gate.touch()
        async with asyncio.timeout(20):
            while bench.runner.alive:
                await clock.advance(1.0)
        assert bench.runner.statistics().rate == 0.0
        assert bench.ids == list(range(200))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no luck"), "ValueError: no luck"),
        (ConnectorError("It said no."), "It said no."),
        (InvalidConfig("Bad.", (Problem("a.b", "Must be a number."),)), "Bad.\n  a.b: Must be a number."),
        (ValueError(), "ValueError: "),
        (ValueError("\ud800"), "ValueError: \\ud800"),
        (ValueError("x" * 10_000), "ValueError: " + "x" * (SHOWN - 12) + "…"),
    ],
    ids=range(6),
)
def test_an_error_is_described_in_words_that_can_be_sent(error: Exception, text: str) -> None:
    assert describe(error) == text


def test_its_notes_say_where_it_happened() -> None:
    error = ValueError("no luck")
    error.add_note("In map, on the element 7")
    assert describe(error) == "ValueError: no luck\nIn map, on the element 7"
