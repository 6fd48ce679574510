"""Statements and values for each database, without one."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite

from teleporter_lab.connectors.sql_dialect import Shape, bindable, statement
from teleporter_lab.errors import BadRecord, ConnectorError

SQLITE, POSTGRESQL, MYSQL = sqlite.dialect(), postgresql.dialect(), mysql.dialect()


NESTED: list[Any] = []
NESTED.append(NESTED)


def made(
    dialect: Any, mode: Any, keys: list[str], columns: tuple[str, ...] = ("id", "na me", "Order"), target: str = "goods"
) -> Any:
    update = tuple(name for name in columns if name not in keys)
    return statement(dialect, Shape(mode, target, columns, tuple(keys), update))


def line(text: str) -> str:
    return " ".join(text.split())


def text(dialect: Any, mode: Any, keys: list[str], columns: tuple[str, ...] = ("id", "na me", "Order")) -> str:
    return line(made(dialect, mode, keys, columns, "shop.goods").text)


def test_sqlite() -> None:
    assert text(SQLITE, "insert", []) == 'INSERT INTO shop.goods (id, "na me", "Order") VALUES (?, ?, ?)'
    assert text(SQLITE, "upsert", ["id"]) == (
        'INSERT INTO shop.goods (id, "na me", "Order") VALUES (?, ?, ?) ON CONFLICT (id) '
        'DO UPDATE SET "na me" = excluded."na me", "Order" = excluded."Order"'
    )
    assert text(SQLITE, "insertIgnore", []).endswith("VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
    assert text(SQLITE, "upsert", ["id"], ("id",)).endswith("VALUES (?) ON CONFLICT (id) DO NOTHING")
    assert text(SQLITE, "delete", ["na me", "id"], ("na me", "id")) == (
        'DELETE FROM shop.goods WHERE shop.goods."na me" = ? AND shop.goods.id = ?'
    )


def test_postgresql_takes_named_parameters() -> None:
    upsert = made(POSTGRESQL, "upsert", ["id"], ("id", "na me"))
    assert line(upsert.text) == (
        'INSERT INTO goods (id, "na me") VALUES (%(id)s, %(na_me)s) '
        'ON CONFLICT (id) DO UPDATE SET "na me" = excluded."na me"'
    )
    assert upsert.parameters([(1, "x"), (2, None)]) == [{"id": 1, "na_me": "x"}, {"id": 2, "na_me": None}]


def test_parameters_are_in_the_order_of_the_columns() -> None:
    assert made(SQLITE, "delete", ["b", "a"], ("b", "a")).parameters([(1, 2)]) == [(1, 2)]
    assert made(SQLITE, "delete", ["a", "b"], ("b", "a")).parameters([(1, 2)]) == [(2, 1)]


def test_update_else_insert_has_a_statement_for_each() -> None:
    both = made(SQLITE, "updateElseInsert", ["id"], ("id", "na me"))
    assert line(both.update.text) == 'UPDATE goods SET "na me"=? WHERE goods.id = ?'
    assert both.update.parameters([(1, "x")]) == [("x", 1)]
    assert line(both.insert.text) == 'INSERT INTO goods (id, "na me") VALUES (?, ?)'
    named = made(POSTGRESQL, "updateElseInsert", ["id"], ("id", "n"))
    assert line(named.update.text) == "UPDATE goods SET n=%(n)s WHERE goods.id = %(key_of_id)s"
    assert named.update.parameters([(1, "x")]) == [{"n": "x", "key_of_id": 1}]
    only = made(SQLITE, "updateElseInsert", ["id"], ("id",))
    assert line(only.update.text) == "UPDATE goods SET id=goods.id WHERE goods.id = ?"


def test_mysql_overwrites_on_a_duplicate_key_and_never_ignores_other_errors() -> None:
    assert text(MYSQL, "insert", [], ("id",)) == "INSERT INTO shop.goods (id) VALUES (%s)"
    assert text(MYSQL, "upsert", ["id"]) == (
        "INSERT INTO shop.goods (id, `na me`, `Order`) VALUES (%s, %s, %s) "
        "ON DUPLICATE KEY UPDATE `na me` = VALUES(`na me`), `Order` = VALUES(`Order`)"
    )
    same = "ON DUPLICATE KEY UPDATE id = shop.goods.id"
    assert text(MYSQL, "insertIgnore", ["id"]).endswith(same)
    assert text(MYSQL, "insertIgnore", []).endswith(same)
    assert text(MYSQL, "upsert", ["id"], ("id",)).endswith(same)
    assert text(MYSQL, "delete", ["id"], ("id",)) == "DELETE FROM shop.goods WHERE shop.goods.id = %s"
    assert made(MYSQL, "updateElseInsert", ["id"], ("id", "n")).update.parameters([(1, "x")]) == [("x", 1)]


@pytest.mark.parametrize("mode", ["upsert", "insertIgnore"])
def test_a_dialect_that_cannot_says_what_it_can(mode: Any) -> None:
    with pytest.raises(
        ConnectorError, match=f"An? mssql sink cannot {mode}; it can insert, updateElseInsert and delete"
    ):
        made(mssql.dialect(), mode, ["id"])


def test_a_dialect_that_does_not_count_cannot_update_else_insert() -> None:
    blind = sqlite.dialect()
    blind.supports_sane_rowcount = False
    with pytest.raises(ConnectorError, match=r"A sqlite sink cannot updateElseInsert; it can insert and delete\.$"):
        made(blind, "updateElseInsert", ["id"])


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


@pytest.mark.parametrize("value", [object(), {"deep": object()}, {1, 2}, {"x": "\ud800"}, NESTED])
def test_a_value_that_cannot_be_kept_is_told_by_its_field(value: Any) -> None:
    with pytest.raises(BadRecord, match="A record for t has a value in b that cannot be kept"):
        bindable("sqlite", [(1, value)], "ab", "t")


def test_elsewhere_only_mappings_become_text() -> None:
    day = date(2024, 1, 1)
    rows: list[Any] = [(day, [1])]
    assert bindable("postgresql", rows, "ab", "t") is rows
    assert bindable("postgresql", [(day, {"x": 1})], "ab", "t") == [(day, '{"x":1}')]


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_mysql_gets_moments_in_utc_as_its_drivers_leave_out_the_offset(dialect: str) -> None:
    moments = [datetime(2024, 7, 1, 12, tzinfo=ZoneInfo(zone)) for zone in ("Europe/Berlin", "UTC")]
    rows = bindable(dialect, [(moment, {"x": 1}, date(2024, 7, 1)) for moment in moments], "abc", "t")
    assert rows == [(datetime(2024, 7, 1, hour), '{"x":1}', date(2024, 7, 1)) for hour in (10, 12)]
    plain = [(datetime(2024, 7, 1), 1)]
    assert bindable(dialect, plain, "ab", "t") == plain
