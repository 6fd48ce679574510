"""Several batches at once: never two with a key in common, the order of each key kept, confirmed as they are stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.engine.stages.writing import write_to, write_to_blocking
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import END, SourceProbe

if TYPE_CHECKING:
    from collections.abc import Callable

Record = tuple[int, int]
"""Its key, and which one of that key it is."""


class Lanes:
    """A target of up to `parallel` writes at once; each takes as many passes of the loop as `passes` says."""

    def __init__(self, parallel: int = 3, passes: Callable[[list[Record]], int] = len) -> None:
        self.parallel = parallel
        self.passes = passes
        self.running: list[list[Record]] = []
        self.most = 0
        self.stored: list[Record] = []
        self.calls: list[str] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.fails: list[int] = []
        """Keys whose next write fails, once for each time they stand here."""

    def keys_of(self, records: list[Record]) -> frozenset[int]:
        return frozenset(key for key, _ in records)

    async def open(self) -> None:
        assert not self.running
        self.calls.append("open")

    async def write(self, records: list[Record]) -> None:
        keys = self.keys_of(records)
        assert not any(keys & self.keys_of(other) for other in self.running), "two batches with the same key"
        self.running.append(records)
        self.most = max(self.most, len(self.running))
        try:
            for _ in range(self.passes(records)):
                await asyncio.sleep(0)
            for key in keys & self.gates.keys():
                await self.gates[key].wait()
            for key in keys & set(self.fails):
                self.fails.remove(key)
                raise OSError(f"key {key}")
            self.stored += records
        finally:
            self.running.remove(records)

    async def close(self) -> None:
        assert not self.running
        self.calls.append("close")


def numbered(keys: list[int]) -> list[Record]:
    seen: dict[int, int] = {}
    records: list[Record] = []
    for key in keys:
        seen[key] = seen.get(key, -1) + 1
        records.append((key, seen[key]))
    return records


async def settle(n: int = 60) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


def started(target: Lanes, source: SourceProbe, size: int = 1, supervisor: Any = None) -> asyncio.Task[None]:
    sink = write_to("lanes", lambda: target, size, 60.0)
    return asyncio.ensure_future(source.as_source().to(sink).run(supervisor=supervisor))


@settings(max_examples=150, deadline=None)
@given(
    keys=st.lists(st.integers(0, 6), max_size=40),
    size=st.integers(1, 5),
    parallel=st.integers(2, 4),
    slow=st.lists(st.integers(0, 9), min_size=7, max_size=7),
    fails=st.lists(st.integers(0, 6), max_size=6),
)
def test_everything_is_stored_and_the_order_of_each_key_is_kept_whatever_fails(
    keys: list[int], size: int, parallel: int, slow: list[int], fails: list[int]
) -> None:
    async def check() -> None:
        target = Lanes(parallel, lambda records: slow[records[0][0]])
        target.fails = list(fails)
        window = Witness()
        records = numbered(keys)
        source = SourceProbe([records[i : i + 3] for i in range(0, len(records), 3)], window=window)
        await started(target, source, size, Retry(100))
        assert sorted(target.stored) == sorted(records)
        for key in set(keys):
            assert [x for x in target.stored if x[0] == key] == [x for x in records if x[0] == key]
        assert target.most <= parallel
        window.check_all_settled()
        assert window.ledger().written == len(records)

    asyncio.run(check())


async def test_as_many_as_it_allows_are_written_at_once_and_one_more_is_gathered() -> None:
    target = Lanes(3)
    target.gates = {key: asyncio.Event() for key in range(10)}
    source = SourceProbe([[(key, 0)] for key in range(10)])
    run = started(target, source)
    await settle()
    assert sorted(target.running) == [[(0, 0)], [(1, 0)], [(2, 0)]]
    assert source.given == 5, "one that waits for a lane, and one that is gathered"
    for gate in target.gates.values():
        gate.set()
    await run
    assert sorted(target.stored) == [(key, 0) for key in range(10)]


async def test_a_batch_waits_for_those_of_its_keys_and_is_not_overtaken() -> None:
    target = Lanes(3)
    target.gates = {1: asyncio.Event()}
    run = started(target, SourceProbe([[(1, 0)], [(2, 0)], [(1, 1)], [(3, 0)]]))
    await settle()
    assert target.stored == [(2, 0)]
    target.gates[1].set()
    await run
    assert target.stored[:2] == [(2, 0), (1, 0)]


async def test_records_are_confirmed_as_they_are_stored_and_committed_without_a_gap() -> None:
    target, window = Lanes(3), Witness()
    target.gates = {0: asyncio.Event()}
    source = SourceProbe([[(0, 0)], [(1, 0)], [(2, 0)]], window=window, wait=True)
    run = started(target, source)
    await settle()
    assert window.ledger().written == 2
    assert window.progress is None
    target.gates[0].set()
    await settle()
    assert window.progress is not None
    assert window.progress.position == 3
    source.give(END)
    await run
    window.check_all_settled()


async def test_the_end_waits_for_all_that_is_being_written() -> None:
    target, window = Lanes(3), Witness()
    target.gates = {0: asyncio.Event()}
    run = started(target, SourceProbe([[(0, 0)], [(1, 0)]], window=window))
    await settle()
    assert not run.done()
    assert target.calls == ["open"]
    target.gates[0].set()
    await run
    assert target.calls == ["open", "close"]
    window.check_all_settled()


async def test_one_that_fails_ends_the_others_and_nothing_is_confirmed_that_was_not_stored() -> None:
    target, window = Lanes(3), Witness()
    target.gates = {0: asyncio.Event(), 1: asyncio.Event()}
    target.fails = [1]
    source = SourceProbe([[(0, 0)], [(1, 0)], [(2, 0)], [(3, 0)]], window=window, wait=True)
    run = started(target, source)
    await settle()
    target.gates[1].set()
    with pytest.raises(OSError, match="key 1") as caught:
        await run
    assert caught.value.__notes__ == ["In lanes, on the element [(1, 0)]"]
    assert target.stored == [(2, 0), (3, 0)]
    assert [token.span.pending == 0 for token in window.tokens] == [False, False, True, True]
    assert (window.progress, window.late, source.closes) == (None, 0, 1)
    assert target.calls == ["open", "close"]


async def test_what_fails_beside_it_is_noted() -> None:
    class Sore(Lanes):
        async def write(self, records: list[Record]) -> None:
            try:
                await super().write(records)
            except asyncio.CancelledError:
                raise OSError("broken off") from None

    target = Sore(2)
    target.gates = {0: asyncio.Event()}
    target.fails = [1]
    with pytest.raises(OSError, match="key 1") as caught:
        await started(target, SourceProbe([[(0, 0)], [(1, 0)]], wait=True))
    assert any("broken off" in note for note in caught.value.__notes__)


async def test_an_error_from_above_waits_for_what_is_being_written() -> None:
    target, window = Lanes(3), Witness()
    target.gates = {0: asyncio.Event()}
    run = started(target, SourceProbe([[(0, 0)], [(1, 0)], OSError("lost")], window=window))
    await settle()
    target.gates[0].set()
    with pytest.raises(OSError, match="lost") as caught:
        await run
    assert not hasattr(caught.value, "__notes__")
    assert window.ledger().written == 2


async def test_a_reload_waits_for_the_writes_of_the_old_writer() -> None:
    made: list[Lanes] = []

    def make() -> Lanes:
        made.append(Lanes(3))
        made[-1].stored = made[0].stored
        return made[-1]

    class Reload:
        def decide(self, failure: Failure) -> Decision:
            return Decision(Action.RELOAD)

    window = Witness()
    source = SourceProbe([[(key, 0)] for key in range(4)], window=window)
    sink = write_to("lanes", make, 1, 60.0)
    run = asyncio.ensure_future(source.as_source().to(sink).run(supervisor=Reload()))
    while not made:
        await asyncio.sleep(0)
    made[0].gates = {0: asyncio.Event()}
    made[0].fails = [1, 2]
    await settle()
    assert made[0].calls == ["open"]
    assert len(made) == 1
    made[0].gates[0].set()
    await run
    assert [writer.calls for writer in made] == [["open", "close"], ["open", "close"]], "one reload for two failures"
    assert sorted(made[0].stored) == [(key, 0) for key in range(4)]
    window.check_all_settled()


async def test_a_batch_that_fails_is_halved_beside_the_others() -> None:
    class Picky(Lanes):
        async def write(self, records: list[Record]) -> None:
            if (1, 0) in records:
                raise ValueError("no ones")
            await super().write(records)

    target, window = Picky(2), Witness()
    source = SourceProbe([[(key, 0) for key in range(9)]], window=window)
    await started(target, source, 3, Resume())
    assert sorted(target.stored) == [(key, 0) for key in range(9) if key != 1]
    assert (window.ledger().written, window.ledger().skipped) == (8, 1)
    window.check_all_settled()


class Unknown:
    """A target whose keys nobody knows: `how` says why."""

    parallel = 3

    def __init__(self, how: str) -> None:
        self.stored: list[Record] = []
        self.running = 0
        if how != "no method":
            self.keys_of = self.fails if how == "fails" else lambda _: None

    def fails(self, records: list[Record]) -> frozenset[int]:
        raise KeyError("no key")

    async def open(self) -> None: ...

    async def write(self, records: list[Record]) -> None:
        self.running += 1
        assert self.running == 1
        for _ in range(5):
            await asyncio.sleep(0)
        self.stored += records
        self.running -= 1

    async def close(self) -> None: ...


@pytest.mark.parametrize("how", ["none", "no method", "fails"])
async def test_batches_whose_keys_nobody_knows_are_written_one_by_one_in_order(how: str) -> None:
    target = Unknown(how)
    records = [(key, 0) for key in range(6)]
    await SourceProbe([[record] for record in records]).as_source().to(write_to("lanes", lambda: target, 1)).run()
    assert target.stored == records


async def test_a_run_that_is_cancelled_at_any_step_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    for passes in range(1, 80):
        target, window = Lanes(3, lambda _: 4), Witness()
        source = SourceProbe([[(key % 4, key)] for key in range(12)], window=window, passes=1)
        run = started(target, source)
        for _ in range(passes):
            await asyncio.sleep(0)
        run.cancel()
        if passes % 2:
            await asyncio.sleep(0)
            run.cancel()
        await asyncio.wait((run,))
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        assert source.closes == 1
        assert target.running == []
        confirmed = sum(1 for token in window.tokens if not token.span.pending)
        assert confirmed <= len(target.stored)
        assert (window.late, window.refused) == (0, 0)


async def test_a_blocking_writer_gets_one_batch_at_a_time_whatever_it_says() -> None:
    class Blocks:
        parallel = 4

        def __init__(self) -> None:
            self.stored: list[int] = []

        def open(self) -> None: ...

        def write(self, records: Any) -> None:
            self.stored += records

        def close(self) -> None: ...

    target = Blocks()
    await SourceProbe([[1], [2], [3]]).as_source().to(write_to_blocking("blocks", lambda: target, 1)).run()
    assert target.stored == [1, 2, 3]
