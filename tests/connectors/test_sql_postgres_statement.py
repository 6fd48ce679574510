"""One statement writes a batch, whatever the mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab.connectors.sql_dialect import Shape
from teleporter_lab.connectors.sql_postgres_statement import Way, statement

if TYPE_CHECKING:
    from teleporter_lab.connectors.sql import Mode

ROWS = "SELECT v.c0 AS c0, CAST(v.c1 AS jsonb) AS c1 FROM unnest($1::bigint[], $2::text[]) AS v(c0, c1)"
WAYS = [Way("bigint", "bigint"), Way("jsonb", "text")]


def quote(name: str) -> str:
    return f'"{name}"'


def text(mode: Mode, update: tuple[str, ...] = ("a",), keys: tuple[str, ...] = ("id",), alone: bool = False) -> str:
    return statement(Shape(mode, "t", ("id", "a"), keys, update), "s.t", WAYS, quote, alone=alone)


def test_inserts() -> None:
    added = f'INSERT INTO s.t ("id", "a") {ROWS}'
    assert text("insert") == added
    assert text("upsert") == f'{added} ON CONFLICT ("id") DO UPDATE SET "a" = EXCLUDED."a"'
    assert text("upsert", update=()) == f'{added} ON CONFLICT ("id") DO NOTHING'
    assert text("insertIgnore") == f'{added} ON CONFLICT ("id") DO NOTHING'
    assert text("insertIgnore", keys=()) == f"{added} ON CONFLICT DO NOTHING"


def test_delete() -> None:
    assert text("delete") == f'DELETE FROM s.t AS t USING ({ROWS}) AS r WHERE t."id" = r.c0'


def test_update_else_insert() -> None:
    assert text("updateElseInsert") == (
        f'WITH r AS ({ROWS}), u AS (UPDATE s.t AS t SET "a" = r.c1 FROM r WHERE t."id" = r.c0 RETURNING r.c0) '
        'INSERT INTO s.t ("id", "a") SELECT * FROM r WHERE NOT EXISTS (SELECT FROM u WHERE u.c0 = r.c0)'
    )
    assert 'SET "id" = r.c0 FROM r' in text("updateElseInsert", update=())


def test_a_row_alone() -> None:
    assert text("insert", alone=True) == (
        'INSERT INTO s.t ("id", "a") SELECT v.c0 AS c0, CAST(v.c1 AS jsonb) AS c1 '
        "FROM (SELECT $1::bigint AS c0, $2::text AS c1) AS v"
    )


@pytest.mark.parametrize(
    ("way", "cast"),
    [
        (Way("date", "date"), "x"),
        (Way("date", "text"), "CAST(x AS date)"),
        (Way("date", "text", "timestamptz"), "CAST(CAST(x AS timestamptz) AS date)"),
    ],
)
def test_ways(way: Way, cast: str) -> None:
    assert way.cast("x") == cast
