"""The laws every sink keeps, over one table of all of them, and what each does by itself.

Result, never a pull after the end, closed once, every token settled, an error after all before it, cancelled anywhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.stages.deferred import lazy_sink
from teleporter_lab.engine.stages.folding_sinks import exists, fold, fold_while, forall, reduce
from teleporter_lab.engine.stages.sinks import (
    cancelled,
    count,
    foreach,
    foreach_async,
    head,
    ignore,
    last,
    on_complete,
    take_last,
    to_list,
)
from teleporter_lab.engine.stages.writing import resource_sink, write_to, write_to_blocking
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.graph import Sink

INPUT = list(range(10))


class Nowhere:
    """A writer to which nothing happens."""

    async def open(self) -> None:
        await asyncio.sleep(0)

    async def write(self, records: Sequence[Any]) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        await asyncio.sleep(0)


class TwiceNowhere(Nowhere):
    parallel = 2

    def keys_of(self, records: Sequence[Any]) -> frozenset[Any]:
        return frozenset(records)


class BlockingNowhere:
    def open(self) -> None: ...

    def write(self, records: Sequence[Any]) -> None: ...

    def close(self) -> None: ...


async def later(x: int) -> None:
    for _ in range(x % 3):
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Case:
    """A sink below a source of 0..9, and its result; below an empty one; how many it reads when it ends by itself."""

    name: str
    sink: Callable[[], Sink[Any, Any]]
    result: Any
    nothing: Any = None
    reads: int | None = None
    columns: bool = False
    """Whether it takes columns."""


CASES = [
    Case("foreach", lambda: foreach(str), None),
    Case("foreach, blocking", lambda: foreach(str, blocking=True), None),
    Case("foreach_async", lambda: foreach_async(3, later), None),
    Case("ignore", ignore, None, columns=True),
    Case("cancelled", cancelled, None, reads=0, columns=True),
    Case("on_complete", lambda: on_complete(str), None, columns=True),
    Case("head", head, 0, reads=1),
    Case("last", last, 9),
    Case("take_last", lambda: take_last(3), [7, 8, 9], []),
    Case("take_last, more", lambda: take_last(30), INPUT, []),
    Case("to_list", to_list, INPUT, []),
    Case("count", count, 10, 0, columns=True),
    Case("fold", lambda: fold(5, lambda a, x: a + x), 50, 5),
    Case("reduce", lambda: reduce(lambda a, x: a + x), 45),
    Case("fold_while", lambda: fold_while(0, lambda a, x: a + x, lambda a: a < 6), 6, 0, reads=7),
    Case("fold_while, to the end", lambda: fold_while(0, lambda a, x: a + x, lambda a: a < 60), 45, 0),
    Case("fold_while, nothing", lambda: fold_while(0, lambda a, x: a + x, lambda a: a > 0), 0, 0, reads=0),
    Case("exists", lambda: exists(lambda x: x == 1), True, False, reads=3),
    Case("exists, not", lambda: exists(lambda x: x > 10), False, False),
    Case("forall", lambda: forall(lambda x: x < 10), True, True),
    Case("forall, not", lambda: forall(lambda x: x < 0), False, True, reads=1),
    Case("lazy_sink", lambda: lazy_sink(lambda first: fold(first, lambda a, x: a + x)), 45),
    Case("write_to", lambda: write_to("nowhere", Nowhere, 3, 60.0), None),
    Case("write_to, two at once", lambda: write_to("nowhere", TwiceNowhere, 3, 60.0), None),
    Case("write_to_blocking", lambda: write_to_blocking("nowhere", BlockingNowhere, 3, 60.0), None),
    Case("resource_sink", lambda: resource_sink(object, lambda _, xs: len(xs), str), None),
    Case("resource_sink, blocking", lambda: resource_sink(object, lambda _, xs: len(xs), str, blocking=True), None),
]
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
TO_THE_END = pytest.mark.parametrize("case", [case for case in CASES if case.reads is None], ids=lambda case: case.name)


class Ends(SourceProbe):
    """Refuses a pull after the end, too."""

    ended = False

    async def pull(self, n: int) -> Chunk[Any] | None:
        assert not self.ended, "pulled after the end"
        try:
            chunk = await super().pull(n)
        except OSError:
            self.ended = True
            raise
        self.ended = chunk is None
        return chunk


def probe(size: int, **options: Any) -> Ends:
    return Ends([INPUT[i : i + size] for i in range(0, 10, size)], **options)


@EVERY
@pytest.mark.parametrize("size", [1, 3, 10])
async def test_a_sink_gives_its_result_settles_every_token_and_closes_once(case: Case, size: int) -> None:
    window = Witness()
    source = probe(size, window=window)
    assert await source.as_source().to(case.sink()).run() == case.result
    assert source.closes == 1
    window.check_all_settled()
    if case.reads is None:
        assert window.ledger().written == 10
    else:
        assert source.given <= case.reads


@EVERY
async def test_a_sink_of_an_empty_stream(case: Case) -> None:
    source = Ends()
    assert await source.as_source().to(case.sink()).run() == case.nothing
    assert source.closes == 1


@EVERY
async def test_a_blueprint_of_a_sink_runs_many_times(case: Case) -> None:
    sink = case.sink()
    for _ in range(2):
        assert await probe(4).as_source().to(sink).run() == case.result


@TO_THE_END
async def test_an_error_fails_the_stream_after_all_before_it_was_taken(case: Case) -> None:
    window = Witness()
    source = Ends([[0, 1], [2], OSError("lost")], window=window)
    with pytest.raises(OSError, match="lost"):
        await source.as_source().to(case.sink()).run()
    assert source.closes == 1
    assert window.ledger().written == 3
    assert window.late == 0


@EVERY
@pytest.mark.parametrize("again", [False, True], ids=["cancelled once", "cancelled twice"])
async def test_a_run_that_is_cancelled_at_any_step_closes_everything_once(case: Case, again: bool) -> None:
    before = asyncio.all_tasks()
    for k in range(1, 200):
        window = Witness()
        source = probe(3, passes=1, wait=k % 2 == 0, window=window)
        run = asyncio.ensure_future(source.as_source().to(case.sink()).run())
        for _ in range(k):
            await asyncio.sleep(0)
        over = run.done()
        run.cancel()
        if again:
            await asyncio.sleep(0)
            run.cancel()
        await asyncio.wait((run,))
        await asyncio.sleep(0)
        assert source.closes == 1, f"cancelled after {k} passes"
        assert asyncio.all_tasks() == before, f"cancelled after {k} passes"
        assert (window.late, window.refused) == (0, 0)
        if over or k > 60:
            break


@EVERY
async def test_a_sink_that_looks_at_elements_wants_rows(case: Case) -> None:
    window = Witness()
    source = Ends([pa.record_batch({"x": INPUT})], window=window)
    run = source.as_source().to(case.sink()).run()
    if case.columns or case.name == "fold_while, nothing":
        assert await run == case.result
        window.check_all_settled()
    else:
        with pytest.raises(RowsNeeded, match="works on rows"):
            await run
        assert window.refused >= 1
        assert window.progress is None
    assert source.closes == 1


# ------------------------------------------------------------------------------------------------------ supervision


def failing(kind: str, fails: dict[int, int]) -> tuple[Sink[int, Any], list[int]]:
    """A sink whose function fails on some elements, as often as said, and what it was called with."""
    left, seen = dict(fails), []

    def look(x: int) -> int:
        seen.append(x)
        if left.get(x, 0) > 0:
            left[x] -= 1
            raise ValueError(x)
        return x

    async def look_later(x: int) -> int:
        await asyncio.sleep(0)
        return look(x)

    sinks: dict[str, Callable[[], Sink[int, Any]]] = {
        "foreach": lambda: foreach(look),
        "foreach, blocking": lambda: foreach(look, blocking=True),
        "foreach_async": lambda: foreach_async(1, look_later),
        "fold": lambda: fold(0, lambda a, x: a + look(x)),
        "reduce": lambda: reduce(lambda a, x: a + look(x)),
        "fold_while": lambda: fold_while(0, lambda a, x: a + look(x), lambda a: a < 100),
        "exists": lambda: exists(lambda x: look(x) > 100),
        "forall": lambda: forall(lambda x: look(x) < 100),
    }
    return sinks[kind](), seen


KINDS = ["foreach", "foreach, blocking", "foreach_async", "fold", "reduce", "fold_while", "exists", "forall"]
RESULTS = {"fold": 45, "reduce": 45, "fold_while": 45, "exists": False, "forall": True}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_function_that_fails_is_called_again(kind: str) -> None:
    sink, seen = failing(kind, {1: 1, 4: 2, 9: 2})
    window = Witness()
    result = await SourceProbe([INPUT], window=window).as_source().to(sink).run(supervisor=Retry(2))
    assert result == RESULTS.get(kind)
    begin = [] if kind == "reduce" else [0]
    assert seen == [*begin, 1, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 9, 9]
    window.check_all_settled()
    assert window.ledger().written == 10


@pytest.mark.parametrize("kind", KINDS)
async def test_an_element_that_is_left_out_does_not_count(kind: str) -> None:
    sink, _ = failing(kind, {3: 9, 4: 9})
    window = Witness()
    result = await SourceProbe([INPUT], window=window).as_source().to(sink).run(supervisor=Resume())
    assert result == {**RESULTS, "fold": 38, "reduce": 38, "fold_while": 38}.get(kind)
    window.check_all_settled()
    assert (window.ledger().written, window.ledger().skipped) == (8, 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_function_that_fails_stops_the_stream(kind: str) -> None:
    sink, _ = failing(kind, {3: 9})
    source = SourceProbe([[0], [1], [2], [3, 4]], window=(window := Witness()))
    with pytest.raises(ValueError, match="3") as caught:
        await source.as_source().to(sink).run()
    assert caught.value.__notes__[0].endswith("on the element 3")
    assert source.closes == 1
    assert window.progress is not None
    assert window.progress.position == 3


@pytest.mark.parametrize("leave", [SystemExit(3), asyncio.CancelledError(), StopIteration()], ids=repr)
async def test_a_function_that_exits_ends_its_stream_alone(leave: BaseException) -> None:
    def leaves(*_: Any) -> Any:
        raise leave

    for sink in (foreach(leaves), on_complete(leaves), fold(0, leaves), fold_while(0, lambda a, x: a, leaves)):
        source = SourceProbe([[1]])
        with pytest.raises(RuntimeError, match=r"sys\.exit|cancelled by somebody|StopIteration"):
            await source.as_source().to(sink).run()
        assert source.closes == 1


# ------------------------------------------------------------------------------------------------------- one by one


async def test_the_end_is_told_once_when_all_is_closed_and_the_error_goes_on() -> None:
    told: list[Any] = []

    def ended(error: BaseException | None) -> None:
        told.append((error, source.closes))

    source = SourceProbe([[1, 2]])
    await source.as_source().to(on_complete(ended)).run()
    assert told == [(None, 1)]
    lost = OSError("lost")
    source = SourceProbe([[1], lost])
    with pytest.raises(OSError, match="lost"):
        await source.as_source().to(on_complete(ended)).run()
    assert told[1:] == [(lost, 1)]
    source = SourceProbe(wait=True)
    run = asyncio.ensure_future(source.as_source().to(on_complete(ended)).run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert isinstance(told[2][0], asyncio.CancelledError)
    assert told[2][1] == 1


async def test_what_was_read_beyond_the_end_is_counted_as_filtered() -> None:
    window = Witness()
    source = SourceProbe([list(range(1000))], window=window)
    assert await source.as_source().to(exists(lambda x: x == 4)).run()
    assert source.demands == [1, 2, 4]
    assert (window.ledger().written, window.ledger().filtered) == (5, 2)
    window.check_all_settled()


async def test_a_predicate_that_fails_leaves_the_result_as_it_was() -> None:
    fails = [ValueError()]

    def below(total: int) -> bool:
        if total == 3 and fails:
            raise fails.pop()
        return total < 100

    sink = fold_while(0, lambda a, x: a + x, below)
    assert await probe(4).as_source().to(sink).run(supervisor=Retry(1)) == 45


async def test_calls_run_side_by_side_up_to_the_parallelism() -> None:
    running = most = 0
    gate = asyncio.Event()

    async def call(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    run = asyncio.ensure_future(probe(10).as_source().to(foreach_async(4, call)).run())
    for _ in range(40):
        await asyncio.sleep(0)
    assert most == running == 4
    gate.set()
    await run
    assert most == 4


async def test_a_sink_that_takes_nothing_lets_the_others_go_on() -> None:
    source = probe(3)
    assert await source.as_source().also_to(cancelled()).to(to_list()).run() == INPUT
    assert source.closes == 1


@pytest.mark.parametrize("wrong", [lambda: foreach_async(0, later), lambda: take_last(0)])
def test_wrong_arguments_are_refused_at_once(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="needs a"):
        wrong()
