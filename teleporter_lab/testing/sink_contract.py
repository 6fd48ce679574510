"""What every sink promises, as tests that a connector's own test class inherits.

Owns the promises. Refuses to know a connector: the subclass has a fixture `case` that says how a writer is made and how
to look at the target without it. Needs pytest and pytest-asyncio (the extra `test`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.supervision import Resume
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.calls import call
from teleporter_lab.testing.tally import streamed, tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.base import AnyWriter


@dataclass(frozen=True)
class SinkCase:
    """How to make a writer of an empty target, and how to see what the target holds."""

    make: Callable[[], AnyWriter]
    read_back: Callable[[], Sequence[Any]]
    """Everything stored, in the order of writing, read without the connector."""
    records: Sequence[Any]
    """At least three records, as `read_back` gives them."""
    bad: Sequence[Any]
    """A batch of good records with a bad one behind them."""
    idempotent: bool = False
    """Whether a batch that is written again changes nothing."""
    form: Callable[[Sequence[Any]], Any] = list
    """What is written instead of a list of records, for instance the batch of columns that they are."""
    twins: tuple[Sequence[Any], Sequence[Any]] | None = None
    """A batch in which records have the same key, and what is stored of it. None: the first record twice and another
    one, each stored once where the sink is idempotent, and as they are where it is not."""


@pytest.mark.asyncio
class SinkContract:
    """Inherited by the test class of a sink, which adds the fixture `case`."""

    @pytest.mark.parametrize("size", [1, 2, 1000])
    async def test_everything_is_stored_when_write_returns(self, case: SinkCase, size: int) -> None:
        writer = case.make()
        await call(writer.open)
        for start in range(0, len(case.records), size):
            await call(writer.write, case.form(case.records[start : start + size]))
            assert list(case.read_back()) == list(case.records[: start + size])
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_an_empty_batch_changes_nothing(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        await call(writer.write, case.form([]))
        await call(writer.write, case.form(case.records))
        await call(writer.write, case.form([]))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_a_batch_written_again_is_there_once_or_twice_as_promised(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        await call(writer.write, case.form(case.records))
        await call(writer.write, case.form(case.records))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records) * (1 if case.idempotent else 2)

    async def test_of_records_that_are_alike_as_many_are_stored_as_promised(self, case: SinkCase) -> None:
        first, second = case.records[:2]
        batch, stored = case.twins or ([first, first, second], [first, second] if case.idempotent else None)
        writer = case.make()
        await call(writer.open)
        await call(writer.write, case.form(batch))
        await call(writer.close)
        assert list(case.read_back()) == list(batch if stored is None else stored)

    @pytest.mark.parametrize("size", [3, 1000])
    async def test_what_a_stream_counts_as_written_is_stored(self, case: SinkCase, size: int) -> None:
        ledger = await streamed(case.make, case.records, form=case.form, size=size)
        stored = list(case.read_back())
        assert (wrong := tally(ledger, len(stored))) is None, wrong
        assert stored == list(case.records)

    async def test_a_stream_that_leaves_out_what_fails_stores_all_that_it_counts_as_written(
        self, case: SinkCase
    ) -> None:
        ledger = await streamed(case.make, case.bad, form=case.form, size=len(case.bad), supervisor=Resume())
        assert (wrong := tally(ledger, len(case.read_back()))) is None, wrong
        assert ledger.skipped >= 1

    async def test_a_failed_batch_stores_nothing_and_says_why_in_a_sentence(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        await call(writer.write, case.form(case.records[:1]))
        with pytest.raises(ConnectorError) as failure:
            await call(writer.write, case.form(case.bad))
        assert list(case.read_back()) == list(case.records[:1])
        assert "\n" not in str(failure.value)
        await call(writer.write, case.form(case.records[1:]))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_a_failed_first_batch_leaves_no_trace(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        with pytest.raises(ConnectorError):
            await call(writer.write, case.form(case.bad))
        await call(writer.write, case.form(case.records))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_a_second_writer_goes_on_where_the_first_stopped(self, case: SinkCase) -> None:
        for part in (case.records[:2], case.records[2:]):
            writer = case.make()
            await call(writer.open)
            await call(writer.write, case.form(part))
            await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_can_be_closed_twice(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        await call(writer.write, case.form(case.records))
        await call(writer.close)
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_can_be_closed_without_having_been_opened(self, case: SinkCase) -> None:
        await call(case.make().close)


class ColumnarSinkContract(SinkContract):
    """In addition, for writers of columns: the `form` of the case makes a batch of columns."""

    async def test_it_says_that_it_takes_columns(self, case: SinkCase) -> None:
        assert getattr(case.make(), "columnar", False) is True

    async def test_rows_and_columns_may_take_turns(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        await call(writer.write, case.form(case.records[:1]))
        await call(writer.write, list(case.records[1:2]))
        await call(writer.write, case.form(case.records[2:]))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_a_slice_of_a_batch_is_written_and_nothing_beside_it(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        await call(writer.write, case.form(case.records)[1:3])
        await call(writer.close)
        assert list(case.read_back()) == list(case.records[1:3])

    async def test_the_order_of_the_columns_of_a_later_batch_does_not_matter(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        await call(writer.write, case.form(case.records[:1]))
        batch = case.form(case.records[1:])
        await call(writer.write, batch.select(batch.schema.names[::-1]))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_a_batch_that_lacks_a_column_stores_nothing_and_says_which(self, case: SinkCase) -> None:
        writer = case.make()
        await call(writer.open)
        batch = case.form(case.records)
        await call(writer.write, batch.slice(0, 1))
        with pytest.raises(ConnectorError, match=batch.schema.names[-1]):
            await call(writer.write, batch.select(batch.schema.names[:-1]))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records[:1])
