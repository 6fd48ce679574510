"""Records come back the same from JSON, or say that they cannot."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.broker.values import canonical
from teleporter_lab.errors import InvalidInput
from teleporter_lab.instance.records import DEPTH, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(seconds=-7))])
HASHABLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False),
    st.text(st.characters(), max_size=8),
    st.sampled_from(["$", "$bytes", "$map", "\ud800", "a\\u0041", "\x00"]),
    st.binary(max_size=8),
    st.datetimes(timezones=ZONES),
    st.dates(),
    st.times(timezones=ZONES),
    st.decimals(allow_nan=False),
    st.uuids(),
)
KEYS = st.one_of(HASHABLE, st.tuples(HASHABLE, HASHABLE))
RECORDS = st.recursive(
    st.one_of(HASHABLE, st.sets(KEYS, max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(st.text(max_size=4), inner, max_size=4),
    ),
    max_leaves=12,
)


def alike(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    match one:
        case dict():
            pairs = zip(one.items(), other.items(), strict=True)
            return len(one) == len(other) and all(alike(a, b) for a, b in pairs)
        case list() | tuple():
            return len(one) == len(other) and all(map(alike, one, other))
        case _:
            return one == other and repr(one) == repr(other) if isinstance(one, float) else one == other


@given(RECORDS)
def test_a_record_comes_back_the_same(record: Any) -> None:
    value, whole = encode(record)
    text = json.dumps(value, allow_nan=False)
    assert whole
    assert alike(decode(json.loads(text)), record)
    assert msgspec.json.decode(text) == json.loads(text)


def test_the_forms_are_those_that_others_read() -> None:
    record = {
        "b": b"\x00\x01", "t": (1, "x"), "s": {2}, "d": date(2024, 2, 29), "c": time(1, 2), "n": Decimal("1.20"),
        "w": datetime(2024, 1, 2, 3, 4, tzinfo=UTC), "u": uuid.UUID(int=1), "m": {1: "one"}, "f": math.inf,
    }  # fmt: skip
    assert encode(record) == (
        {
            "b": {"$bytes": "AAE="}, "t": {"$tuple": [1, "x"]}, "s": {"$set": [2]}, "d": {"$date": "2024-02-29"},
            "c": {"$time": "01:02:00"}, "n": {"$decimal": "1.20"}, "w": {"$datetime": "2024-01-02T03:04:00+00:00"},
            "u": {"$uuid": "00000000-0000-0000-0000-000000000001"}, "m": {"$map": [[1, "one"]]}, "f": {"$float": "inf"},
        },
        True,
    )  # fmt: skip
    found = decode({"$float": "nan"})
    assert math.isnan(found)


class Pair(NamedTuple):
    a: int


class Colour(IntEnum):
    RED = 1


class Rude:
    def __repr__(self) -> str:
        raise KeyError("no")


STRANGE = [object(), Pair(1), Colour.RED, Rude(), bytearray(b"x"), 1j, 1 << 20_000, frozenset()]


@pytest.mark.parametrize("record", STRANGE, ids=lambda record: type(record).__name__)
def test_what_cannot_be_kept_is_shown_and_says_so(record: Any) -> None:
    value, whole = encode({"a": [record]})
    assert not whole
    assert list(value["a"][0]) == ["$repr"]
    msgspec.json.decode(json.dumps(value, allow_nan=False))
    with pytest.raises(InvalidInput, match="cannot be kept"):
        decode(value)


def test_what_is_nested_without_end_is_cut() -> None:
    loop: list[Any] = []
    loop.append(loop)
    value, whole = encode(loop)
    assert not whole
    assert levels(value) == DEPTH - 1


@pytest.mark.parametrize("nest", [lambda x: [x], lambda x: (x,), lambda x: {"a": x}, lambda x: {1: x}])
def test_however_it_is_nested_the_json_is_as_deep_as_the_store_allows(nest: Callable[[Any], Any]) -> None:
    record: Any = b"x"
    for _ in range(70):
        record = nest(record)
    value, whole = encode(record)
    assert not whole
    assert DEPTH - 3 < levels(value) <= DEPTH + 1
    assert canonical({"record": value})


def levels(value: Any) -> int:
    """How deep JSON is nested."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"$bytes": "x"}, "base64"),
        ({"$bytes": 5}, "bytes"),
        ({"$date": "tomorrow"}, "isoformat"),
        ({"$date": 5}, "must be str"),
        ({"$decimal": "one"}, "decimal"),
        ({"$decimal": [1]}, "must be a text"),
        ({"$uuid": "5"}, "UUID"),
        ({"$uuid": 5}, "replace"),
        ({"$set": [[1]]}, "unhashable"),
        ({"$tuple": "ab"}, "must be a list"),
        ({"$map": [[1, 2, 3]]}, "list of pairs"),
        ({"$map": {"a": 1}}, "must be a list"),
        ({"$text": "\\ud8"}, "truncated"),
        ({"$text": "ü"}, "ascii"),
        ({"$float": "much"}, "could not convert"),
        ({"$new": 1}, "is one of"),
        ({"$date": "2024-01-01", "more": 1}, "stands alone"),
    ],
)
def test_what_a_person_has_edited_wrongly_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        decode([value])
