"""What every source promises, as tests that a connector's own test class inherits.

Owns the promises. Refuses to know a connector: the subclass has a fixture `case` that says how a reader is made and
what it must give. Needs pytest, pytest-asyncio and hypothesis (the extra `test`).

    class TestMySource(SourceContract):
        @pytest.fixture
        def case(self, tmp_path):
            path = tmp_path / "in.txt"
            path.write_text("a\\nb\\nc\\n")
            return SourceCase(lambda: MySource(path), ["a", "b", "c"])
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.testing.calls import as_committed, as_rows, call, drain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.base import AnyReader

Step = tuple[int, bool]
"""Read up to so many records (0: read nothing), then perhaps go on with a new reader at the position."""

STEPS = st.lists(st.tuples(st.integers(0, 12) | st.integers(0, 3000), st.booleans()), max_size=12)


INHERITED = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)
"""Fine here: a case is only read, and no example is kept for another class."""


@dataclass(frozen=True)
class SourceCase:
    """How to make a reader that was never opened, and all records it gives, in order. At least three of them."""

    make: Callable[[], AnyReader]
    records: Sequence[Any]
    rows: Callable[[], AnyReader] | None = None
    """For a reader of columns: how to make the reader of rows of the same source."""
    most_readers: int = 50
    """How often a test may begin anew in the middle; fewer where a reader costs a new connection."""


@pytest.mark.asyncio
class SourceContract:
    """Inherited by the test class of a source, which adds the fixture `case`."""

    @pytest.mark.parametrize("n", [1, 2, 3, 1000])
    async def test_gives_every_record_in_order_and_never_more_than_asked(self, case: SourceCase, n: int) -> None:
        reader = case.make()
        await call(reader.open, None)
        assert await drain(reader, n) == list(case.records)
        await call(reader.close)

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=INHERITED)
    @given(steps=STEPS)
    async def test_position_is_exact_after_any_split(self, case: SourceCase, steps: list[Step]) -> None:
        assert await read_in_steps(case, steps) == list(case.records)

    async def test_position_of_every_single_record_is_exact(self, case: SourceCase) -> None:
        few = min(len(case.records), case.most_readers)
        assert await read_in_steps(case, [(1, True)] * few) == list(case.records)

    async def test_a_reader_at_the_last_position_gives_nothing(self, case: SourceCase) -> None:
        reader = case.make()
        await call(reader.open, None)
        await drain(reader, 1000)
        position = as_committed(reader.position)
        await call(reader.close)
        again = case.make()
        await call(again.open, position)
        assert await call(again.read, 10) is None
        await call(again.close)

    async def test_the_end_stays_the_end(self, case: SourceCase) -> None:
        reader = case.make()
        await call(reader.open, None)
        await drain(reader, 1000)
        position = as_committed(reader.position)
        assert await call(reader.read, 1) is None
        assert await call(reader.read, 1) is None
        assert reader.position == position
        await call(reader.close)

    async def test_can_be_closed_twice(self, case: SourceCase) -> None:
        reader = case.make()
        await call(reader.open, None)
        await call(reader.read, 1)
        await call(reader.close)
        await call(reader.close)

    async def test_can_be_closed_without_having_been_opened(self, case: SourceCase) -> None:
        await call(case.make().close)


class AsyncSourceContract(SourceContract):
    """In addition, for readers that are asynchronous themselves."""

    @pytest.mark.parametrize("passes", [0, 1, 2, 5])
    async def test_a_cancelled_read_loses_nothing(self, case: SourceCase, passes: int) -> None:
        reader = case.make()
        await call(reader.open, None)
        records: list[Any] = []
        for _ in range(len(case.records)):
            task = asyncio.ensure_future(call(reader.read, 2))
            for _ in range(passes):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                records += as_rows(await task)
        records += await drain(reader, 1000)
        await call(reader.close)
        assert records == list(case.records)


class ColumnarSourceContract(SourceContract):
    """In addition, for readers of columns; the case says how to make the reader of rows beside it."""

    async def test_every_chunk_is_a_batch_of_the_same_columns(self, case: SourceCase) -> None:
        reader = case.make()
        assert getattr(reader, "columnar", False) is True
        await call(reader.open, None)
        schemas: list[Any] = []
        while (chunk := await call(reader.read, 7)) is not None:
            schemas.append(chunk.schema)
        await call(reader.close)
        assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=INHERITED)
    @given(steps=st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=12))
    async def test_either_form_goes_on_from_the_position_of_the_other(
        self, case: SourceCase, steps: list[Step]
    ) -> None:
        assert case.rows is not None
        records: list[Any] = []
        position = None
        for n, columnar in [*steps[: case.most_readers], (1000, True)]:
            reader = case.make() if columnar else case.rows()
            await call(reader.open, position)
            records += as_rows(await call(reader.read, n))
            position = as_committed(reader.position)
            await call(reader.close)
        reader = case.rows()
        await call(reader.open, position)
        records += await drain(reader, 1000)
        await call(reader.close)
        assert records == list(case.records)


async def read_in_steps(case: SourceCase, steps: list[Step]) -> list[Any]:
    """Everything a source gives when it is read in `steps`, and then to the end by one more reader."""
    records: list[Any] = []
    position = None
    reader = case.make()
    await call(reader.open, position)
    for n, reopen in [*steps[: case.most_readers], (0, True)]:
        records += as_rows(await call(reader.read, n)) if n else []
        if reopen:
            position = as_committed(reader.position)
            await call(reader.close)
            reader = case.make()
            await call(reader.open, position)
    records += await drain(reader, 1000)
    await call(reader.close)
    return records
