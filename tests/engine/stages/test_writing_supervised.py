"""Writers that fail, under each rule: written again, reloaded, left out, put aside record by record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.writing import write_to, write_to_blocking
from teleporter_lab.engine.supervision import Action, Decision, Failure, NoPlaceForDeadLetters
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.engine.graph import Sink

INPUT = list(range(10))


class Rule:
    """Actions in turn, the last one for ever; notes what it was asked about."""

    def __init__(self, *actions: Action, delay: float = 0.0) -> None:
        self.asked: list[tuple[Any, int]] = []
        self._actions = list(actions)
        self._delay = delay

    def decide(self, failure: Failure) -> Decision:
        self.asked.append((failure.element, failure.tries))
        return Decision(self._actions.pop(0) if len(self._actions) > 1 else self._actions[0], self._delay)


class System:
    """What several writers, one after the other, are connected to; its failures are those of its calls by name."""

    def __init__(self, *fails: str) -> None:
        self.fails = list(fails)
        self.calls: list[str] = []
        self.stored: list[Any] = []
        self.writers = 0

    def call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            self.fails.remove(name)
            raise OSError(name)

    def sink(self, blocking: bool = False, columnar: bool = False) -> Sink[Any, None]:
        def make() -> Any:
            self.writers += 1
            self.call("make")
            writer = (BlockingConnected if blocking else Connected)(self)
            writer.columnar = columnar
            return writer

        write: Any = write_to_blocking if blocking else write_to
        return write("system", make, 4, 60.0)


class BlockingConnected:
    columnar = False

    def __init__(self, system: System) -> None:
        self.system = system
        self.state = "new"

    def open(self) -> None:
        assert self.state == "new", self.state
        self.state = "opening"
        self.system.call("open")
        self.state = "open"

    def write(self, records: Sequence[Any]) -> None:
        assert self.state == "open"
        first = records[0] if isinstance(records, list) else records.to_pylist()[0]["x"]  # type: ignore[attr-defined]
        self.system.call(f"write {first}")
        self.system.stored += records if isinstance(records, list) else records.to_pylist()  # type: ignore[attr-defined]

    def close(self) -> None:
        if self.state != "closed":
            self.state = "closed"
            self.system.call("close")


class Connected(BlockingConnected):
    async def open(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().open()

    async def write(self, records: Sequence[Any]) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().write(records)

    async def close(self) -> None:  # type: ignore[override]
        super().close()


BOTH = pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])


@BOTH
async def test_reload_writes_the_same_batch_with_a_fresh_writer(blocking: bool) -> None:
    system, rule, window = System("write 4", "write 4"), Rule(Action.RELOAD), Witness()
    source = SourceProbe([INPUT], window=window)
    await source.as_source().to(system.sink(blocking)).run(supervisor=rule)
    assert system.stored == INPUT
    assert rule.asked == [([4, 5, 6, 7], 1), ([4, 5, 6, 7], 2)]
    assert system.calls == [
        "make", "open", "write 0", "write 4", "close", "make", "open", "write 4", "close", "make", "open", "write 4",
        "write 8", "close",
    ]  # fmt: skip
    window.check_all_settled()


@BOTH
async def test_retry_writes_it_again_with_the_same_writer(blocking: bool) -> None:
    system = System("write 4", "write 4")
    await SourceProbe([INPUT]).as_source().to(system.sink(blocking)).run(supervisor=Rule(Action.RETRY))
    assert system.stored == INPUT
    assert system.writers == system.calls.count("open") == system.calls.count("close") == 1


@BOTH
@pytest.mark.parametrize("fails", [("make",), ("open",), ("close",), ("open", "make", "open")], ids=str)
async def test_a_reload_that_fails_is_one_more_failure_of_the_same_batch(
    fails: tuple[str, ...], blocking: bool
) -> None:
    system, rule, window = System("write 4"), Rule(Action.RELOAD, Action.RETRY), Witness()

    class Later(Rule):
        def decide(self, failure: Failure) -> Decision:
            if not self.asked:
                system.fails.extend(fails)
            return super().decide(failure)

    rule = Later(Action.RELOAD, Action.RETRY)
    source = SourceProbe([INPUT], window=window)
    await source.as_source().to(system.sink(blocking)).run(supervisor=rule)
    assert system.stored == INPUT
    assert system.fails == []
    assert [tries for _, tries in rule.asked] == list(range(1, 2 + len([f for f in fails if f != "close"])))
    window.check_all_settled()


@BOTH
@pytest.mark.parametrize("action", [Action.RETRY, Action.RELOAD], ids=lambda a: a.value)
async def test_what_does_not_open_is_made_anew_and_nothing_is_read_before(action: Action, blocking: bool) -> None:
    system, source = System("open", "open"), SourceProbe([INPUT])

    class Looks(Rule):
        def decide(self, failure: Failure) -> Decision:
            assert source.demands == []
            return super().decide(failure)

    await source.as_source().to(system.sink(blocking)).run(supervisor=Looks(action))
    assert system.stored == INPUT
    assert system.calls[:8] == ["make", "open", "close", "make", "open", "close", "make", "open"]


async def test_a_writer_that_may_be_left_closed_is_opened_with_the_first_batch() -> None:
    system, window = System("open", "open"), Witness()
    source = SourceProbe([INPUT], window=window)
    await source.as_source().to(system.sink()).run(supervisor=Rule(Action.RESUME))
    assert system.stored == INPUT[4:], "the first batch found it closed as well"
    assert window.ledger().skipped == 4
    window.check_all_settled()


async def test_a_batch_that_fails_again_and_again_stops_the_stream_and_stays_unconfirmed() -> None:
    system, window = System(*["write 4"] * 3), Witness()
    source = SourceProbe([INPUT], window=window)
    with pytest.raises(OSError, match="write 4") as caught:
        await source.as_source().to(system.sink()).run(supervisor=Rule(Action.RELOAD, Action.RETRY, Action.STOP))
    assert caught.value.__notes__ == ["In system, on the element [4, 5, 6, 7]"]
    assert system.stored == [0, 1, 2, 3]
    assert (window.refused, source.closes) == (1, 1)
    assert system.writers == system.calls.count("close") == 2


async def test_tries_are_counted_for_each_batch() -> None:
    system, rule = System("write 0", "write 4", "write 4", "write 8"), Rule(Action.RESUME)
    await SourceProbe([INPUT]).as_source().to(system.sink()).run(supervisor=rule)
    assert [tries for _, tries in rule.asked] == [1, 1, 1]
    system = System("write 0", "write 4", "write 4", "write 8")
    rule = Rule(Action.RETRY)
    await SourceProbe([INPUT]).as_source().to(system.sink()).run(supervisor=rule)
    assert [tries for _, tries in rule.asked] == [1, 1, 2, 1]


async def test_a_delay_is_waited_for() -> None:
    clock, system = FakeClock(), System("write 4", "write 4")
    async with Runtime(clock) as runtime:
        graph = SourceProbe([INPUT]).as_source().to(system.sink())
        await clock.run(graph.run(runtime, Rule(Action.RELOAD, delay=30.0)))
    assert clock.now() == 60.0


@BOTH
@pytest.mark.parametrize("delay", [0.0, 60.0])
@pytest.mark.parametrize("action", [Action.RETRY, Action.RELOAD], ids=lambda a: a.value)
async def test_a_writer_that_fails_for_ever_can_be_stopped(action: Action, delay: float, blocking: bool) -> None:
    system, window = System(*["write 0"] * 100_000), Witness()
    source = SourceProbe([INPUT], window=window)
    run = asyncio.ensure_future(source.as_source().to(system.sink(blocking)).run(supervisor=Rule(action, delay=delay)))
    while system.calls.count("write 0") < (20 if not delay else 1):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert system.calls.count("close") == system.writers
    assert source.closes == 1
    assert (window.progress, window.late) == (None, 0)


# ----------------------------------------------------------------------------------------------------- dead letters


class Letters:
    """A place for dead letters that takes its time; fails on elements that are told."""

    def __init__(self, *fails: Any) -> None:
        self.found: list[Failure] = []
        self._fails = fails

    async def put(self, failure: Failure) -> None:
        await asyncio.sleep(0)
        if failure.element in self._fails:
            raise ConnectionError("nor is this one stored")
        self.found.append(failure)


def lettered(sink: Sink[Any, None], letters: Letters) -> Sink[Any, None]:
    """The sink with a place for dead letters."""
    return type(sink)(sink.name, lambda m, up: sink.end(m.within(dead_letters=letters), up), sink.steps)


EACH = ["write 4", "write 4", "write 4", "write 5", "write 6", "write 6", "write 7"]
"""What fails when the second batch does, as a whole and by halves, down to each of its records."""


async def test_a_batch_is_put_aside_record_by_record() -> None:
    system, letters, window = System("write 4", *EACH), Letters(), Witness()
    source = SourceProbe([INPUT], window=window)
    rule = Rule(Action.RETRY, Action.DEAD_LETTER)
    await source.as_source().to(lettered(system.sink(), letters)).run(supervisor=rule)
    assert system.stored == [0, 1, 2, 3, 8, 9]
    assert [letter.element for letter in letters.found] == [4, 5, 6, 7]
    assert [str(letter.error) for letter in letters.found] == ["write 4", "write 5", "write 6", "write 7"]
    assert {(letter.stage, letter.tries, letter.position) for letter in letters.found} == {("system", 3, 8)}
    assert [asked for asked, _ in rule.asked] == [[4, 5, 6, 7], [4, 5, 6, 7], [4], [5], [6], [7]]
    assert (window.ledger().dead_lettered, window.ledger().written) == (4, 6)
    window.check_all_settled()


async def test_rows_of_a_batch_of_columns_are_put_aside_one_by_one() -> None:
    system, letters, window = System(*EACH), Letters(), Witness()
    source = SourceProbe([pa.record_batch({"x": INPUT})], window=window)
    sink = lettered(system.sink(columnar=True), letters)
    await source.as_source().to(sink).run(supervisor=Rule(Action.DEAD_LETTER))
    assert [letter.element for letter in letters.found] == [{"x": x} for x in range(4, 8)]
    assert window.ledger().dead_lettered == 4
    window.check_all_settled()


async def test_a_large_batch_is_put_aside_some_at_a_time_and_in_order() -> None:
    waiting = most = 0

    class Counts(Letters):
        async def put(self, failure: Failure) -> None:
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            await super().put(failure)
            waiting -= 1

    class Fails(Connected):
        async def write(self, records: Sequence[Any]) -> None:
            raise OSError("no")

    letters = Counts()
    sink = lettered(write_to("system", lambda: Fails(System()), 1000, 60.0), letters)
    await SourceProbe([list(range(2500))]).as_source().to(sink).run(supervisor=Rule(Action.DEAD_LETTER))
    assert [letter.element for letter in letters.found] == list(range(2500))
    assert 1 < most <= 256


async def test_a_batch_that_cannot_be_put_aside_stops_the_stream_and_stays_unconfirmed() -> None:
    for letters, error in ((Letters(6), ConnectionError), (None, NoPlaceForDeadLetters)):
        system, window = System(*EACH), Witness()
        source = SourceProbe([INPUT], window=window)
        sink = lettered(system.sink(), letters) if letters else system.sink()
        with pytest.raises(error) as caught:
            await source.as_source().to(sink).run(supervisor=Rule(Action.DEAD_LETTER))
        assert caught.value.__notes__ == ["In system, on the element [4, 5, 6, 7]"]
        assert window.refused == 1
        assert window.progress is not None
        assert window.progress.position == 4
        assert system.calls[-1] == "close"


async def test_a_place_that_breaks_off_is_no_place() -> None:
    class Cancelled(Letters):
        async def put(self, failure: Failure) -> None:
            raise asyncio.CancelledError

    system, window = System(*EACH), Witness()
    source = SourceProbe([INPUT], window=window)
    with pytest.raises(RuntimeError, match="cancelled by somebody"):
        await source.as_source().to(lettered(system.sink(), Cancelled())).run(supervisor=Rule(Action.DEAD_LETTER))
    assert window.refused == 1
