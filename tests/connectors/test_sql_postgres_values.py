"""Values get the form that a column of PostgreSQL takes, or are told."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from teleporter_lab.connectors.sql_postgres_statement import Way
from teleporter_lab.connectors.sql_postgres_values import TIMESTAMP, TIMESTAMPTZ, Misfit, carried, row_of, told_apart

NAIVE, AWARE = datetime(2024, 2, 29, 1, 2, 3), datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", [1, None]),
        ("smallint", [None, None]),
        ("double precision", [1, 2.5]),
        ("numeric", [1, Decimal("2.50")]),
        ("text", ["a", None]),
        ("bpchar", ["a"]),
        ("boolean", [True]),
        ("bytea", [b"x", bytearray(b"y")]),
        ("uuid", [UUID(int=1)]),
        ("jsonb", ['{"a":1}']),
        ("date", [date(2024, 1, 1)]),
        ("interval", [timedelta(1)]),
        ("time without time zone", [time(1)]),
        (TIMESTAMP, [NAIVE, None]),
        (TIMESTAMPTZ, [AWARE, datetime.max.replace(tzinfo=UTC)]),
    ],
)
def test_what_fits_goes_as_it_is(kind: str, values: list[Any]) -> None:
    sent = carried(kind, values)
    assert sent.way == Way(kind, kind)
    assert sent.values is values


@pytest.mark.parametrize(
    ("kind", "values", "sent"),
    [
        ("integer", [2.5, 3.5, -2.5, None], [2, 4, -2, None]),
        ("bigint", [Decimal("2.5"), True, np.int64(7)], [3, 1, 7]),
        ("numeric", [0.1, 2, np.float64(1.5)], [Decimal("0.1"), Decimal(2), Decimal("1.5")]),
        ("real", [Decimal("1.5"), np.float32(2)], [1.5, 2.0]),
        ("jsonb", [{"a": [1]}, ["b"], 5, True, "{}", None], ['{"a":[1]}', '["b"]', "5", "true", "{}", None]),
    ],
)
def test_numbers_and_json_are_converted_as_an_insert_would(kind: str, values: list[Any], sent: list[Any]) -> None:
    found = carried(kind, values)
    assert (found.way, found.values) == (Way(kind, kind), sent)


@pytest.mark.parametrize(
    ("kind", "values", "sent"),
    [
        ("integer", ["7", 8, 2.5], ["7", "8", "2.5"]),
        ("text", [5, "x", None, {"a": 1}], ["5", "x", None, '{"a":1}']),
        ("text[]", [["a"], None], ['{"a"}', None]),
        ("mood", ["sad"], ["sad"]),
        ("inet", ["::1"], ["::1"]),
        ("date", ["2024-01-01", date(2024, 1, 2), NAIVE], ["2024-01-01", "2024-01-02", "2024-02-29T01:02:03"]),
        ("time with time zone", [time(1, tzinfo=UTC)], ["01:00:00+00:00"]),
        ("boolean", [1, "no"], ["1", "no"]),
    ],
)
def test_the_database_reads_the_rest_as_text(kind: str, values: list[Any], sent: list[Any]) -> None:
    found = carried(kind, values)
    assert (found.way, found.values) == (Way(kind, "text"), sent)


def test_moments_keep_their_zone_or_get_that_of_the_session() -> None:
    assert carried(TIMESTAMPTZ, [NAIVE]).way == Way(TIMESTAMPTZ, TIMESTAMP)
    assert carried(TIMESTAMP, [AWARE, None]).way == Way(TIMESTAMP, TIMESTAMPTZ)
    assert carried(TIMESTAMPTZ, [NAIVE, AWARE]).way == Way(TIMESTAMPTZ, "text")
    assert carried(TIMESTAMP, [NAIVE, AWARE]).way == Way(TIMESTAMP, "text", TIMESTAMPTZ)
    assert carried(TIMESTAMP, [NAIVE, "now"]).way == Way(TIMESTAMP, "text")


@pytest.mark.parametrize("end", [date.min, date.max])
def test_the_ends_of_the_calendar_do_not_become_infinite(end: date) -> None:
    assert carried("date", [end]).values == [end.isoformat()]
    moment = datetime.combine(end, time.max if end == date.max else time.min)
    assert carried(TIMESTAMP, [moment]).values == [moment.isoformat()]


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("integer", float("nan"), "cannot convert float NaN to integer"),
        ("integer", b"x", "it is a bytes"),
        ("numeric", True, "it is a bool"),
        ("real", True, "it is a bool"),
        ("real", b"1", "it is a bytes"),
        ("numeric", b"1", "it is a bytes"),
        ("text", object(), "it is a object"),
        ("jsonb", object(), "Encoding objects of type object is unsupported"),
        ("date", 20240101, "it is a int"),
        (TIMESTAMP, 5, "it is a int"),
        ("interval", 5.0, "it is a float"),
        ("uuid", 5, "it is a int"),
        ("bytea", 5, "it is a int"),
    ],
)
def test_what_no_column_of_the_type_takes_is_told_with_its_row(kind: str, value: Any, why: str) -> None:
    with pytest.raises(Misfit, match=f"^{why}$") as raised:
        carried(kind, [None, value, value])
    assert raised.value.row == 1


def test_the_row_of_a_value_that_is_out_of_range_is_found() -> None:
    assert row_of("smallint", [None, 32767, -32768, 32768]) == 3
    assert row_of("bigint", [-(1 << 63), -(1 << 63) - 1]) == 1
    assert row_of("text", ["ok", "\ud800"]) == 1
    assert row_of("double precision", [1, 10**400]) == 1
    assert row_of("integer", [1, None]) is None


def test_keys_are_compared_here_only_where_the_database_sees_the_same() -> None:
    assert told_apart("bigint", -1, False, [1, 2]) == [1, 2]
    assert told_apart("bigint", -1, False, [1.0, 2]) == [1, 2]
    assert told_apart("bigint", -1, False, ["1", 2]) is None
    assert told_apart("bigint", -1, False, [object()]) is None
    assert told_apart("text", -1, True, ["a"]) is None
    assert told_apart("character varying", 4 + 3, False, ["abc  ", "a", None]) == ["abc", "a", None]
    assert told_apart("bpchar", -1, False, ["a"]) is None
    assert told_apart("numeric", -1, False, [1]) is None
    assert told_apart(TIMESTAMP, -1, False, [NAIVE]) == [NAIVE]
    assert told_apart(TIMESTAMP, 0, False, [NAIVE]) is None
