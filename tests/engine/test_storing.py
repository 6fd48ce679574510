"""Batches that fail: the records that are to blame are found, their neighbours are stored, the ledger is right."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.writing import write_to, write_to_blocking
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.errors import AddressUnreachable, BadRecord, RecordsRefused
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from teleporter_lab.engine.graph import Sink

RESUME, RETRY, RELOAD, STOP, ASIDE = Action.RESUME, Action.RETRY, Action.RELOAD, Action.STOP, Action.DEAD_LETTER


class Rules:
    """Decides as `of` says, after `delay`; notes what it was asked about. Takes dead letters, too."""

    def __init__(self, of: Callable[[Failure], Action], delay: float = 0.0) -> None:
        self.asked: list[Failure] = []
        self.letters: list[Any] = []
        self._of = of
        self._delay = delay

    def decide(self, failure: Failure) -> Decision:
        self.asked.append(failure)
        return Decision(self._of(failure), self._delay)

    async def put(self, failure: Failure) -> None:
        await asyncio.sleep(0)
        self.letters.append(failure.element)


def always(action: Action) -> Rules:
    return Rules(lambda _: action)


class Target:
    """Keeps what it is given, whole batches of good records only; `how` says with what a batch fails."""

    columnar = True

    def __init__(self, bad: Collection[int] = (), how: str = "plain") -> None:
        self.bad = set(bad)
        self.how = how
        self.stored: list[int] = []
        self.writes: list[list[int]] = []
        self.opens = 0

    async def open(self) -> None:
        self.opens += 1

    async def write(self, records: Any) -> None:
        await asyncio.sleep(0)
        rows = records if isinstance(records, list) else records.column("x").to_pylist()
        self.writes.append(rows)
        wrong = {i: BadRecord(f"{x} is bad") for i, x in enumerate(rows) if x in self.bad}
        if wrong and self.how == "refuses":
            self.stored += [x for x in rows if x not in self.bad]
            raise RecordsRefused.of(wrong, "The target")
        if wrong:
            raise BadRecord("There is a bad record.", index=min(wrong) if self.how == "index" else None)
        self.stored += rows

    async def close(self) -> None: ...


class BlockingTarget(Target):
    def open(self) -> None:  # type: ignore[override]
        self.opens += 1

    def write(self, records: Any) -> None:  # type: ignore[override]
        work = super().write(records)
        try:
            while True:
                work.send(None)
        except StopIteration:
            return

    def close(self) -> None: ...  # type: ignore[override]


async def run(target: Target, rules: Rules, source: SourceProbe, size: int = 8, runtime: Runtime | None = None) -> None:
    write: Any = write_to_blocking if isinstance(target, BlockingTarget) else write_to
    sink: Sink[Any, None] = write("target", lambda: target, size, 60.0)
    await source.as_source().to(sink).run(runtime, rules, rules)


HOW = pytest.mark.parametrize("how", ["plain", "index", "refuses"])


@HOW
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("action", [RESUME, ASIDE])
def test_good_neighbours_are_stored_in_order_and_only_the_bad_ones_are_left_out(
    how: str, columns: bool, action: Action
) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 9), max_size=8), st.integers(1, 20), st.data())
    def check(chunks: list[int], size: int, data: st.DataObject) -> None:
        count = sum(chunks)
        bad = data.draw(st.sets(st.integers(0, count - 1))) if count else set[int]()
        asyncio.run(one(chunks, size, bad))

    async def one(chunks: list[int], size: int, bad: set[int]) -> None:
        window, target, rules = Witness(), Target(bad, how), always(action)
        numbers = iter(range(1000))
        script: list[Any] = [[next(numbers) for _ in range(n)] for n in chunks]
        every = [x for chunk in script for x in chunk]
        if columns:
            script = [pa.record_batch({"x": chunk}) for chunk in script]
        await run(target, rules, SourceProbe(script, window=window), size)
        assert target.stored == [x for x in every if x not in bad]
        left = [x["x"] if columns else x for x in rules.letters]
        assert left == (sorted(bad) if action is ASIDE else [])
        ledger = window.ledger()
        assert (ledger.written, ledger.skipped + ledger.dead_lettered) == (len(every) - len(bad), len(bad))
        assert ledger.dead_lettered == len(left)
        window.check_all_settled()

    check()


async def test_halving_costs_two_writes_for_each_doubling_of_the_batch() -> None:
    target = Target({700})
    await run(target, always(RESUME), SourceProbe([list(range(1024))]), 1024)
    assert len(target.stored) == 1023
    assert len(target.writes) == 1 + 2 * 10


async def test_rules_are_asked_about_the_batch_and_about_each_record_that_fails() -> None:
    rules = always(ASIDE)
    await run(Target({3, 5}), rules, SourceProbe([list(range(8))]))
    assert [failure.element for failure in rules.asked] == [[0, 1, 2, 3, 4, 5, 6, 7], [3], [5]]


async def test_when_all_retries_are_spent_on_the_batch_a_record_of_it_is_not_retried_again() -> None:
    rules = Rules(lambda failure: RETRY if failure.tries <= 3 else ASIDE)
    target = Target({3})
    await run(target, rules, SourceProbe([list(range(8))]))
    assert target.writes[:4] == [list(range(8))] * 4
    assert [failure.tries for failure in rules.asked] == [1, 2, 3, 4, 5]
    assert (target.stored, rules.letters) == ([0, 1, 2, 4, 5, 6, 7], [3])


async def test_the_delay_of_a_rule_that_leaves_out_is_waited_for_once_a_batch() -> None:
    clock = FakeClock()
    async with Runtime(clock) as runtime:
        rules = Rules(lambda _: RESUME, 30.0)
        await clock.run(run(Target({1, 2, 5}), rules, SourceProbe([list(range(8))]), 8, runtime))
    assert clock.now() == 30.0


async def test_another_error_while_a_batch_is_halved_is_a_first_one() -> None:
    class Shaky(Target):
        async def write(self, records: Any) -> None:
            if len(self.writes) == 2:
                self.writes.append([])
                raise AddressUnreachable("It restarts.")
            await super().write(records)

    rules = Rules(lambda failure: RELOAD if isinstance(failure.error, AddressUnreachable) else RESUME)
    target, window = Shaky({1}), Witness()
    await run(target, rules, SourceProbe([list(range(8))], window=window))
    assert target.stored == [0, 2, 3, 4, 5, 6, 7]
    assert [failure.tries for failure in rules.asked if isinstance(failure.error, AddressUnreachable)] == [1]
    assert target.opens == 2
    window.check_all_settled()


@pytest.mark.parametrize("error", [AddressUnreachable("gone"), ConnectionResetError("gone"), TimeoutError("gone")])
@pytest.mark.parametrize("action", [RESUME, ASIDE])
async def test_a_system_that_is_away_is_decided_about_as_a_whole(error: Exception, action: Action) -> None:
    class Away(Target):
        async def write(self, records: Any) -> None:
            self.writes.append(records)
            raise error

    target, rules, window = Away(), always(action), Witness()
    await run(target, rules, SourceProbe([list(range(20))], window=window))
    assert [len(write) for write in target.writes] == [8, 8, 4]
    assert len(rules.asked) == 3
    assert rules.letters == ([] if action is RESUME else list(range(20)))
    assert window.ledger().skipped + window.ledger().dead_lettered == 20
    window.check_all_settled()


async def test_a_record_of_a_halved_batch_that_stops_the_stream_leaves_all_of_it_unconfirmed() -> None:
    rules = Rules(lambda failure: STOP if failure.element == [3] else RESUME)
    window = Witness()
    with pytest.raises(BadRecord) as caught:
        await run(Target({3}), rules, SourceProbe([list(range(8))], window=window))
    assert caught.value.__notes__ == ["In target, on the element [3]"]
    assert (window.progress, window.refused) == (None, 1)


@HOW
async def test_a_blocking_writer_is_halved_as_well(how: str) -> None:
    target, rules, window = BlockingTarget({2, 9}, how), always(ASIDE), Witness()
    await run(target, rules, SourceProbe([list(range(12))], window=window))
    assert target.stored == [x for x in range(12) if x not in {2, 9}]
    assert rules.letters == [2, 9]
    window.check_all_settled()


# ----------------------------------------------------------------------------------------------------- named records


async def test_refused_records_are_decided_about_one_by_one() -> None:
    fates = {1: RESUME, 4: ASIDE, 6: RESUME}
    rules, target, window = Rules(lambda failure: fates[failure.element]), Target(fates, "refuses"), Witness()
    await run(target, rules, SourceProbe([list(range(8))], window=window))
    assert target.writes == [list(range(8))], "the others are stored"
    assert rules.letters == [4]
    assert [str(failure.error) for failure in rules.asked] == ["1 is bad", "4 is bad", "6 is bad"]
    ledger = window.ledger()
    assert (ledger.written, ledger.skipped, ledger.dead_lettered) == (5, 2, 1)
    window.check_all_settled()


async def test_only_the_refused_ones_are_written_again_and_their_tries_are_counted() -> None:
    class Busy(Target):
        async def write(self, records: Any) -> None:
            if len(self.writes) == 2:
                self.bad.clear()
            await super().write(records)

    rules, target, window = always(RETRY), Busy({2, 3, 7}, "refuses"), Witness()
    await run(target, rules, SourceProbe([list(range(8))], window=window))
    assert target.writes == [list(range(8)), [2, 3, 7], [2, 3, 7]]
    assert sorted(target.stored) == list(range(8))
    assert [failure.tries for failure in rules.asked] == [1, 1, 1, 2, 2, 2]
    window.check_all_settled()


async def test_each_refused_record_has_its_own_fate() -> None:
    rules = Rules(lambda failure: {1: RETRY, 2: RELOAD}[failure.element] if failure.tries < 3 else RESUME)
    target, window = Target({1, 2}, "refuses"), Witness()
    await run(target, rules, SourceProbe([list(range(4))], window=window))
    assert target.writes == [[0, 1, 2, 3], [1, 2], [1, 2]]
    assert target.opens == 3, "one of them wants a reload"
    assert (window.ledger().written, window.ledger().skipped) == (2, 2)


async def test_a_refused_record_may_stop_the_stream() -> None:
    rules, window = Rules(lambda failure: STOP if failure.element == 6 else RESUME), Witness()
    with pytest.raises(BadRecord, match="6 is bad") as caught:
        await run(Target({1, 6}, "refuses"), rules, SourceProbe([list(range(8))], window=window))
    assert caught.value.__notes__ == ["In target, on the element 6"]
    assert (window.progress, window.refused) == (None, 1)


async def test_refused_records_that_fail_as_a_batch_the_next_time_are_halved() -> None:
    class Turns(Target):
        async def write(self, records: Any) -> None:
            self.how = "plain" if self.writes else "refuses"
            if self.writes:
                self.bad = {5}
            await super().write(records)

    rules = Rules(lambda failure: RETRY if not isinstance(failure.element, list) else ASIDE)
    target, window = Turns({2, 3, 5, 7}), Witness()
    await run(target, rules, SourceProbe([list(range(8))], window=window))
    assert sorted(target.stored) == [0, 1, 2, 3, 4, 6, 7]
    assert rules.letters == [5]
    window.check_all_settled()


async def test_a_writer_that_names_a_bad_record_saves_the_halving() -> None:
    target = Target({3, 700}, "index")
    await run(target, always(RESUME), SourceProbe([list(range(1024))]), 1024)
    assert [len(write) for write in target.writes] == [1024, 1023, 1022]


async def test_a_named_record_that_is_to_be_tried_again_is_tried_with_its_batch() -> None:
    rules = Rules(lambda failure: RETRY if failure.tries < 3 else RESUME)
    target = Target({3}, "index")
    await run(target, rules, SourceProbe([list(range(8))]))
    assert [len(write) for write in target.writes] == [8, 8, 8, 7]


async def test_a_search_can_be_stopped_at_any_step() -> None:
    for passes in range(1, 60):
        window = Witness()
        source = SourceProbe([list(range(32))], window=window)
        work = asyncio.ensure_future(run(Target(range(0, 32, 3)), always(ASIDE), source, 16))
        for _ in range(passes):
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait((work,))
        assert source.closes == 1
        assert (window.late, window.refused) == (0, 0)
        assert window.ledger().in_flight >= 0
