"""Several sources in one stream: fairness, who ends it, what of the other side is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.turnstile import TARGET
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SourceProbe, pulled


async def test_busy_sources_take_turns_by_chunk() -> None:
    async with pulled(iterate([0] * 50).merge(iterate([1] * 50), iterate([2] * 50))) as stage:
        order: list[int] = []
        for _ in range(30):
            chunk = await stage.pull(1)
            assert chunk is not None
            order += chunk.data
    assert [order.count(i) for i in range(3)] == [10, 10, 10]


async def test_a_merge_ends_with_the_last_or_eagerly_with_the_first() -> None:
    for eager in (False, True):
        one, other = SourceProbe([[1], END]), SourceProbe([[2]], wait=True)
        run = asyncio.ensure_future(one.as_source().merge(other.as_source(), eager=eager).to(to_list()).run())
        for _ in range(20):
            await asyncio.sleep(0)
        assert run.done() == eager
        other.give(END)
        assert sorted(await run) == [1, 2]
        assert (one.closes, other.closes) == (1, 1)


async def test_a_merge_gives_nothing_after_an_error() -> None:
    one, other = SourceProbe([OSError("lost")]), SourceProbe([[x] for x in range(50)])
    async with pulled(one.as_source().merge(other.as_source())) as stage:
        errors = 0
        for _ in range(20):
            try:
                await stage.pull(1)
            except OSError:
                errors += 1
            else:
                assert not errors
    assert errors > 10
    assert (one.closes, other.closes) == (1, 1)


@pytest.mark.parametrize("how", ["merge", "concat"])
async def test_a_slow_operator_below_bounds_the_chunks_of_every_source(how: str) -> None:
    """1 ms an element, on the side source as well: else one of its chunks would hold the loop for a second."""
    sizes: list[int] = []
    side = iterate(range(400)).map_blocking(lambda xs: [x + 1000 for x in xs])
    below = getattr(iterate(range(3)), how)(side)
    async with pulled(below.map(lambda x: x)) as stage:
        busy: Any = stage._busy
        while (chunk := await stage.pull(1 << 30)) is not None:
            sizes.append(len(chunk))
            busy.seconds += len(chunk) * 0.001
    assert sum(sizes) == 403
    assert max(sizes) * 0.001 <= 2 * TARGET


async def test_zip_pairs_uneven_chunks_and_settles_both_sides() -> None:
    left, right = Witness(), Witness()
    one = SourceProbe([[1, 2, 3], [4], [5, 6]], window=left)
    other = SourceProbe([["a"], ["b", "c", "d", "e"], ["f"]], window=right)
    async with pulled(one.as_source().zip(other.as_source())) as stage:
        found = await drain(stage, 4, 1)
    assert found == list(zip([1, 2, 3, 4, 5, 6], "abcdef", strict=True))
    left.check_all_settled()
    right.check_all_settled()
    assert left.ledger().merged == 6
    assert right.ledger().written == 6


async def test_what_has_no_partner_stays_unconfirmed() -> None:
    window = Witness()
    one = SourceProbe([[1, 2, 3]], window=window)
    assert await one.as_source().zip(iterate("ab")).to(to_list()).run() == [(1, "a"), (2, "b")]
    assert window.progress is None, "the third has none, and came in the same chunk"
    assert window.late == 0


async def test_concat_closes_a_source_before_the_next_one_is_pulled() -> None:
    one, other = SourceProbe([[1]]), SourceProbe([[2]])
    seen: list[tuple[int, int, int]] = []
    graph = one.as_source().concat(other.as_source()).to(foreach(lambda x: seen.append((x, one.closes, other.closes))))
    await graph.run()
    assert seen == [(1, 0, 0), (2, 1, 0)]
    assert (one.closes, other.closes) == (1, 1)


async def test_all_sources_are_closed_although_one_of_them_cannot_be() -> None:
    sources = [SourceProbe([[1]], wait=True) for _ in range(3)]

    async def close() -> None:
        raise OSError("does not close")

    sources[0].on_close = close  # type: ignore[method-assign]
    first, second, third = (source.as_source() for source in sources)
    run = asyncio.ensure_future(first.merge(second, third).to(ignore()).run())
    for _ in range(10):
        await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(OSError, match="does not close"):
        await run
    assert [source.closes for source in sources[1:]] == [1, 1]
