"""Columns: carried and split without a copy, failing rows found by halving, rows made only where they are asked for."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.engine.columns import ColumnsMismatch
from teleporter_lab.engine.failure import ColumnsNeeded, RowsNeeded
from teleporter_lab.engine.stages.batches import foreach_batch, from_batches, to_table
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.stages.writing import write_to
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled


def batch(*xs: Any) -> Any:
    return pa.RecordBatch.from_pydict({"x": list(xs)})


def table(n: int) -> Any:
    return pa.table({"x": list(range(n))})


def refuses(*bad: int) -> Any:
    """A function for batches that fails while one of `bad` is in it, and counts its calls."""

    def work(found: Any) -> Any:
        work.calls += 1
        if set(bad) & set(found.column("x").to_pylist()):
            raise ValueError("bad row")
        return found.set_column(0, "x", pc.add(found.column("x"), 100))

    work.calls = 0
    return work


class Rules:
    """A supervisor that remembers what it was asked about."""

    def __init__(self, action: Action) -> None:
        self.seen: list[Failure] = []
        self._action = action

    def decide(self, failure: Failure) -> Decision:
        self.seen.append(failure)
        return Decision(self._action)


async def test_a_batch_goes_through_without_a_copy_and_its_slices_share_its_memory() -> None:
    whole = batch(*range(100))
    address = whole.column(0).buffers()[1].address
    async with pulled(from_batches([whole]).take(50).drop(1)) as stage:
        found = []
        while (chunk := await stage.pull(7)) is not None:
            assert 1 <= len(chunk) <= 7
            found.append(chunk.data)
    assert [x for part in found for x in part.column(0).to_pylist()] == list(range(1, 50))
    assert {part.column(0).buffers()[1].address for part in found} == {address}


async def test_a_table_in_pieces_comes_out_as_it_was() -> None:
    result = await from_batches([table(10), batch(10, 11), None, table(0)]).to(to_table()).run()
    assert result.to_pydict() == {"x": list(range(12))}
    assert await from_batches([]).to(to_table()).run() is None


async def test_expressions_filter_and_compute() -> None:
    graph = (
        from_batches([pa.table({"price": [1.0, 2.0, None], "n": [3, 4, 5], "who": ["a", "b", "c"]})])
        .filter(pc.field("n") > 3)
        .with_columns(total=pc.field("price") * pc.field("n"), n=lambda b: pc.negate(b.column("n")), old=pc.field("n"))
        .select("total", "n", "old")
        .to_rows()
        .to(to_list())
    )
    assert await graph.run() == [{"total": 8.0, "n": -4, "old": 4}, {"total": None, "n": -5, "old": 5}]


async def test_a_failing_row_is_found_its_neighbours_go_on_and_the_order_stays() -> None:
    work, rules = refuses(700), Rules(Action.RESUME)
    result = await from_batches([table(1024)]).map_batches(work).to(to_table()).run(supervisor=rules)
    assert result.column("x").to_pylist() == [x + 100 for x in range(1024) if x != 700]
    assert [(failure.element, failure.tries) for failure in rules.seen] == [({"x": 700}, 1)]
    assert work.calls < 50, "halving takes steps of the order of log2"


@given(st.sets(st.integers(0, 40)), st.integers(1, 45))
async def test_any_rows_may_fail(bad: set[int], n: int) -> None:
    window = Witness()
    source = SourceProbe([batch(*range(20)), batch(*range(20, n + 20))], window=window)
    async with pulled(source.as_source().map_batches(refuses(*bad)).to_rows(), supervisor=Resume()) as stage:
        found = await drain(stage, 7)
    assert [row["x"] - 100 for row in found] == [x for x in range(n + 20) if x not in bad]
    window.check_all_settled()
    assert window.ledger().skipped == len([x for x in bad if x < n + 20])


async def test_without_a_rule_what_came_before_the_bad_row_goes_out_then_the_error() -> None:
    window, found = Witness(), []
    source = SourceProbe([batch(*range(16))], window=window)
    graph = source.as_source().map_batches(refuses(11)).to_rows().to(foreach(lambda row: found.append(row["x"] - 100)))
    with pytest.raises(ValueError, match="bad row") as caught:
        await graph.run()
    assert found == list(range(11))
    assert caught.value.__notes__ == ["In map_batches(work), on the element {'x': 11}"]
    assert window.progress is None, "the batch was not written whole, so nothing may be committed"
    assert source.closes == 1


async def test_a_row_that_fails_once_is_tried_again() -> None:
    failures = iter([ValueError("first"), ValueError("second")])

    def flaky(found: Any) -> Any:
        if 3 in found.column("x").to_pylist():
            for error in failures:
                raise error
        return found

    result = await from_batches([batch(3)]).map_batches(flaky).to(to_table()).run(supervisor=Retry(2))
    assert result.to_pydict() == {"x": [3]}


async def test_a_whole_batch_fails_as_a_whole() -> None:
    rules = Rules(Action.RESUME)
    source = SourceProbe([batch(1, 2), batch(3, 4)]).as_source().map_batches(refuses(2), whole=True).to_rows()
    assert await source.to(to_list()).run(supervisor=rules) == [{"x": 103}, {"x": 104}]
    assert [len(failure.element) for failure in rules.seen] == [2]


async def test_rows_that_do_not_fit_the_schema_are_found() -> None:
    rows = [{"x": 1}, {"x": "two"}, {"x": 3}]
    rules = Rules(Action.RESUME)
    graph = iterate(rows).to_batches(pa.schema([("x", pa.int64())])).to(to_table())
    assert (await graph.run(supervisor=rules)).to_pydict() == {"x": [1, 3]}
    assert [failure.element for failure in rules.seen] == [{"x": "two"}]


async def test_the_first_rows_decide_the_schema_where_none_is_given() -> None:
    graph = iterate([{"x": 1}, {"x": 2, "more": 1}]).to_batches().to(to_table())
    assert (await graph.run()).to_pydict() == {"x": [1, 2]}


@pytest.mark.parametrize("given", [7, [1], {"x": 1}], ids=str)
async def test_a_function_that_gives_something_else_is_told(given: Any) -> None:
    with pytest.raises(TypeError, match="gives a RecordBatch, a Table or None"):
        await from_batches([batch(1)]).map_batches(lambda _: given).to(ignore()).run()


async def test_rows_and_columns_are_not_confused() -> None:
    with pytest.raises(RowsNeeded, match=r"map.* works on rows .* to_rows\(\)"):
        await from_batches([batch(1)]).map(str).to(ignore()).run()
    with pytest.raises(ColumnsNeeded, match=r"map_batches.* works on columns .* to_batches\(\)"):
        await iterate([1]).map_batches(lambda b: b).to(ignore()).run()
    with pytest.raises(RowsNeeded, match="to_batches works on rows"):
        await from_batches([batch(1)]).to_batches().to(ignore()).run()


async def test_a_missing_column_is_named() -> None:
    with pytest.raises(KeyError, match="absent"):
        await from_batches([batch(1)]).select("absent").to(ignore()).run()


async def test_a_sink_for_batches_calls_its_function_with_columns() -> None:
    found: list[int] = []
    await from_batches([table(10)]).to(foreach_batch(lambda b: found.extend(b.column(0).to_pylist()))).run()
    assert found == list(range(10))


def test_bad_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="select needs"):
        iterate([]).select()
    with pytest.raises(ValueError, match="with_columns needs"):
        iterate([]).with_columns()


async def test_rows_that_python_cannot_hold_are_a_matter_of_the_rules_too() -> None:
    times = pa.array([0, 10**18, 5], pa.timestamp("us"))  # the second lies beyond the year 9999
    whole = pa.RecordBatch.from_arrays([times, pa.array([1, 2, 3])], ["t", "i"])
    rules, window = Rules(Action.RESUME), Witness()
    source = SourceProbe([whole], window=window)
    async with pulled(source.as_source().to_rows(), supervisor=rules) as stage:
        assert [row["i"] for row in await drain(stage, 5)] == [1, 3]
    assert [(type(failure.error), failure.element.num_rows) for failure in rules.seen] == [(OverflowError, 1)]
    window.check_all_settled()


async def test_rows_without_fields_are_refused_and_not_dropped() -> None:
    graph = iterate([{}, {"x": 1}, {"x": 2}]).to_batches().to_rows().to(to_list())
    with pytest.raises(ValueError, match="give to_batches a schema"):
        await graph.run()
    assert await graph.run(supervisor=Resume()) == [{"x": 1}, {"x": 2}]


async def test_a_table_in_pieces_is_given_piece_by_piece_and_not_joined() -> None:
    pieces = pa.Table.from_batches([batch(1, 2), batch(3), batch(4, 5)])
    async with pulled(from_batches([pieces])) as stage:
        sizes = [len(chunk) for _ in range(9) if (chunk := await stage.pull(100)) is not None]
    assert sum(sizes) == 5
    assert max(sizes) <= 2


async def test_what_came_before_another_schema_is_stored_before_it() -> None:
    written: list[Any] = []

    class Columns:
        columnar = True

        async def open(self) -> None: ...

        async def write(self, records: Any) -> None:
            written.append(records.to_pydict())

        async def close(self) -> None: ...

    other = pa.RecordBatch.from_pydict({"y": [7]})
    source = SourceProbe([batch(1, 2), batch(3), other, other], window=(window := Witness()))
    await source.as_source().to(write_to("columns", Columns, 1000)).run()
    assert written == [{"x": [1, 2, 3]}, {"y": [7, 7]}]
    window.check_all_settled()


async def test_a_table_of_two_schemas_is_refused_before_it_is_confirmed() -> None:
    window = Witness()
    source = SourceProbe([batch(1, 2), pa.RecordBatch.from_pydict({"y": [7]})], window=window)
    with pytest.raises(ColumnsMismatch, match="one table"):
        await source.as_source().to(to_table()).run()
    assert window.progress is not None
    assert window.progress.count == 2
