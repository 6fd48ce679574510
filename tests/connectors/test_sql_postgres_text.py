"""Values as literals of PostgreSQL come back as they were."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.sql_postgres_text import as_json, as_text

if TYPE_CHECKING:
    from tests.services.postgres import Postgres


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("text", "x", "x"),
        ("text", 5, "5"),
        ("text", 1.0, "1"),
        ("text", 2.5, "2.5"),
        ("text", True, "true"),
        ("text", Decimal("1E+3"), "1000"),
        ("text", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("text", [1, "a"], '[1,"a"]'),
        ("text", b"\xff", "\\xff"),
        ("text", date(2024, 1, 2), "2024-01-02"),
        ("timestamp with time zone", datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        ("time", time(1, 2), "01:02:00"),
        ("interval", timedelta(-1, 2, 3), "-1 days 2 seconds 3 microseconds"),
        ("inet", ip_address("::1"), "::1"),
        ("cidr", ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        ("integer[]", [1, None, 2], '{"1",NULL,"2"}'),
        ("integer[]", [[1], [2]], '{{"1"},{"2"}}'),
        ("jsonb[]", [{"a": "b"}], '{"{\\"a\\":\\"b\\"}"}'),
        ("text[]", ("a\\b", 'c"d', "{,}", ""), '{"a\\\\b","c\\"d","{,}",""}'),
        ("text[]", [], "{}"),
    ],
)
def test_each_has_a_form(kind: str, value: Any, text: str) -> None:
    assert as_text(kind, value) == text


@pytest.mark.parametrize(("kind", "value"), [("text", object()), ("date", 5), ("uuid", 1.5), ("text[]", [object()])])
def test_what_has_none_is_told(kind: str, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^it is a \w+$"):
        as_text(kind, value)


def test_text_is_taken_for_json() -> None:
    assert as_json('{"a": 1}') == '{"a": 1}'
    assert as_json({"a": date(2024, 1, 2)}) == '{"a":"2024-01-02"}'


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@pytest.mark.postgres
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.none() | TEXT, max_size=4),
    data=st.lists(st.binary(max_size=3), max_size=3),
    number=st.floats(allow_nan=False) | st.integers(-(1 << 70), 1 << 70) | st.decimals(allow_nan=False, places=3),
    span=st.timedeltas(timedelta(-9999), timedelta(9999)),
)
def test_the_database_reads_them_as_they_were(
    postgres: Postgres, texts: list[Any], data: list[bytes], number: Any, span: timedelta
) -> None:
    import psycopg

    asked = "SELECT %s::text[] AS t, %s::bytea[] AS b, %s::numeric AS n, %s::interval AS i"
    sent = (as_text("text[]", texts), as_text("bytea[]", data), as_text("numeric", number), as_text("interval", span))
    with psycopg.connect(postgres.url) as connection:
        found = connection.execute(asked, sent).fetchone()
    assert found is not None
    assert found[:2] == (texts, data)
    assert float(found[2]) == float(number)
    assert found[3] == span
