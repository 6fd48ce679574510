"""What the operators on one chunk do beyond the laws: large expansions, short lists before an error, own state."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.engine.turnstile import MAX_CHUNK
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled


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


async def test_map_concat_gives_all_items_of_an_element_or_none() -> None:
    def items(x: int) -> Any:
        yield x
        if x == 2:
            raise ValueError(x)
        yield x

    found = await iterate([1, 2, 3]).map_concat(items).to(to_list()).run(supervisor=Resume())
    assert found == [1, 1, 3, 3]


async def test_grouped_gives_what_it_holds_before_an_error() -> None:
    source = SourceProbe([[1, 2, 3, 4, 5], OSError("lost")])
    found: list[list[int]] = []
    with pytest.raises(OSError, match="lost"):
        await source.as_source().grouped(2).to(foreach(found.append)).run()
    assert found == [[1, 2], [3, 4], [5]]


async def test_a_list_answers_for_every_record_in_it() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3, 4], [5, 6]], window=window)
    async with pulled(source.as_source().grouped(3)) as stage:
        first = await stage.pull(1)
        assert first is not None
        assert first.data == [[1, 2, 3]]
        assert window.progress is None
        first.written()
        assert window.progress is not None
        assert window.progress.count == 3
        await drain(stage)
    window.check_all_settled()
    assert window.ledger().merged == 4


async def test_what_goes_down_is_never_the_list_a_source_keeps() -> None:
    kept = [3, 1, 2]
    source = SourceProbe([kept])
    async with pulled(source.as_source().grouped_within(3, 60.0)) as stage:
        chunk = await stage.pull(1)
        assert chunk is not None
        chunk.data[0].sort()
    assert kept == [3, 1, 2]


async def test_scan_keeps_its_state_over_an_element_that_is_left_out() -> None:
    def add(total: int, x: int) -> int:
        if x == 2:
            raise ValueError(x)
        return total + x

    assert await iterate([1, 2, 3]).scan(0, add).to(to_list()).run(supervisor=Resume()) == [1, 4]


async def test_what_take_while_read_beyond_its_end_is_counted_as_filtered() -> None:
    window = Witness()
    source = SourceProbe([list(range(20))], window=window)
    async with pulled(source.as_source().take_while(lambda x: x < 4)) as stage:
        assert await drain(stage) == [0, 1, 2, 3]
    window.check_all_settled()
    assert window.ledger().filtered == source.given - 4


async def test_drop_counts_what_it_drops() -> None:
    window = Witness()
    source = SourceProbe([[x] for x in range(5)] + [list(range(5, 10))], window=window)
    async with pulled(source.as_source().drop(7)) as stage:
        assert await drain(stage) == [7, 8, 9]
    window.check_all_settled()
    assert window.ledger().filtered == 7
