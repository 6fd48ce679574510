"""What the operators on single elements do beyond the laws: large expansions, threads, failing functions, columns."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import RowsNeeded, StoppedIteration
from teleporter_lab.engine.graph import Flow, flow, source
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stage import Stage
from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.engine.turnstile import MAX_CHUNK
from teleporter_lab.testing.laws import Witness, cut_off, drain
from teleporter_lab.testing.probes import SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATORS: dict[str, Callable[[Flow[Any, Any], Callable[[int], int]], Flow[Any, int]]] = {
    "map": lambda f, call: f.map(call),
    "filter": lambda f, call: f.filter(lambda x: call(x) >= 0),
    "filter_not": lambda f, call: f.filter_not(lambda x: call(x) < 0),
    "map_concat": lambda f, call: f.map_concat(lambda x: [call(x)]),
    "collect": lambda f, call: f.collect(call),
    "map, blocking": lambda f, call: f.map(call, blocking=True),
    "filter, blocking": lambda f, call: f.filter(lambda x: call(x) >= 0, blocking=True),
    "filter_not, blocking": lambda f, call: f.filter_not(lambda x: call(x) < 0, blocking=True),
    "map_concat, blocking": lambda f, call: f.map_concat(lambda x: [call(x)], blocking=True),
}
EACH = pytest.mark.parametrize("operator", OPERATORS)


class Failing:
    """Gives back what it gets; fails for 3 and 6, each time or once only."""

    def __init__(self, once: bool = False) -> None:
        self._bad = {3, 6}
        self._once = once
        self.calls: list[int] = []

    def __call__(self, x: int) -> int:
        self.calls.append(x)
        if x in self._bad:
            if self._once:
                self._bad.remove(x)
            raise ValueError(f"bad {x}")
        return x


@EACH
async def test_what_comes_before_an_error_goes_out_and_nothing_after_it(operator: str) -> None:
    window = Witness()
    found: list[int] = []
    flow = OPERATORS[operator](SourceProbe([list(range(10))], window=window).as_source(), Failing())
    with pytest.raises(ValueError, match="bad 3") as failed:
        await flow.to(foreach(found.append)).run()
    assert found[:3] == [0, 1, 2]
    assert len(found) == 3
    assert failed.value.__notes__[0].endswith("on the element 3")
    assert window.progress is None


@EACH
async def test_a_rule_leaves_out_just_the_elements_that_fail(operator: str) -> None:
    window = Witness()
    flow = OPERATORS[operator](SourceProbe([list(range(10))], window=window).as_source(), Failing())
    assert await flow.to(to_list()).run(supervisor=Resume()) == [0, 1, 2, 4, 5, 7, 8, 9]
    assert window.ledger().skipped == 2
    window.check_all_settled()


@EACH
async def test_a_rule_tries_an_element_again(operator: str) -> None:
    call = Failing(once=True)
    flow = OPERATORS[operator](iterate(range(10)), call)
    assert await flow.to(to_list()).run(supervisor=Retry(1)) == list(range(10))
    assert call.calls == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9]


@EACH
async def test_a_stop_iteration_does_not_end_a_chunk_without_a_word(operator: str) -> None:
    def call(x: int) -> int:
        return x if x < 5 else next(iter([]))

    with pytest.raises(StoppedIteration):
        await OPERATORS[operator](iterate(range(10)), call).to(to_list()).run()


async def test_one_element_that_becomes_very_many_goes_down_in_chunks_of_bounded_size() -> None:
    """And in turns: a file name that becomes a million lines must not hold the loop."""
    window = Witness()
    source = SourceProbe([["file"]], window=window)
    async with Runtime() as runtime, pulled(source.as_source().map_concat(lambda _: range(10_000)), runtime) as stage:
        sizes: list[int] = []
        found: list[int] = []
        while (chunk := await stage.pull(1 << 30)) is not None:
            sizes.append(len(chunk))
            found += chunk.data
            chunk.written()
        turns = runtime.turnstile.statistics().turns
    assert found == list(range(10_000))
    assert sizes[0] == 1
    assert max(sizes) <= MAX_CHUNK
    assert turns >= len(sizes)
    window.check_all_settled()
    assert window.ledger().expanded == 9_999


@pytest.mark.parametrize("blocking", [False, True])
async def test_map_concat_gives_all_items_of_an_element_or_none(blocking: bool) -> None:
    def items(x: int) -> Any:
        yield x
        if x == 2:
            raise ValueError(x)
        yield x

    found = await iterate([1, 2, 3]).map_concat(items, blocking=blocking).to(to_list()).run(supervisor=Resume())
    assert found == [1, 1, 3, 3]


async def test_collect_leaves_out_none_and_nothing_else() -> None:
    window = Witness()
    source = SourceProbe([[0, None, False], ["", None]], window=window)
    async with pulled(source.as_source().collect(lambda x: x)) as stage:
        assert await drain(stage) == [0, False, ""]
    assert window.ledger().filtered == 2
    window.check_all_settled()


async def test_flatten_optional_leaves_out_none_and_counts_it() -> None:
    window = Witness()
    source = SourceProbe([[None, None], [0, None, [None]]], window=window)
    async with pulled(source.as_source().flatten_optional()) as stage:
        assert await drain(stage) == [0, [None]]
    assert window.ledger().filtered == 3
    window.check_all_settled()


# --------------------------------------------------------------------------------------------------------- threads


async def test_a_blocking_function_is_called_in_a_driver_thread_while_the_loop_goes_on() -> None:
    """The function waits for something that only the loop can give."""
    go_on = threading.Event()
    threads: set[str] = set()

    def waits(x: int) -> int:
        assert go_on.wait(20)
        threads.add(threading.current_thread().name)
        return -x

    run = asyncio.ensure_future(iterate([1, 2, 3]).map(waits, blocking=True).to(to_list()).run())
    await asyncio.sleep(0)
    go_on.set()
    assert await run == [-1, -2, -3]
    assert all(name.startswith("teleporter-driver") for name in threads)


async def test_a_chunk_is_handed_to_a_thread_in_one_go() -> None:
    async with Runtime() as runtime:
        handed: list[object] = []
        submit = runtime.threads.submit

        def counted(*args: Any) -> asyncio.Future[Any]:
            handed.append(args)
            return submit(*args)

        runtime.threads.submit = counted  # type: ignore[method-assign]
        source = SourceProbe([list(range(100)), list(range(100))])
        async with pulled(source.as_source().map(str, blocking=True), runtime) as stage:
            assert len(await drain(stage, 100)) == 200
    assert len(handed) == 2


async def test_a_cancelled_pull_takes_the_call_in_the_thread_up_again() -> None:
    started, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def waits(x: int) -> int:
        calls.append(x)
        started.set()
        assert go_on.wait(20)
        return x

    async with pulled(SourceProbe([[1, 2, 3]]).as_source().map(waits, blocking=True)) as stage:
        done, _ = await cut_off(stage.pull(3), passes=3)
        assert not done
        assert await asyncio.to_thread(started.wait, 20)
        go_on.set()
        assert await drain(stage) == [1, 2, 3]
    assert calls == [1, 2, 3]


# --------------------------------------------------------------------------------------------------------- columns


class Once(Stage[Any]):
    """One chunk, and then the end."""

    def __init__(self, chunk: Chunk[Any]) -> None:
        super().__init__()
        self._chunk: Chunk[Any] | None = chunk

    async def pull(self, n: int) -> Chunk[Any] | None:
        chunk, self._chunk = self._chunk, None
        return chunk


@pytest.mark.parametrize(
    "operator",
    [flow().map(str), flow().collect(str), flow().flatten_optional(), flow().intersperse("-")],
    ids=repr,
)
async def test_columns_are_refused_and_their_records_given_back(operator: Any) -> None:
    window = Witness()
    batch: Any = pa.RecordBatch.from_pydict({"x": [1, 2]})
    columns = source("columns", lambda _: Once(Chunk(batch, (window.open(2, 2, 0.0),))))
    async with pulled(columns.via(operator)) as stage:
        for _ in range(2):
            with pytest.raises(RowsNeeded, match=repr(operator).partition("(")[0]):
                await stage.pull(5)
    assert window.refused == 1
    assert window.progress is None
