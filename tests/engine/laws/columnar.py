"""Rows of the law suite: columnar. Rows go in and come out, so that the table can compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.stages.sources import iterate
from tests.engine.laws.case import INPUT, Case

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Flow

ROWS = [{"x": x} for x in INPUT]


def columns(f: Flow[Any, Any]) -> Flow[Any, Any]:
    return f.map(lambda x: {"x": x}).to_batches()


def columns_of(*xs: int) -> Any:
    return columns(iterate(xs))


def numbers(f: Flow[Any, Any]) -> Flow[Any, Any]:
    return f.to_rows().map(lambda row: row["x"])


def doubled(batch: Any) -> Any:
    return batch.set_column(0, "x", pc.multiply(batch.column(0), 2))


def repeated(batch: Any) -> Any:
    return batch.take([i for i in range(len(batch)) for _ in range(30)])


CASES = [
    Case("to_batches", lambda f: numbers(columns(f)), INPUT),
    Case("to_rows", lambda f: columns(f).to_rows(), ROWS),
    Case("map_batches", lambda f: numbers(columns(f).map_batches(doubled)), [x * 2 for x in INPUT]),
    Case(
        "map_batches, blocking",
        lambda f: numbers(columns(f).map_batches(doubled, blocking=True)),
        [x * 2 for x in INPUT],
    ),
    Case(
        "map_batches, more rows",
        lambda f: numbers(columns(f).map_batches(repeated)),
        [x for x in INPUT for _ in range(30)],
    ),
    Case("map_batches, no rows", lambda f: numbers(columns(f).map_batches(lambda _: None)), [], unsettled=True),
    Case("select", lambda f: numbers(columns(f).select("x")), INPUT),
    Case("with_columns", lambda f: numbers(columns(f).with_columns(x=pc.field("x") + 1)), list(range(1, 11))),
    Case("filter, columns", lambda f: numbers(columns(f).filter(pc.field("x") > 6)), [7, 8, 9], unsettled=True),
    Case("take, columns", lambda f: numbers(columns(f).take(3)), [0, 1, 2], early=True),
    Case("drop, columns", lambda f: numbers(columns(f).drop(4)), [4, 5, 6, 7, 8, 9], unsettled=True),
    Case("throttle, columns", lambda f: numbers(columns(f).throttle(1000, 1.0)), INPUT),
    Case(
        "merge, columns",
        lambda f: numbers(columns(f).merge(columns_of(100, 101))),
        [*INPUT, 100, 101],
        ordered=False,
        own=(100, 101),
    ),
    Case("kill_switch, columns", lambda f: numbers(columns(f).kill_switch(KillSwitch())), INPUT),
]
