"""Acknowledged streams end to end, and an end that is told once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.errors import AckError
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SinkProbe, SourceProbe, pulled


@pytest.mark.parametrize("how", ["end", "error", "cancelled", "below had enough", "below failed"])
async def test_the_end_of_a_stream_is_told_once(how: str) -> None:
    told: list[BaseException | None] = []
    source = SourceProbe([[1, 2], *([OSError("lost")] if how == "error" else [])], wait=how == "cancelled")
    flow = source.as_source().watch_termination(told.append)
    if how == "below had enough":
        flow = flow.take(1)

    def check(_: int) -> None:
        if how == "below failed":
            raise ValueError("below")

    run = asyncio.ensure_future(flow.to(foreach(check)).run())
    for _ in range(10):
        await asyncio.sleep(0)
    if how == "cancelled":
        run.cancel()
    await asyncio.wait((run,))
    expected: dict[str, Any] = {"error": OSError, "cancelled": asyncio.CancelledError}
    assert [type(error) for error in told] == [expected.get(how, type(None))]


async def test_probes_at_both_ends_of_a_running_graph() -> None:
    source, sink = SourceProbe(wait=True), SinkProbe()
    run = asyncio.create_task(source.as_source().map(str).to(sink.as_sink()).run())
    source.give([1, 2, 3])
    assert await sink.pull(2) == ["1", "2"]
    assert source.demands == [2]
    assert await sink.pull(2) == ["3"]
    source.give(OSError("lost"))
    with pytest.raises(OSError, match="lost"):
        await sink.pull(1)
    with pytest.raises(OSError, match="lost"):
        await run
    assert sink.ended
    with pytest.raises(AssertionError, match="is over"):
        await sink.pull(1)


async def test_a_sink_probe_may_leave() -> None:
    source, sink = SourceProbe([[1, 2, 3]]), SinkProbe()
    run = asyncio.create_task(source.as_source().to(sink.as_sink()).run())
    assert await sink.pull(1) == [1]
    await sink.leave()
    await run
    assert source.closes == 1


async def test_confirm_settles_before_the_sink_has_written() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3]], window=window)
    async with pulled(source.as_source().confirm().map(str)) as stage:
        chunk = await stage.pull(9)
        assert chunk is not None
        assert (chunk.data, chunk.tokens) == (["1", "2"], ())
        assert window.ledger().written == 2
        await stage.pull(9)
    window.check_all_settled()


async def test_each_channel_confirms_its_own() -> None:
    window = Witness(10, channels=2)
    source = SourceProbe([[1, 2]], window=window)
    side = SinkProbe()
    graph = source.as_source().also_to(flow().switch_channel(1).to(side.as_sink())).switch_channel(0).to(ignore())
    run = asyncio.ensure_future(graph.run())
    chunk = await side.chunk(9)
    assert chunk is not None
    for _ in range(10):
        await asyncio.sleep(0)
    assert window.progress is None, "the other channel has confirmed, this one has not"
    chunk.written()
    while await side.pull(9):
        pass
    await run
    window.check_all_settled()


async def test_a_channel_that_does_not_exist_fails_the_stream() -> None:
    source = SourceProbe([[1]], window=Witness(10, channels=2))
    with pytest.raises(AckError, match="no channel 2"):
        await source.as_source().switch_channel(2).to(ignore()).run()
    with pytest.raises(ValueError, match="from 0 on"):
        flow().switch_channel(-1)


async def test_what_a_source_repeats_is_left_out_within_the_window() -> None:
    window = Witness()
    source = SourceProbe([[1, 2, 1, 3, 1], [4, 2, 5, 1]], window=window)
    async with pulled(source.as_source().dedupe_window(3)) as stage:
        assert await drain(stage, 4) == [1, 2, 3, 4, 2, 5, 1]
    window.check_all_settled()
    assert window.ledger().filtered == 2
    with pytest.raises(ValueError, match="size of 1 or more"):
        flow().dedupe_window(0)


async def test_an_element_without_a_key_is_left_to_the_rules() -> None:
    source = iterate([{"id": 1}, {}, {"id": 1}, {"id": 2}]).dedupe_window(10, key=lambda row: row["id"])
    assert await source.to(to_list()).run(supervisor=Resume()) == [{"id": 1}, {"id": 2}]
    with pytest.raises(KeyError):
        await source.to(to_list()).run()
