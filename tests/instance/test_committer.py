"""When positions are committed, in virtual time: by count, by time, on idle, at the end, and to whom first."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.daemon import Options, running
from teleporter_lab.client import Client
from teleporter_lab.engine.ack import AckWindow, Ledger
from teleporter_lab.errors import Conflict, ConnectorError, StoreError
from teleporter_lab.instance.committer import LAST_TRIES, Committer
from teleporter_lab.instance.positions import Committed, load, parse_note, parse_record, position_key
from teleporter_lab.rpc.messages import KeyValue, PositionCommit
from teleporter_lab.testing.clock import FakeClock
from tests.instance.commit_desk import SOURCE, Desktop, System, at_work
from tests.instance.conftest import Desk
from tests.instance.seat import seat_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from teleporter_lab.rpc.messages import Message

# ---- when


async def test_by_time_one_interval_after_the_first_record_that_waits() -> None:
    async with at_work() as desk:
        await desk.clock.advance(0.4)
        desk.read(1)
        await desk.clock.advance(0.9)
        desk.read(2)
        assert desk.keep.positions == []
        await desk.clock.advance(0.1)
        assert desk.keep.positions == [3]
        assert desk.committer.commits == 1


async def test_on_idle_the_tail_is_committed_although_nothing_happens_any_more() -> None:
    """The ancestor committed only with an ack that came after the interval, so that the tail never was."""
    async with at_work() as desk:
        for _ in range(3):
            desk.read(1)
            await desk.clock.advance(1.0)
        desk.read(1)
        await desk.clock.advance(0.0)
        await desk.clock.advance(1.0)
        assert desk.keep.positions == [1, 2, 3, 4]


async def test_a_source_where_nothing_happens_has_no_timer_at_all() -> None:
    async with at_work() as desk:
        assert desk.clock.timers == []
        desk.read(1)
        desk.read(1, written=False)
        await desk.clock.advance(1.0)
        assert desk.keep.positions == [1]
        assert desk.clock.timers == []
        desk.window.open(1, 3, 0.0).refuse(OSError())
        await desk.clock.settle()
        assert desk.clock.timers == [], "what is refused is no progress"


async def test_by_count_when_more_than_half_of_what_the_window_holds_waits_for_it() -> None:
    async with at_work() as desk:
        desk.read(50)
        await desk.clock.settle()
        assert desk.keep.positions == []
        desk.read(1)
        await desk.clock.settle()
        assert (desk.keep.positions, desk.clock.now()) == ([51], 0.0)


async def test_by_the_count_that_the_config_sets() -> None:
    async with at_work(most=25) as desk:
        for _ in range(3):
            desk.read(24)
            await desk.clock.settle()
            desk.read(1)
            await desk.clock.settle()
        desk.read(100)
        await desk.clock.settle()
        assert (desk.keep.positions, desk.clock.now()) == ([25, 50, 75, 175], 0.0)


async def test_what_comes_while_a_commit_is_under_way_goes_with_the_next_one() -> None:
    async with at_work(most=10) as desk:
        desk.keep.going.clear()
        desk.read(10)
        await desk.clock.settle()
        desk.read(10)
        await desk.clock.advance(5.0)
        assert desk.keep.asked == 1
        desk.keep.going.set()
        await desk.clock.settle()
        assert desk.keep.positions == [10, 20]


async def test_at_the_end_and_on_stop_what_is_confirmed_is_committed() -> None:
    desk = Desktop()
    desk.read(3)
    desk.read(4, written=False)
    await desk.committer.finish(desk.clock)
    assert desk.keep.positions == [3]
    assert not await desk.committer.commit()


async def test_it_is_tried_again_with_growing_pauses_until_it_goes_through() -> None:
    async with at_work() as desk:
        desk.keep.failures = [StoreError("The database is away.")] * 6
        desk.read(1)
        await desk.clock.advance(1.0)
        desk.read(1)
        await desk.clock.advance(60.0)
        assert (desk.keep.asked, desk.keep.positions) == (8, [1, 2]), "with all that was confirmed meanwhile"
        pauses = desk.clock.sleeps
        assert [round(b / a) for a, b in zip(pauses, [0.5, 1, 2, 4, 8, 10], strict=True)] == [1] * 6
        assert desk.clock.timers == []


async def test_another_run_that_has_committed_ends_the_loop() -> None:
    desk = Desktop()
    keeping = asyncio.create_task(desk.committer.keep_committing(desk.clock, 1.0))
    desk.keep.failures = [Conflict("Another one has committed.")]
    desk.keep.request = _conflicting(desk.keep.request)  # type: ignore[method-assign]
    desk.read(1)
    await desk.clock.advance(1.0)
    with pytest.raises(Conflict):
        await keeping


def _conflicting(request: Callable[..., Awaitable[Message]]) -> Any:
    """The store says what it keeps, too: something of another."""

    async def answer(message: Message, timeout: float = 30.0) -> Message:
        if not isinstance(message, PositionCommit):
            return KeyValue("", "no JSON at all")
        return await request(message)

    return answer


# ---- a position that belongs to another system


async def test_the_system_that_owns_the_position_is_told_before_our_store() -> None:
    system = System()
    async with at_work(lambda: system) as desk:
        system.keep = desk.keep
        for _ in range(2):
            desk.read(5)
            await desk.clock.advance(1.0)
        assert (system.committed, system.kept, desk.keep.positions) == ([5, 10], [0, 1], [5, 10])


async def test_a_system_that_refuses_is_asked_again_and_our_store_waits_for_it() -> None:
    system = System(*[ConnectorError("The group is rebalancing.")] * 3)
    async with at_work(lambda: system) as desk:
        desk.read(5)
        await desk.clock.advance(1.0)
        assert (desk.keep.asked, system.committed) == (0, [])
        desk.read(1)
        await desk.clock.advance(10.0)
        assert (system.committed, desk.keep.positions) == ([6], [6])


async def test_a_system_that_has_accepted_is_not_told_twice_when_our_store_fails() -> None:
    system = System()
    async with at_work(lambda: system) as desk:
        desk.keep.failures = [StoreError("The database is away.")]
        desk.read(5)
        await desk.clock.advance(10.0)
        assert (system.committed, set(desk.keep.positions)) == ([5], {5})


async def test_it_is_the_present_reader_that_is_told_and_one_that_keeps_no_position_is_not() -> None:
    readers: list[object] = [object(), System()]
    async with at_work(lambda: readers[0]) as desk:
        desk.read(1)
        await desk.clock.advance(1.0)
        system = readers[0] = System()
        desk.read(1)
        await desk.clock.advance(1.0)
        assert (system.committed, desk.keep.positions) == ([2], [1, 2])


async def test_the_last_commit_of_a_run_gives_up_on_a_system_that_goes_on_refusing() -> None:
    system = System(*[ConnectorError("No such group.")] * LAST_TRIES)
    desk = Desktop(lambda: system)
    desk.read(1)
    with pytest.raises(ConnectorError, match="No such group"):
        await desk.clock.run(desk.committer.finish(desk.clock))
    assert desk.keep.asked == 0


async def test_it_gives_up_as_well_when_our_store_was_away_at_that_very_try() -> None:
    refused = ConnectorError("No such group.")
    system = System(*[refused] * (LAST_TRIES - 1), StoreError("Away."), refused)
    desk = Desktop(lambda: system)
    desk.read(1)
    with pytest.raises(ConnectorError, match="No such group"):
        await desk.clock.run(desk.committer.finish(desk.clock))
    assert desk.keep.positions == []


async def test_settled_returns_when_all_that_was_given_out_is_confirmed_and_committed() -> None:
    system = System()
    async with at_work(lambda: system) as desk:
        await desk.committer.settled()
        done, last = desk.read(5, written=False), desk.read(5, written=False)
        settling = asyncio.create_task(desk.committer.settled())
        await desk.clock.settle()
        desk.read(7, written=False)
        done.confirm()
        await desk.clock.settle()
        assert not settling.done()
        last.confirm()
        await settling
        assert (system.committed, desk.keep.positions, desk.clock.now()) == ([10], [10], 0.0)
        await desk.clock.advance(5.0)
        assert system.committed == [10]
        again = asyncio.create_task(desk.committer.settled())
        await desk.clock.settle()
        again.cancel()
        await asyncio.wait((again,))
        assert desk.committer.acks()["commit_lag"] == 0.0


# ---- what is kept


async def test_the_id_of_a_change_by_a_person_is_carried_on() -> None:
    async with at_work(base=parse_record('{"position": 3, "set": "01J"}', "/position/x")) as desk:
        desk.read(1)
        await desk.clock.advance(1.0)
        desk.read(1)
        await desk.clock.advance(1.0)
        assert [commit["set"] for commit in desk.keep.commits] == ["01J", "01J"]
    async with at_work(base=parse_record('{"position": 3}', "/position/x")) as desk:
        desk.read(1)
        await desk.clock.advance(1.0)
        assert "set" not in desk.keep.commits[0]


async def test_the_record_of_a_progress_is_what_a_commit_keeps() -> None:
    desk = Desktop(base=Committed(1, Ledger(read=9, written=9), "x"))
    token = desk.read(5, written=False)
    token.account("written", 5)
    progress = desk.window.progress_with([token])
    assert progress is not None
    record = json.loads(desk.committer.record(progress))
    token.confirm()
    await desk.committer.commit()
    assert {**record, "at": 0} == {**desk.keep.commits[0], "at": 0}
    assert (record["ledger"]["read"], record["ledger"]["written"], record["epoch"]) == (14, 14, 7)


async def test_the_system_keeps_the_ledger_as_a_note_without_the_position() -> None:
    system = System()
    async with at_work(
        lambda: system, parse_record('{"position": 3, "ledger": {"read": 5}, "set": "01J"}', "")
    ) as desk:
        desk.read(4)
        await desk.clock.advance(1.0)
    (note,), (commit,) = system.notes, desk.keep.commits
    assert {**note, "at": 0} == {**commit, "at": 0, "position": None, "key": position_key(SOURCE)}
    assert (note["ledger"]["read"], note["set"]) == (9, "01J")
    found = parse_note(json.dumps(note), position_key(SOURCE))
    assert found is not None
    assert (found.ledger.read, found.set_by, found.fresh) == (9, "01J", False)


# ---- the alarm


async def test_a_ledger_that_does_not_add_up_is_an_alarm_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with at_work() as desk:
        for lost in (0, 2, 0, 1):
            token = desk.read(10, written=False)
            token.account("written", 10 - lost)
            token.confirm()
            await desk.clock.advance(1.0)
        assert desk.keep.positions == [10, 20, 30, 40]
        assert desk.committer.alarms == 2
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert said == [f"{SOURCE}: the ledger does not add up: in what is committed, 20 read = 18 written + 2 in flight."]


async def test_records_that_are_lacking_at_the_end_are_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    for ended, alarms in ((True, 1), (False, 0)):
        desk = Desktop()
        desk.read(3)
        desk.read(4, written=False)
        desk.window.exhausted = ended
        await desk.committer.finish(desk.clock)
        assert desk.committer.alarms == alarms
    assert "its source has ended, and 4 of its records are neither written nor accounted for" in caplog.text


async def test_what_people_see_of_acks() -> None:
    async with at_work() as desk:
        desk.read(1)
        desk.read(2, written=False)
        await desk.clock.advance(0.25)
        assert desk.committer.acks() == {
            "unconfirmed": 2, "oldest_age": 0.25, "redelivered": 0, "late": 0, "commits": 0, "commit_lag": 0.25,
        }  # fmt: skip
        await desk.clock.advance(1.75)
        desk.window.redeliver(next(desk.window.unconfirmed()), desk.clock.now()).confirm()
        await desk.clock.advance(1.0)
        assert desk.committer.acks() == {
            "unconfirmed": 0, "oldest_age": 0.0, "redelivered": 1, "late": 0, "commits": 2, "commit_lag": 0.0,
        }  # fmt: skip


# ---- at a real broker


def confirm(window: AckWindow, at: int) -> None:
    window.open(1, {"offset": at}, 0.0).confirm()


async def test_a_broker_that_was_away_gets_what_was_confirmed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    options = Options(port=0, rpc_port=0, store=f"sqlite:{tmp_path / 'store.sqlite'}", drain=1.0)
    clock, window = FakeClock(), AckWindow(10)
    async with running(options) as broker, Client(broker.url, broker.token) as client:
        ports = {"port": int(broker.url.rpartition(":")[2]), "rpc_port": int(broker.rpc.rpartition(":")[2])}
        seat = await (entered := seat_at(broker)).__aenter__()
        await Desk(client, tmp_path).prepare()
        await client.refresh("/group/test/all")
        one = Committer(seat.link, SOURCE, window, await load(seat.link, SOURCE), lambda: seat.epoch)
        keeping = asyncio.create_task(one.keep_committing(clock, 1.0))
        confirm(window, 1)
        await clock.advance(1.0)
    confirm(window, 2)
    await clock.advance(5.0)
    async with running(replace(options, **ports)) as broker, Client(broker.url, broker.token) as client:
        await seat.link.wait_ready(5.0)
        async with asyncio.timeout(5):
            while one.commits == 0 or (await client.runtime_get(position_key(SOURCE)))["value"]["position"] != {
                "offset": 2
            }:
                await clock.advance(1.0)
        keeping.cancel()
        await asyncio.wait([keeping])
        await entered.__aexit__(None, None, None)
