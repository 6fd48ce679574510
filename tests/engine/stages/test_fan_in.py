"""Several sources in one stream: fairness, whose turn it is, who ends it, what of the other side is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.turnstile import TARGET
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import END, SourceProbe, pulled


def batch(*xs: int) -> Any:
    return pa.RecordBatch.from_pydict({"x": list(xs)})


async def first(stage: Any, elements: int) -> list[Any]:
    """The first so many elements, pulled one at a time."""
    found: list[Any] = []
    while len(found) < elements:
        chunk = await stage.pull(1)
        assert chunk is not None
        found += chunk.data
    return found


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
    with pytest.raises(asyncio.CancelledError) as caught:
        await run
    assert caught.value.__notes__ == ["Closing did not go well either: OSError('does not close')"]
    assert [source.closes for source in sources[1:]] == [1, 1]


# ----------------------------------------------------------------------------------------------- preferred, weights


async def test_the_preferred_one_goes_first_as_long_as_it_has_something() -> None:
    async with pulled(iterate([0] * 30).merge_preferred(iterate([1] * 30))) as stage:
        assert await first(stage, 60) == [1] * 30 + [0] * 30


async def test_the_gaps_of_the_preferred_one_are_filled() -> None:
    here, urgent = SourceProbe([[0]] * 9, wait=True), SourceProbe([[1]], wait=True)
    async with pulled(here.as_source().merge_preferred(urgent.as_source())) as stage:
        assert await first(stage, 4) == [1, 0, 0, 0]
        urgent.give([2], [3])
        assert await first(stage, 4) == [2, 3, 0, 0]


@pytest.mark.parametrize("pull", [1, 5])
async def test_busy_sources_share_after_their_weights(pull: int) -> None:
    sources = [iterate([i] * 500) for i in range(3)]
    async with pulled(sources[0].merge_prioritized((sources[1], 3), (sources[2], 6))) as stage:
        found: list[int] = []
        while len(found) < 200:
            chunk = await stage.pull(pull)
            assert chunk is not None
            found += chunk.data
    assert [round(found.count(i) / 20) for i in range(3)] == [1, 3, 6]


async def test_who_had_nothing_has_no_claim_on_it_later() -> None:
    here, late = SourceProbe([[0]] * 100), SourceProbe(wait=True)
    async with pulled(here.as_source().merge_prioritized((late.as_source(), 1))) as stage:
        assert await first(stage, 40) == [0] * 40
        late.give(*[[1]] * 20)
        assert sum(await first(stage, 20)) in (9, 10, 11)


async def test_weights_are_checked_and_shown() -> None:
    with pytest.raises(ValueError, match="weights of 1 or more, not 0"):
        iterate("a").merge_prioritized((iterate("b"), 0))
    assert "merge_prioritized(2:5)" in repr(iterate("a").merge_prioritized((iterate("b"), 5), weight=2))


# --------------------------------------------------------------------------------------------------------- in turn


@pytest.mark.parametrize(
    ("segment", "found"),
    [(1, "aAbBcCdDeEFGH"), (2, "abABcdCDeEFGH"), (3, "abcABCdeDEFGH"), (9, "abcdeABCDEFGH")],
)
@pytest.mark.parametrize("demand", [1, 2, 5, 100])
async def test_segments_alternate_until_one_has_ended(segment: int, found: str, demand: int) -> None:
    window = Witness()
    here = SourceProbe(map(list, ("ab", "cde")), window=window)
    there = SourceProbe(map(list, ("ABCD", "E", "FGH")), window=window)
    async with pulled(here.as_source().interleave(there.as_source(), segment)) as stage:
        assert "".join(await drain(stage, demand)) == found
    window.check_all_settled()


async def test_it_waits_for_the_one_whose_turn_it_is() -> None:
    here, there = SourceProbe([[0]], wait=True), SourceProbe([[1], [2], [3]])
    async with pulled(here.as_source().interleave(there.as_source())) as stage:
        assert await first(stage, 2) == [0, 1]
        waiting = asyncio.ensure_future(stage.pull(5))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        here.give([4], END)
        chunk = await waiting
        assert chunk is not None
        assert [*chunk.data, *await drain(stage)] == [4, 2, 3]


async def test_each_is_asked_for_its_part_of_the_demand() -> None:
    here, there = SourceProbe([list(range(50))]), SourceProbe([list(range(50, 99))])
    async with pulled(here.as_source().interleave(there.as_source(), 2).take(7)) as stage:
        assert await drain(stage, 1000) == [0, 1, 50, 51, 2, 3, 52]
    assert (here.given, there.given) == (4, 3)


async def test_an_error_counts_when_it_is_its_turn_and_stays() -> None:
    here, there = SourceProbe([[0, 1]]), SourceProbe([[5], OSError("lost")])
    async with pulled(here.as_source().interleave(there.as_source())) as stage:
        assert await first(stage, 3) == [0, 5, 1]
        for _ in range(3):
            with pytest.raises(OSError, match="lost"):
                await stage.pull(1)


async def test_when_eager_it_ends_at_the_turn_of_one_that_has_ended() -> None:
    for here, there, found in (("ab", "ABCD", "aAbB"), ("abcd", "AB", "aAbBc"), ("", "A", ""), ("ab", "", "a")):
        graph = iterate(here).interleave(iterate(there), eager=True).to(to_list())
        assert "".join(await graph.run()) == found
    with pytest.raises(ValueError, match="segment of 1 or more, not 0"):
        iterate("a").interleave(iterate("b"), 0)


# ------------------------------------------------------------------------------------------------ one after another


async def test_what_is_prepended_is_read_to_its_end_first() -> None:
    here, there = SourceProbe([[1]]), SourceProbe([[2], [3]])
    seen: list[tuple[int, int, int]] = []
    graph = (
        here.as_source().prepend(there.as_source()).to(foreach(lambda x: seen.append((x, here.given, there.closes))))
    )
    await graph.run()
    assert seen == [(2, 0, 0), (3, 0, 0), (1, 1, 1)]
    assert (here.closes, there.closes) == (1, 1)


@pytest.mark.parametrize("gives", [True, False])
async def test_the_other_is_read_only_if_this_one_gave_nothing(gives: bool) -> None:
    here, there = SourceProbe([[1]] if gives else []), SourceProbe([[2]])
    found = await here.as_source().or_else(there.as_source()).to(to_list()).run()
    assert (found, there.demands == []) == (([1], True) if gives else ([2], False))
    assert (here.closes, there.closes) == (1, 1)


async def test_an_error_is_not_nothing() -> None:
    there = SourceProbe([[2]])
    with pytest.raises(OSError, match="lost"):
        await SourceProbe([OSError("lost")]).as_source().or_else(there.as_source()).to(to_list()).run()
    assert there.demands == []


@pytest.mark.parametrize(
    "how", ["merge", "merge_preferred", "merge_prioritized", "interleave", "concat", "prepend", "or_else"]
)
async def test_columns_pass_without_a_look_at_them(how: str) -> None:
    one, other = Witness(), Witness()
    here = SourceProbe([batch(0, 1, 2), batch(3)], window=one).as_source()
    there = SourceProbe([batch(10, 11)], window=other).as_source()
    found: list[int] = []
    async with pulled(getattr(here, how)((there, 1) if how == "merge_prioritized" else there)) as stage:
        while (chunk := await stage.pull(2)) is not None:
            assert isinstance(chunk.data, pa.RecordBatch)
            found += chunk.data.column("x").to_pylist()
            chunk.written()
    assert sorted(found) == ([0, 1, 2, 3] if how == "or_else" else [0, 1, 2, 3, 10, 11])
    one.check_all_settled()
