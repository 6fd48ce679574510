"""A batch gets the form and the statement that suit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.sql_dialect import Shape
from teleporter_lab.connectors.sql_postgres_batch import Loader
from teleporter_lab.connectors.sql_postgres_table import Table, TableColumn
from teleporter_lab.errors import BadRecord

if TYPE_CHECKING:
    from teleporter_lab.connectors.sql import Mode

COLUMNS = {
    "id": TableColumn("id", "bigint"),
    "name": TableColumn("name", "text"),
    "size": TableColumn("size", "numeric"),
    "made": TableColumn("made", "bigint", always=True),
}


def loader(plain: bool = True) -> Loader:
    return Loader(Table("t", None, "t", COLUMNS, plain), str)


def shape(mode: Mode, columns: tuple[str, ...] = ("id", "name"), update: tuple[str, ...] = ("name",)) -> Shape:
    return Shape(mode, "t", columns, ("id",), update)


def test_an_insert_is_copied_where_that_stores_the_same() -> None:
    cells: list[list[Any]] = [[1, 1], ["a", "b"]]
    load = loader().load(shape("insert"), cells)
    assert load.copied
    assert load.rows == [(1, "a"), (1, "b")]
    assert not loader(plain=False).load(shape("insert"), cells).copied
    assert not loader().load(shape("insert"), [["1"], ["a"]]).copied
    assert not loader().load(shape("insert", ("id", "made")), [[1], [5]]).copied
    assert not loader().load(shape("insertIgnore"), cells).copied


def test_of_a_key_that_is_there_twice_the_last_row_is_sent() -> None:
    twice: list[list[Any]] = [[1, 2, 1], ["a", "b", "c"]]
    assert loader().load(shape("upsert"), twice).cells == [[2, 1], ["b", "c"]]
    assert loader().load(shape("updateElseInsert"), twice).cells == [[2, 1], ["b", "c"]]
    assert loader().load(shape("upsert", update=()), twice).cells == [[2, 1], ["b", "a"]]
    assert loader().load(shape("insertIgnore"), twice).cells == twice
    assert loader().load(shape("delete", ("id",)), [[1, 1]]).cells == [[1, 1]]


def test_keys_that_only_the_database_can_compare_go_row_by_row() -> None:
    sized = Shape("updateElseInsert", "t", ("size", "name"), ("size",), ("name",))
    load = loader().load(sized, [[1, 1], ["a", "b"]])
    assert load.alone
    assert load.rows == [(1, "a"), (1, "b")]
    assert loader().keys(["size"], [[1]]) is None
    assert loader().keys(["id", "name"], [[1], ["a"]]) == [[1], ["a"]]


def test_a_statement_is_made_once_for_each_form() -> None:
    one = loader()
    first = one.load(shape("upsert"), [[1], ["a"]])
    assert one.text(first) is one.text(one.load(shape("upsert"), [[2], ["b"]]))
    assert one.text(first) != one.text(one.load(shape("upsert"), [["2"], ["b"]]))


def test_a_value_that_does_not_fit_is_told_with_its_record() -> None:
    one = loader()
    with pytest.raises(BadRecord) as raised:
        one.load(shape("upsert"), [[1, 2], ["a", object()]])
    assert raised.value.message == (
        "A record of the batch for t has a value in name that text cannot hold: it is a object."
    )
    assert raised.value.index == 1
    load = one.load(shape("upsert"), [[1, 1, 1 << 70], ["a", "b", "c"]])
    assert one.misfit(load, 0, "too large").index == 2
    partial = one.load(shape("upsert", update=()), [[1, 1], ["\ud800", "b"]])
    assert one.misfit(partial, 1, "no text").index == 0
