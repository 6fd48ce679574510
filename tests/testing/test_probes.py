"""Probes: demand by hand on both ends of a stream, and a complaint about whoever breaks the contract of a stage."""

from __future__ import annotations

import asyncio

import pytest

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SinkProbe, SourceProbe, pulled


async def test_a_source_gives_its_script_in_pieces_of_the_demand() -> None:
    source = SourceProbe([[1, 2, 3], [4], OSError("lost")])
    async with pulled(source.as_source()) as stage:
        found = [chunk.data for _ in range(3) if (chunk := await stage.pull(2)) is not None]
        with pytest.raises(OSError, match="lost"):
            await stage.pull(1)
    assert found == [[1, 2], [3], [4]]
    assert (source.demands, source.given, source.closes) == ([2, 2, 2, 1], 4, 1)


async def test_a_source_waits_for_what_it_is_given() -> None:
    source = SourceProbe(wait=True)
    async with pulled(source.as_source()) as stage:
        pull = asyncio.create_task(stage.pull(5))
        await asyncio.sleep(0)
        assert not pull.done()
        source.give([7], END)
        chunk = await pull
        assert chunk is not None
        assert chunk.data == [7]
        assert await stage.pull(5) is None


async def test_two_pulls_at_once_and_one_after_close_are_refused() -> None:
    source = SourceProbe(wait=True)
    first = asyncio.create_task(source.pull(1))
    await asyncio.sleep(0)
    with pytest.raises(AssertionError, match="pulled already: True"):
        await source.pull(1)
    with pytest.raises(AssertionError, match="in the middle of a pull"):
        await source.close()
    first.cancel()
    await asyncio.wait((first,))
    closed = SourceProbe([[1]])
    await closed.close()
    with pytest.raises(AssertionError, match="closed 1 times"):
        await closed.pull(1)
    with pytest.raises(AssertionError, match=r"pull\(0\)"):
        await SourceProbe([[1]]).pull(0)


async def test_a_sink_pulls_when_the_test_does_and_leaves_when_it_has_enough() -> None:
    source, sink = SourceProbe([[1, 2, 3]], wait=True), SinkProbe()
    run = asyncio.create_task(source.as_source().map(str).to(sink.as_sink()).run())
    assert await sink.pull(2) == ["1", "2"]
    assert source.demands == [2]
    await sink.leave()
    await run
    assert (sink.ended, source.closes) == (True, 1)
    with pytest.raises(AssertionError, match="pulls no more"):
        await sink.pull(1)


async def test_a_failure_of_the_stream_is_raised_in_the_test() -> None:
    sink = SinkProbe()
    run = asyncio.create_task(SourceProbe([OSError("lost")]).as_source().to(sink.as_sink()).run())
    with pytest.raises(OSError, match="lost"):
        await sink.pull(1)
    with pytest.raises(OSError, match="lost"):
        await run


async def test_a_window_leaks_nothing_unnoticed() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], ["x"]], window=window)
    async with pulled(source.as_source().via(flow(str).map(int)), supervisor=Resume()) as stage:
        first = await stage.pull(5)
        assert first is not None
        with pytest.raises(AssertionError, match="a token was never settled"):
            window.check_all_settled()
        first.written()
        await drain(stage, 5)
    window.check_all_settled()
    assert window.ledger().skipped == 1
    first.confirm()
    with pytest.raises(AssertionError, match="settled once too often"):
        window.check_all_settled()
