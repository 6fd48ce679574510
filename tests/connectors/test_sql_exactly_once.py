"""SQL sinks keep what a sink promises that is exactly once, or that is written to several times at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.testing.exactly_once_contract import ExactlyOnceCase, ExactlyOnceSinkContract
from teleporter_lab.testing.parallel_sink_contract import ParallelCase, ParallelSinkContract
from tests.connectors.sql_target import DRIVERS, Target, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS = [{"id": n, "name": f"Zoë {n}"} for n in range(12)]
BAD = [*RECORDS[:5], {"id": 100, "name": None}]


@pytest.fixture(params=DRIVERS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    made = target_of(request, tmp_path / "goods.db")
    made.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT NOT NULL)")
    yield made
    made.database.close()


def columns(records: Any) -> Any:
    return pa.RecordBatch.from_pylist(list(records), pa.schema([("id", pa.int64()), ("name", pa.string())]))


class TestInsertExactlyOnce(ExactlyOnceSinkContract):
    @pytest.fixture(params=[list, columns], ids=["rows", "columns"])
    def case(self, request: pytest.FixtureRequest, target: Target) -> ExactlyOnceCase:
        return ExactlyOnceCase(lambda: target.sink(exactly_once=True), target.rows, RECORDS, BAD, request.param)


class TestUpsertExactlyOnce(ExactlyOnceSinkContract):
    @pytest.fixture
    def case(self, target: Target) -> ExactlyOnceCase:
        make: Any = lambda: target.sink(mode="upsert", keys=["id"], exactly_once=True)  # noqa: E731
        return ExactlyOnceCase(make, target.rows, RECORDS, BAD)


@pytest.mark.postgres
class TestSeveralUpsertsAtOnce(ParallelSinkContract):
    @pytest.fixture
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ParallelCase]:
        target = Target(tmp_path, request.getfixturevalue("postgres"))
        target.run("CREATE TABLE goods (id BIGINT PRIMARY KEY, name TEXT NOT NULL)")
        yield ParallelCase(
            make=lambda: target.sink(mode="upsert", keys=["id"]),
            read_back=target.rows,
            batches=[RECORDS[:4], RECORDS[4:8], RECORDS[8:]],
            newer=[{**record, "name": "newer"} for record in RECORDS[:4]],
        )
        target.database.close()
