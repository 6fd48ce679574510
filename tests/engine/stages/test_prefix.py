"""The first elements by themselves, the rest as a source; and who answers for the records of the prefix."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import Flow, flow
from teleporter_lab.engine.stages.prefix import TailGone
from teleporter_lab.engine.stages.sinks import foreach, head, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate, single
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SinkProbe, SourceProbe, pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Source

Pair = tuple[list[Any], "Source[Any]"]


def tail_of(pair: Pair) -> Source[Any]:
    return pair[1]


def whole(pair: Pair) -> Source[Any]:
    return iterate(pair[0]).concat(pair[1])


async def test_exactly_the_prefix_is_read_for_it() -> None:
    source = SourceProbe([list(range(10))])
    async with pulled(source.as_source().prefix_and_tail(4)) as stage:
        chunk = await stage.pull(1000)
        assert chunk is not None
        assert chunk.data[0][0] == [0, 1, 2, 3]
        assert source.given == 4
        assert await stage.pull(1) is None
    assert source.closes == 1


@pytest.mark.parametrize("n", [0, 1, 3, 5])
async def test_a_short_or_empty_stream_gives_its_element_all_the_same(n: int) -> None:
    graph = iterate(range(3)).prefix_and_tail(n).flat_map_concat(lambda p: single(p[0]).concat(p[1])).to(to_list())
    assert await graph.run() == [list(range(3))[:n], *range(n, 3)]
    empty_one = await SourceProbe().as_source().prefix_and_tail(n).map(lambda p: p[0]).to(to_list()).run()
    assert empty_one == [[]]


async def test_a_tail_that_nobody_runs_holds_nobody_up() -> None:
    source = SourceProbe([[1, 2, 3]], wait=True)
    pair = await source.as_source().prefix_and_tail(2).to(head()).run()
    assert pair is not None
    assert source.closes == 1
    with pytest.raises(TailGone, match="is over"):
        await pair[1].to(ignore()).run()


async def test_a_tail_runs_once() -> None:
    with pytest.raises(TailGone, match="was run before"):
        await iterate(range(5)).prefix_and_tail(1).flat_map_concat(lambda p: p[1].concat(p[1])).to(ignore()).run()


async def test_what_is_above_is_closed_with_the_tail() -> None:
    source = SourceProbe([list(range(10))], wait=True)
    sink = SinkProbe()
    graph = source.as_source().prefix_and_tail(1).flat_map_concat(lambda p: p[1].take(2).concat(single("end")))
    run = asyncio.ensure_future(graph.to(sink.as_sink()).run())
    assert await sink.pull(2) == [1, 2]
    assert source.closes == 1
    assert await sink.pull(2) == ["end"]
    assert await sink.pull(2) is None
    await run
    assert source.given == 3


async def test_it_ends_when_the_tail_has_so_that_nobody_closes_it_before() -> None:
    """`concat` closes what has ended; below it the tail is still running."""
    source = SourceProbe([[1, 2], [3], [4]], passes=2)
    graph = source.as_source().prefix_and_tail(1).concat(single(([], single("last"))))
    found = await graph.flat_map_merge(2, tail_of).to(to_list()).run()
    assert found == [2, 3, 4, "last"]
    assert source.closes == 1


async def test_an_error_in_the_prefix_is_that_of_the_tail() -> None:
    found: list[Any] = []
    source = SourceProbe([[1, 2], OSError("away")])
    with pytest.raises(OSError, match="away"):
        await source.as_source().prefix_and_tail(5).flat_map_concat(whole).to(foreach(found.append)).run()
    assert found == [1, 2]


async def test_a_tail_in_a_run_of_its_own_works_as_long_as_the_stream_does() -> None:
    async def run(pair: Pair) -> list[int]:
        return await pair[1].to(to_list()).run()

    assert await iterate(range(5)).prefix_and_tail(2).map_async(1, run).to(to_list()).run() == [[2, 3, 4]]


async def test_columns_are_refused_where_there_is_a_prefix() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    batch = pyarrow.RecordBatch.from_pylist([{"x": i} for i in range(4)])
    with pytest.raises(RowsNeeded, match="prefix_and_tail"):
        await SourceProbe([batch]).as_source().prefix_and_tail(2).flat_map_concat(whole).to(ignore()).run()


@pytest.mark.parametrize("n", [-1, -5])
def test_a_prefix_has_a_size(n: int) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        iterate([1]).prefix_and_tail(n)
    with pytest.raises(ValueError, match="0 or more"):
        iterate([1]).flat_map_prefix(n, lambda _: flow())


# -------------------------------------------------------------------------------------------------------------- tokens


async def test_the_prefix_is_confirmed_when_the_tail_has_given_something() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3], [4]], window=window)
    async with pulled(source.as_source().prefix_and_tail(2).flat_map_concat(whole)) as stage:
        first = await stage.pull(1)
        second = await stage.pull(1)
        third = await stage.pull(1)
        assert first is not None
        assert second is not None
        assert third is not None
        assert (first.data, second.data, third.data) == ([1], [2], [3])
        first.written()
        assert window.progress is None, "the second element answers for the prefix too"
        second.written()
        assert window.progress is not None
        assert window.progress.position == 2
        third.written()
        assert await drain(stage, 5) == [4]
    window.check_all_settled()


@pytest.mark.parametrize("breadth", [0, 1, 3])
async def test_a_full_window_is_no_dead_end_for_a_tail(breadth: int) -> None:
    """More records than the window holds: the prefix must not wait for the end of the tail."""
    source = SourceProbe([list(range(i, i + 5)) for i in range(0, 100, 5)])
    above = source.as_source().source_ack(window := AckWindow(10)).prefix_and_tail(3)
    below = above.flat_map_merge(breadth, whole) if breadth else above.flat_map_concat(whole)
    assert await below.to(to_list()).run() == list(range(100))
    assert window.progress is not None
    assert window.progress.count == 100


async def test_a_full_window_is_no_dead_end_for_a_flow_that_gives_nothing() -> None:
    source = SourceProbe([list(range(i, i + 5)) for i in range(0, 100, 5)])
    nothing: Flow[int, int] = flow(int).filter(lambda x: x == 99)
    graph = source.as_source().source_ack(AckWindow(10)).flat_map_prefix(3, lambda _: nothing).to(to_list())
    assert await graph.run() == [99]


async def test_a_record_that_is_refused_in_the_tail_leaves_the_prefix_alone() -> None:
    def bad(x: int) -> int:
        if x == 3:
            raise OSError("away")
        return x

    window = Witness()
    source = SourceProbe([[1], [2], [3]], window=window).as_source()
    with pytest.raises(OSError, match="away"):
        await source.prefix_and_tail(1).flat_map_concat(lambda p: p[1].map(bad)).to(ignore()).run()
    assert window.progress is not None
    assert window.progress.position == 2
    assert window.refused == 1


async def test_channels_pass_a_prefix() -> None:
    window = Witness(channels=2)
    source = SourceProbe([[1], [2], [3]], window=window).as_source()
    async with pulled(source.prefix_and_tail(1).flat_map_concat(whole).switch_channel(1)) as stage:
        assert await drain(stage, 3) == [1, 2, 3]
    window.check_all_settled()


# ---------------------------------------------------------------------------------------------------- flat_map_prefix


async def test_the_flow_is_made_of_the_prefix() -> None:
    def named(header: list[str]) -> Flow[str, dict[str, str]]:
        names = header[0].split(",")
        return flow(str).map(lambda line: dict(zip(names, line.split(","), strict=True)))

    graph = iterate(["a,b", "1,2", "3,4"]).flat_map_prefix(1, named).to(to_list())
    assert await graph.run() == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


async def test_a_flow_that_ends_early_closes_what_is_above() -> None:
    source = SourceProbe([list(range(10))], wait=True)
    assert await source.as_source().flat_map_prefix(2, lambda _: flow().take(2)).to(to_list()).run() == [2, 3]
    assert (source.given, source.closes) == (4, 1)


async def test_an_error_of_the_function_stops_the_stream_whatever_the_rules_say() -> None:
    """Leaving the prefix out would be an end without a word."""
    calls: list[list[int]] = []

    def bad(prefix: list[int]) -> Flow[int, int]:
        calls.append(prefix)
        raise OSError("away")

    window = Witness()
    graph = SourceProbe([[1, 2, 3]], window=window).as_source().flat_map_prefix(2, bad).to(ignore())
    with pytest.raises(OSError, match="away"):
        await graph.run(supervisor=Resume())
    assert calls == [[1, 2]]
    assert window.refused == 1
    wrong: Any = lambda _: [1]  # noqa: E731
    for function in (wrong, lambda _: iterate([1])):
        with pytest.raises(TypeError, match="has to give a flow, and gave"):
            await iterate([1, 2]).flat_map_prefix(1, function).to(ignore()).run()


async def test_functions_inside_the_flow_are_supervised_as_ever() -> None:
    def bad(x: int) -> int:
        if x == 3:
            raise OSError("away")
        return x

    graph = iterate(range(6)).flat_map_prefix(1, lambda _: flow(int).map(bad)).to(to_list())
    assert await graph.run(supervisor=Resume()) == [1, 2, 4, 5]
