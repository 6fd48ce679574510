"""Statements and values for each database, without one."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.dialects import mysql, postgresql, sqlite

from teleporter_lab.connectors.sql_dialect import bindable, statement
from teleporter_lab.errors import BadRecord, ConnectorError

SQLITE, POSTGRESQL, MYSQL = sqlite.dialect(), postgresql.dialect(), mysql.dialect()


def text(dialect: Any, mode: Any, keys: list[str], columns: tuple[str, ...] = ("id", "na me", "Order")) -> str:
    return " ".join(statement(dialect, mode, "shop.goods", columns, keys).text.split())


def test_sqlite() -> None:
    assert text(SQLITE, "insert", []) == 'INSERT INTO shop.goods (id, "na me", "Order") VALUES (?, ?, ?)'
    assert text(SQLITE, "upsert", ["id"]) == (
        'INSERT INTO shop.goods (id, "na me", "Order") VALUES (?, ?, ?) ON CONFLICT (id) '
        'DO UPDATE SET "na me" = excluded."na me", "Order" = excluded."Order"'
    )
    assert text(SQLITE, "insertIgnore", []).endswith("VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
    assert text(SQLITE, "upsert", ["id"], ("id",)).endswith("VALUES (?) ON CONFLICT (id) DO NOTHING")
    assert text(SQLITE, "delete", ["na me", "id"]) == (
        'DELETE FROM shop.goods WHERE shop.goods."na me" = ? AND shop.goods.id = ?'
    )


def test_postgresql_takes_named_parameters() -> None:
    made = statement(POSTGRESQL, "upsert", "goods", ("id", "na me"), ["id"])
    assert " ".join(made.text.split()) == (
        'INSERT INTO goods (id, "na me") VALUES (%(id)s, %(na_me)s) '
        'ON CONFLICT (id) DO UPDATE SET "na me" = excluded."na me"'
    )
    assert made.parameters([(1, "x"), (2, None)]) == [{"id": 1, "na_me": "x"}, {"id": 2, "na_me": None}]


def test_parameters_are_in_the_order_of_the_columns() -> None:
    made = statement(SQLITE, "delete", "goods", ("b", "a"), ["b", "a"])
    assert made.names == ("b", "a")
    assert made.parameters([(1, 2)]) == [(1, 2)]


@pytest.mark.parametrize("mode", ["upsert", "insertIgnore"])
def test_a_dialect_that_cannot_says_what_it_can(mode: Any) -> None:
    with pytest.raises(ConnectorError, match=f"A mysql sink cannot {mode}; it can insert and delete"):
        statement(MYSQL, mode, "goods", ("id",), ["id"])
    assert text(MYSQL, "insert", [], ("id",)) == "INSERT INTO shop.goods (id) VALUES (%s)"


def test_values_that_sqlite_knows_are_left_alone() -> None:
    rows: list[Any] = [(1, 2.5, "x", b"y", None, True)]
    assert bindable("sqlite", rows, "abcdef", "t") is rows


def test_values_that_sqlite_does_not_know_become_text() -> None:
    day = datetime(2024, 2, 29, 1, 2, 3, 4)
    row = (day, day.date(), time(1, 2), Decimal("1.50"), UUID(int=1), {"a": [date(2024, 1, 1)]}, [1], 5)
    assert bindable("sqlite", [row], "abcdefgh", "t") == [
        (
            "2024-02-29 01:02:03.000004",
            "2024-02-29",
            "01:02:00",
            "1.50",
            "00000000-0000-0000-0000-000000000001",
            '{"a":["2024-01-01"]}',
            "[1]",
            5,
        )
    ]


@pytest.mark.parametrize("value", [object(), {"deep": object()}, {1, 2}])
def test_a_value_that_cannot_be_kept_is_told_by_its_field(value: Any) -> None:
    with pytest.raises(BadRecord, match="A record for t has a value in b that cannot be kept"):
        bindable("sqlite", [(1, value)], "ab", "t")


def test_elsewhere_only_mappings_become_text() -> None:
    day = date(2024, 1, 1)
    rows: list[Any] = [(day, [1])]
    assert bindable("postgresql", rows, "ab", "t") is rows
    assert bindable("postgresql", [(day, {"x": 1})], "ab", "t") == [(day, '{"x":1}')]
