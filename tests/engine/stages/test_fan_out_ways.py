"""divert_to and wire_tap: one call for each element, what a tap is shown, and that it holds nobody up."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SinkProbe, SourceProbe, pulled


async def passes(n: int = 30) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def data(stage: Any, n: int) -> list[Any]:
    chunk = await stage.pull(n)
    assert chunk is not None
    chunk.written()
    return chunk.data


# ------------------------------------------------------------------------------------------------------- divert_to


async def test_the_function_is_called_once_for_each_element_and_both_ways_keep_the_order() -> None:
    window = Witness()
    calls: list[int] = []
    aside: list[int] = []

    def odd(x: int) -> bool:
        calls.append(x)
        return bool(x % 2)

    source = SourceProbe([[0, 1, 2], [3], [4, 5, 6, 7, 8, 9]], window=window)
    assert await source.as_source().divert_to(foreach(aside.append), odd).to(to_list()).run() == [0, 2, 4, 6, 8]
    assert (aside, calls) == ([1, 3, 5, 7, 9], list(range(10)))
    window.check_all_settled()
    assert window.ledger().expanded == 0


async def test_an_element_whose_function_fails_goes_neither_way_or_is_tried_again() -> None:
    tries: list[int] = []

    def flaky(x: int) -> bool:
        tries.append(x)
        if x % 3 == 0 and tries.count(x) == 1:
            raise ValueError(x)
        return x > 3

    for rules, main, other in ((Resume(), [1, 2], [4, 5, 7]), (Retry(1), [0, 1, 2, 3], [4, 5, 6, 7])):
        window, aside = Witness(), list[int]()
        tries.clear()
        source = SourceProbe([[0, 1, 2, 3, 4], [5, 6, 7]], window=window)
        graph = source.as_source().divert_to(foreach(aside.append), flaky).to(to_list())
        assert await graph.run(supervisor=rules) == main
        assert aside == other
        window.check_all_settled()
    with pytest.raises(ZeroDivisionError) as caught:
        await iterate([0]).divert_to(ignore(), lambda x: 1 / x > 0).to(ignore()).run()
    assert caught.value.__notes__ == ["In divert_to, on the element 0"]


async def test_a_way_that_does_not_take_what_it_has_holds_the_other_up_and_no_more_is_read() -> None:
    source, slow = SourceProbe([[1], [2], [3], [9], [4], [5]]), SinkProbe()
    main: list[int] = []
    graph = source.as_source().divert_to(slow.as_sink(), lambda x: x == 9).to(foreach(main.append))
    run = asyncio.ensure_future(graph.run())
    await passes()
    assert main == [1, 2, 3], "the other way has not asked, and nobody waits for that"
    assert source.given == 4
    assert await slow.pull(5) == [9]
    await passes()
    assert main == [1, 2, 3, 4, 5]
    assert await slow.pull(1) is None
    await run
    assert source.closes == 1


async def test_a_way_that_has_enough_loses_its_elements_and_the_other_goes_on() -> None:
    for main, side, found in ((1, 9, ([0], [1, 3, 5, 7])), (9, 1, ([0, 2, 4, 6], [1]))):
        window, aside = Witness(), list[int]()
        source = SourceProbe([[0, 1, 2], [3, 4], [5, 6, 7]], window=window)
        graph = source.as_source().divert_to(flow().take(side).to(foreach(aside.append)), lambda x: x % 2)
        assert (await graph.take(main).to(to_list()).run(), aside) == found
        window.check_all_settled()


async def test_columns_have_no_elements_to_divert() -> None:
    source = SourceProbe([pa.RecordBatch.from_pydict({"x": [1]})])
    with pytest.raises(RowsNeeded, match="divert_to"):
        await source.as_source().divert_to(ignore(), lambda _: True).to(ignore()).run()


# -------------------------------------------------------------------------------------------------------- wire_tap


async def test_a_tap_is_shown_what_it_can_take_and_holds_nobody_up() -> None:
    window, tap = Witness(), SinkProbe()
    source = SourceProbe([[x, x + 1, x + 2] for x in range(0, 30, 3)], window=window)
    async with pulled(source.as_source().wire_tap(tap.as_sink())) as stage:
        assert await data(stage, 3) == [0, 1, 2]
        shown = asyncio.ensure_future(tap.chunk(2))
        await passes()
        assert await data(stage, 3) == [3, 4, 5]
        assert await data(stage, 3) == [6, 7, 8]
        chunk = await shown
        assert chunk is not None
        assert (chunk.data, chunk.tokens) == ([3], ()), "a tap begins with one element, and holds no token"
        assert await tap.pull(2) == [4], "it asked for two at the time"
        shown = asyncio.ensure_future(tap.pull(9))
        await passes()
        for x in (9, 12):
            assert await data(stage, 3) == [x, x + 1, x + 2]
        assert [await shown, await tap.pull(9)] == [[9, 10, 11, 12], [13, 14]], "both came before it got to it"
        while (chunk := await stage.pull(9)) is not None:
            chunk.written()
        assert await tap.pull(9) is None
    window.check_all_settled()


async def test_a_tap_that_waits_sees_all_of_a_slow_stream() -> None:
    source = SourceProbe([[x] for x in range(20)], passes=3)
    shown: list[int] = []
    assert await source.as_source().wire_tap(foreach(shown.append)).to(to_list()).run() == list(range(20))
    assert shown == list(range(20))


@pytest.mark.parametrize("how", ["map", "map_async", "split"])
async def test_a_tap_that_fails_is_logged_and_the_stream_goes_on(how: str, caplog: pytest.LogCaptureFixture) -> None:
    def bad(x: int) -> int:
        if x == 2:
            raise OSError("away")
        return x

    async def later(x: int) -> int:
        return bad(x)

    taps: dict[str, Any] = {
        "map": flow().map(bad).to(ignore()),
        "map_async": flow().map_async(2, later).to(ignore()),
        "split": flow().also_to(flow().map_async(2, later).to(ignore())).to(ignore()),
    }
    window = Witness()
    source = SourceProbe([[x] for x in range(9)], window=window, passes=12)
    with caplog.at_level(logging.WARNING):
        graph = source.as_source().wire_tap(taps[how])
        assert await asyncio.wait_for(graph.to(to_list()).run(), 5) == list(range(9))
    assert len(caplog.records) == 1
    assert "is shown nothing more, as it failed: OSError('away')" in caplog.text
    window.check_all_settled()


async def test_a_tap_that_has_enough_is_over(caplog: pytest.LogCaptureFixture) -> None:
    shown: list[int] = []
    source = SourceProbe([[x] for x in range(9)], passes=3)
    tap = flow().take(2).to(foreach(shown.append))
    assert await source.as_source().wire_tap(tap).to(to_list()).run() == list(range(9))
    assert shown == [0, 1]
    assert not caplog.records


async def test_an_error_of_the_stream_is_not_its_taps(caplog: pytest.LogCaptureFixture) -> None:
    source = SourceProbe([[1], OSError("lost")])
    assert await source.as_source().wire_tap(ignore()).recover(lambda _: -1).to(to_list()).run() == [1, -1]
    assert not caplog.records
    with pytest.raises(OSError, match="lost"):
        await SourceProbe([OSError("lost")]).as_source().wire_tap(ignore()).to(ignore()).run()


async def test_a_tap_ends_with_its_stream_however_that_ends() -> None:
    before = asyncio.all_tasks()
    source, tap = SourceProbe([[1], [2]], wait=True), SinkProbe()
    run = asyncio.ensure_future(source.as_source().wire_tap(tap.as_sink()).take(1).to(to_list()).run())
    await passes()
    assert not run.done(), "its sink may still have something to store"
    assert await tap.pull(1) is None
    assert await run == [1]
    run = asyncio.ensure_future(SourceProbe(wait=True).as_source().wire_tap(ignore()).to(ignore()).run())
    await passes()
    run.cancel()
    await asyncio.wait((run,))
    assert asyncio.all_tasks() == before


async def test_a_tap_is_shown_columns_too() -> None:
    shown: list[int] = []
    tap = SinkProbe()
    source = SourceProbe([pa.RecordBatch.from_pydict({"x": [1, 2, 3]})])
    async with pulled(source.as_source().wire_tap(tap.as_sink())) as stage:
        asked = asyncio.ensure_future(tap.chunk(2))
        await passes()
        assert len(await data(stage, 5)) == 3
        assert await stage.pull(1) is None
        for chunk in (await asked, await tap.chunk(2)):
            assert chunk is not None
            shown += chunk.data.column("x").to_pylist()  # type: ignore[attr-defined]
        assert await tap.chunk(2) is None
    assert shown == [1, 2]
