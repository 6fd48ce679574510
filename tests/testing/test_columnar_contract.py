"""The contracts of columns find readers and writers that break a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.errors import BadRecord
from teleporter_lab.testing.calls import as_rows
from teleporter_lab.testing.sink_contract import ColumnarSinkContract, SinkCase
from teleporter_lab.testing.source_contract import ColumnarSourceContract, SourceCase

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = [{"n": n, "name": str(n)} for n in range(9)]
SCHEMA = pa.schema([("n", pa.int64()), ("name", pa.string())])


class Rows:
    """The row form."""

    columnar = False

    def __init__(self) -> None:
        self.at = 0

    async def open(self, position: Any) -> None:
        self.at = 0 if position is None else position["at"]

    async def read(self, n: int) -> Any:
        records = RECORDS[self.at : self.at + n]
        self.at += len(records)
        return self.form(records) if records else None

    def form(self, records: list[dict[str, Any]]) -> Any:
        return records

    @property
    def position(self) -> Any:
        return {"at": self.at}

    async def close(self) -> None:
        """Nothing to let go of."""


class Columns(Rows):
    """Keeps every promise; the classes below break one each."""

    columnar = True

    def form(self, records: list[dict[str, Any]]) -> Any:
        return pa.RecordBatch.from_pylist(records, schema=SCHEMA)


class OtherColumns(Columns):
    def form(self, records: list[dict[str, Any]]) -> Any:
        batch = super().form(records)
        return batch if self.at < 8 else batch.set_column(0, "n", batch.column("n").cast(pa.int32()))


class OtherPositions(Columns):
    async def open(self, position: Any) -> None:
        self.at = 0 if position is None else position.get("row", position["at"])

    @property
    def position(self) -> Any:
        return {"row": self.at, "at": self.at + 1}


def source_case(make: Callable[[], Rows]) -> SourceCase:
    return SourceCase(make, RECORDS, Rows)


class TestReader(ColumnarSourceContract):
    @pytest.fixture
    def case(self) -> SourceCase:
        return source_case(Columns)


@pytest.mark.parametrize("broken", [Rows, OtherColumns])
async def test_rows_and_columns_that_change_are_found(broken: type[Rows]) -> None:
    with pytest.raises(AssertionError):
        await ColumnarSourceContract().test_every_chunk_is_a_batch_of_the_same_columns(source_case(broken))


async def test_positions_that_the_other_form_does_not_share_are_found() -> None:
    check = ColumnarSourceContract.test_either_form_goes_on_from_the_position_of_the_other.hypothesis.inner_test
    with pytest.raises(AssertionError):
        await check(ColumnarSourceContract(), source_case(OtherPositions), [(3, True), (3, False)])


class Writer:
    """Keeps every promise; the classes below break one each."""

    columnar = True

    def __init__(self, target: list[Any]) -> None:
        self.target = target

    async def open(self) -> None:
        """Nothing to get ready."""

    async def write(self, records: Any) -> None:
        rows = as_rows(records) if isinstance(records, list) or records.schema.names else []
        for row in rows:
            if "name" not in row or row["n"] == -1:
                raise BadRecord("A record lacks name.")
        self.target.extend({name: row[name] for name in ("n", "name")} for row in rows)

    async def close(self) -> None:
        """Nothing to let go of."""


class Unsaid(Writer):
    columnar = False


class ByPlace(Writer):
    async def write(self, records: Any) -> None:
        if not isinstance(records, list) and records.num_columns == 2:
            records = records.rename_columns(["n", "name"])
        await super().write(records)


class Lenient(Writer):
    async def write(self, records: Any) -> None:
        await super().write([{"name": None, **row} for row in as_rows(records)])


def sink_case(kind: type[Writer]) -> SinkCase:
    target: list[Any] = []

    def form(records: Any) -> Any:
        return pa.RecordBatch.from_pylist(list(records), schema=SCHEMA)

    return SinkCase(lambda: kind(target), lambda: target, RECORDS, [*RECORDS[:2], {"n": -1, "name": "x"}], form=form)


class TestWriter(ColumnarSinkContract):
    @pytest.fixture
    def case(self) -> SinkCase:
        return sink_case(Writer)


async def test_a_writer_that_does_not_say_so_or_goes_by_place_or_forgives_is_found() -> None:
    contract = ColumnarSinkContract()
    with pytest.raises(AssertionError):
        await contract.test_it_says_that_it_takes_columns(sink_case(Unsaid))
    with pytest.raises(AssertionError):
        await contract.test_the_order_of_the_columns_of_a_later_batch_does_not_matter(sink_case(ByPlace))
    with pytest.raises(pytest.fail.Exception):
        await contract.test_a_batch_that_lacks_a_column_stores_nothing_and_says_which(sink_case(Lenient))
