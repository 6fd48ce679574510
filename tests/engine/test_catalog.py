"""Every operator has its page, says what it has to, and nothing of the feature table is missing."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from teleporter_lab.engine.catalog import CLAUSES, catalog

ROOT = Path(__file__).parents[2]
OPERATORS = catalog()

FEATURES = {
    "source": """iterate async_iterate single empty failed tick unfold unfold_async resource resource_async queue
        range_of repeat cycle maybe never lazy_source future_source combine zip_n read_from read_from_blocking
        from_batches restart_source""",
    "operator": """map filter filter_not map_concat stateful_map take take_while drop drop_while grouped throttle log
        collect scan sliding grouped_weighted grouped_adjacent_by drop_repeated intersperse limit map_with_resource fold
        zip_with_index do_on_first do_on_cancel flatten_optional
        map_async map_async_unordered map_async_partitioned map_blocking scan_async fold_async lazy_flow
        grouped_within delay delay_with initial_delay take_within drop_within
        buffer async_boundary batch conflate expand extrapolate detach batch_weighted aggregate_with_boundary
        flat_map_concat flat_map_merge group_by merge_substreams concat_substreams split_when split_after
        prefix_and_tail switch_map flat_map_prefix
        idle_timeout completion_timeout initial_timeout backpressure_timeout keep_alive
        merge concat zip zip_with merge_prioritized merge_preferred merge_sorted merge_latest merge_sequence interleave
        or_else prepend zip_all zip_latest
        broadcast also_to partition divert_to balance wire_tap unzip
        watch_termination kill_switch monitor
        recover recover_with retry_flow map_error on_error_complete on_error_continue restart_flow
        source_ack confirm switch_channel dead_letter dedupe_window
        map_batches select with_columns to_rows to_batches""",
    "sink": """foreach fold reduce to_list ignore foreach_async head last queue_sink count take_last exists forall
        cancelled on_complete lazy_sink fold_while source_sink resource_sink write_to write_to_blocking
        write_exactly write_exactly_blocking
        foreach_batch to_table restart_sink""",
}
"""What Pekko Streams' users expect, by our names, and what is ours."""


@pytest.mark.parametrize("kind", FEATURES)
def test_nothing_of_the_feature_table_is_missing(kind: str) -> None:
    there = {operator.name for operator in OPERATORS if operator.kind == kind}
    assert set(FEATURES[kind].split()) - there == set()


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: f"{operator.kind} {operator.name}")
def test_every_operator_says_what_it_has_to(operator: object) -> None:
    assert operator.missing == []  # type: ignore[attr-defined]
    assert operator.summary.endswith(".")  # type: ignore[attr-defined]
    assert all(text.endswith((".", "`")) for text in operator.clauses.values())  # type: ignore[attr-defined]


def test_a_clause_that_only_repeats_what_holds_anyway_is_left_out() -> None:
    repeated = [
        f"{operator.name}: {label}"
        for operator in OPERATORS
        for label in operator.said
        if label in CLAUSES[operator.kind] and operator.clauses[label] == CLAUSES[operator.kind][label]
    ]
    assert repeated == []


def test_the_pages_are_those_of_the_code() -> None:
    """`make docs` writes them."""
    wanted: dict[str, str] = runpy.run_path(str(ROOT / "docs" / "write_operators.py"))["pages"]()
    found = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "operators").glob("*.md")}
    assert sorted(found) == sorted(wanted)
    assert [name for name, text in wanted.items() if found[name] != text] == []
