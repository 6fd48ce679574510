"""What every sink promises that keeps the position of the source with its records, as tests to inherit.

Owns the promises beside those of `SinkContract`. Refuses to know a connector: the subclass has a fixture `case`. For
sinks that keep the text of a mark; one whose system keeps the offsets of a group has tests of its own.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow, Progress
from teleporter_lab.engine.blocking import DriverThreads
from teleporter_lab.engine.endpoints import Mark
from teleporter_lab.engine.marked_storing import Marks, kept_mark
from teleporter_lab.engine.stages.marking import write_exactly, write_exactly_blocking
from teleporter_lab.errors import Conflict, ConnectorError
from teleporter_lab.testing.calls import call
from teleporter_lab.testing.tally import blocks_not, source_of, tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.base import AnyWriter

KEY = "/position/ns/task/stream/source"
OTHER = "/position/ns/task/stream/other"


@dataclass(frozen=True)
class ExactlyOnceCase:
    """How to make a writer of an empty target that keeps marks, and how to see what the target holds."""

    make: Callable[[], AnyWriter]
    read_back: Callable[[], Sequence[Any]]
    """Everything stored, in the order of writing, read without the connector."""
    records: Sequence[Any]
    """At least four records, as `read_back` gives them."""
    bad: Sequence[Any]
    """A batch of good records with a bad one behind them."""
    form: Callable[[Sequence[Any]], Any] = list
    """What is written instead of a list of records."""


def mark(n: int, expect: int | None, key: str = KEY) -> Mark:
    """The mark number `n`, where number `expect` must be kept."""
    return Mark(key, text(n), None if expect is None else text(expect), {"offset": n})


def text(n: int) -> str:
    return json.dumps({"position": {"offset": n}, "says": "'\u00e4\n\"{}$1?%s"})


@pytest.mark.asyncio
class ExactlyOnceSinkContract:
    """Inherited by the test class of such a sink, which adds the fixture `case`."""

    async def test_nothing_is_kept_at_first(self, case: ExactlyOnceCase) -> None:
        assert await kept(case) is None

    async def test_records_and_mark_are_stored_together_and_a_fresh_writer_reads_the_mark(
        self, case: ExactlyOnceCase
    ) -> None:
        writer: Any = case.make()
        await call(writer.open)
        assert await call(writer.marked, KEY) is None
        expect = None
        for n in range(1, 4):
            await call(writer.write_marked, case.form(case.records[n - 1 : n]), mark(n, expect))
            assert list(case.read_back()) == list(case.records[:n])
            assert await call(writer.marked, KEY) == text(n)
            assert await kept(case) == text(n)
            expect = n
        await call(writer.close)
        assert await kept(case) == text(3)

    async def test_a_mark_that_does_not_follow_is_a_conflict_and_nothing_is_stored(self, case: ExactlyOnceCase) -> None:
        await write(case, case.records[:1], mark(1, None))
        for wrong in (mark(2, None), mark(2, 7), mark(3, 2)):
            with pytest.raises(Conflict) as failure:
                await write(case, case.records[1:2], wrong)
            assert "\n" not in str(failure.value)
            assert list(case.read_back()) == list(case.records[:1])
            assert await kept(case) == text(1)
        await write(case, case.records[1:], mark(2, 1))
        assert list(case.read_back()) == list(case.records)

    async def test_a_mark_that_must_follow_another_does_not_come_first(self, case: ExactlyOnceCase) -> None:
        with pytest.raises(Conflict):
            await write(case, case.records[:1], mark(2, 1))
        assert await kept(case) is None
        assert list(case.read_back()) == []

    async def test_of_two_writers_that_go_on_from_one_mark_one_wins(self, case: ExactlyOnceCase) -> None:
        writers: list[Any] = [case.make(), case.make()]
        for writer in writers:
            await call(writer.open)
            assert await call(writer.marked, KEY) is None
        tries = [
            call(writer.write_marked, case.form(case.records[i : i + 1]), mark(i + 1, None))
            for i, writer in enumerate(writers)
        ]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        for writer in writers:
            await call(writer.close)
        lost = [isinstance(outcome, Exception) for outcome in outcomes]
        assert sorted(lost) == [False, True]
        winner = lost.index(False)
        assert list(case.read_back()) == list(case.records[winner : winner + 1])
        assert await kept(case) == text(winner + 1)

    async def test_a_batch_that_fails_leaves_the_mark_and_stores_nothing(self, case: ExactlyOnceCase) -> None:
        writer: Any = case.make()
        await call(writer.open)
        await call(writer.write_marked, case.form(case.records[:1]), mark(1, None))
        with pytest.raises(ConnectorError):
            await call(writer.write_marked, case.form(case.bad), mark(2, 1))
        assert list(case.read_back()) == list(case.records[:1])
        assert await call(writer.marked, KEY) == text(1)
        await call(writer.write_marked, case.form(case.records[1:]), mark(2, 1))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)
        assert await kept(case) == text(2)

    async def test_a_mark_may_come_without_records(self, case: ExactlyOnceCase) -> None:
        await write(case, [], mark(1, None))
        await write(case, case.records, mark(2, 1))
        await write(case, [], mark(3, 2))
        with pytest.raises(Conflict):
            await write(case, [], mark(4, 2))
        assert list(case.read_back()) == list(case.records)
        assert await kept(case) == text(3)

    async def test_each_key_has_its_own_mark(self, case: ExactlyOnceCase) -> None:
        await write(case, case.records[:1], mark(1, None))
        await write(case, case.records[1:2], mark(5, None, OTHER))
        await write(case, case.records[2:], mark(2, 1))
        assert (await kept(case), await kept(case, OTHER)) == (text(2), text(5))
        assert list(case.read_back()) == list(case.records)

    async def test_can_be_closed_twice_and_without_having_been_opened(self, case: ExactlyOnceCase) -> None:
        writer = case.make()
        await call(writer.close)
        await call(writer.close)

    @pytest.mark.parametrize("runs", [1, 3])
    async def test_a_stream_that_is_begun_again_and_again_stores_each_record_once(
        self, case: ExactlyOnceCase, runs: int
    ) -> None:
        share = -(-len(case.records) // runs)
        for run in range(runs):
            window = AckWindow(len(case.records) + 1)
            stored = len(case.read_back())
            await go_on(case, window, case.records[run * share : (run + 1) * share])
            assert (wrong := tally(window.ledger(), len(case.read_back()) - stored)) is None, wrong
        assert list(case.read_back()) == list(case.records)


async def write(case: ExactlyOnceCase, records: Sequence[Any], mark: Mark) -> None:
    """By a writer of its own."""
    writer: Any = case.make()
    try:
        await call(writer.open)
        await call(writer.write_marked, case.form(records) if len(records) else [], mark)
    finally:
        await call(writer.close)


async def kept(case: ExactlyOnceCase, key: str = KEY) -> str | None:
    """What a fresh writer says is kept."""
    writer = case.make()
    if blocks_not(writer):
        return await kept_mark(writer, key)
    async with DriverThreads() as threads:
        return await kept_mark(writer, key, threads)


async def go_on(case: ExactlyOnceCase, window: AckWindow, records: Sequence[Any]) -> None:
    """A run that begins at the mark, and writes `records` in small batches."""
    begun = await kept(case)
    before = 0 if begun is None else json.loads(begun)["count"]

    def record(progress: Progress) -> Mark:
        said = {"position": progress.position, "count": before + progress.count}
        return Mark(KEY, json.dumps(said), None, progress.position)

    make: Any = case.make
    marks = Marks(window, KEY, record, begun)
    write = write_exactly if blocks_not(make()) else write_exactly_blocking
    await source_of(records, window, case.form, 2).to(write("the sink", make, marks, 3, 60.0)).run()
