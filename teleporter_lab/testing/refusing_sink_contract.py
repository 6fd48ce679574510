"""What every sink promises whose system refuses records one by one, as tests to inherit.

Owns the promises of `RecordsRefused`, beside those of `SinkContract`. Refuses to know a connector: the subclass has a
fixture `case`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.supervision import Resume
from teleporter_lab.errors import RecordsRefused
from teleporter_lab.testing.calls import call
from teleporter_lab.testing.tally import streamed, tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.base import AnyWriter


@dataclass(frozen=True)
class RefusingCase:
    """How to make a writer of an empty target, and how to see what the target holds."""

    make: Callable[[], AnyWriter]
    read_back: Callable[[], Sequence[Any]]
    """Everything stored, in the order of writing, read without the connector."""
    records: Sequence[Any]
    """At least three records, as `read_back` gives them."""
    refused: Sequence[Any]
    """At least two records that the system refuses, one by one."""


@pytest.mark.asyncio
class RefusingSinkContract:
    """Inherited by the test class of such a sink, which adds the fixture `case`."""

    async def test_all_others_are_stored_and_the_refused_ones_named_by_their_place(self, case: RefusingCase) -> None:
        batch, places = mixed(case)
        writer = case.make()
        await call(writer.open)
        with pytest.raises(RecordsRefused) as failure:
            await call(writer.write, batch)
        assert sorted(failure.value.refused) == places
        assert all("\n" not in str(error) for error in [failure.value, *failure.value.refused.values()])
        assert list(case.read_back()) == list(case.records)
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_a_batch_of_refused_records_alone_stores_nothing_and_the_writer_goes_on(
        self, case: RefusingCase
    ) -> None:
        writer = case.make()
        await call(writer.open)
        with pytest.raises(RecordsRefused) as failure:
            await call(writer.write, list(case.refused))
        assert sorted(failure.value.refused) == list(range(len(case.refused)))
        assert list(case.read_back()) == []
        await call(writer.write, list(case.records))
        await call(writer.close)
        assert list(case.read_back()) == list(case.records)

    async def test_a_stream_that_leaves_them_out_stores_all_others(self, case: RefusingCase) -> None:
        batch, places = mixed(case)
        ledger = await streamed(case.make, batch, size=4, supervisor=Resume())
        assert (wrong := tally(ledger, len(case.read_back()))) is None, wrong
        assert (ledger.written, ledger.skipped) == (len(case.records), len(places))
        assert list(case.read_back()) == list(case.records)


def mixed(case: RefusingCase) -> tuple[list[Any], list[int]]:
    """Good records with refused ones between them, and where those are."""
    batch: list[Any] = []
    places: list[int] = []
    refused = list(case.refused)
    for i, record in enumerate(case.records):
        batch.append(record)
        if i < len(refused):
            places.append(len(batch))
            batch.append(refused[i])
    return batch, places
