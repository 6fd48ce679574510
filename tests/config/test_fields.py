from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from teleporter_lab.config.fields import (
    AddressKey,
    Category,
    ExtraKeys,
    GroupKey,
    Id,
    InstanceKey,
    Port,
    SinkKey,
    Status,
    StreamPattern,
    TaskKey,
    Whole,
    at_least_one_or_for_ever,
)


def take(field: Any, value: object) -> object:
    return TypeAdapter(field).validate_python(value)


def refusal(field: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        take(field, value)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        (AddressKey, "/address/ns/a", "/variable/ns/a"),
        (GroupKey, "/group/ns/g", "/task/ns/g"),
        (TaskKey, "/task/ns/t", "/stream/ns/t/s"),
        (InstanceKey, "/instance/ns/i", "/broker/ns/i"),
        (SinkKey, "/sink/ns/t/s/out", "/source/ns/t/s/out"),
    ],
)
def test_a_key_of_another_table_is_refused(field: Any, right: str, wrong: str) -> None:
    assert take(field, right) == right
    assert refusal(field, wrong).startswith("Must be a key such as /")
    assert f"but '{wrong}' is in the table {wrong.split('/')[1]}." in refusal(field, wrong)
    assert refusal(field, "x") == "A key begins with '/', such as /stream/ns/task/name; 'x' does not."
    assert TypeAdapter(field).json_schema() == {"type": "string", "x-table": [right.split("/")[1]]}


def test_extra_keys_are_addresses_and_variables() -> None:
    keys = {"a": "/address/ns/a", "v": "/variable/ns/v"}
    assert take(ExtraKeys, keys) == keys
    assert "Must be a key such as /address/:ns/:address or /variable/:ns/:variable" in refusal(
        ExtraKeys, {"s": "/sink/a/b/c/d"}
    )


@pytest.mark.parametrize("right", ["/stream/ns/t/.*", "/stream/ns/t/s", "/stream/ns/", "/stream/my-ns/t/(a|b)"])
def test_patterns_of_streams(right: str) -> None:
    assert take(StreamPattern, right) == right


@pytest.mark.parametrize(
    "wrong", ["", ".*", "/", "/task/ns/.*", "/stre.*", "/stream.*", "/stream/ns/(", "/stream/ns/*"]
)
def test_what_is_no_pattern_of_streams(wrong: str) -> None:
    assert refusal(StreamPattern, wrong).endswith(".")


@pytest.mark.parametrize(("written", "number"), [(5, 5), ("5", 5), (" 5 ", 5), (5.0, 5), ("-1", -1)])
def test_whole_numbers(written: object, number: int) -> None:
    assert take(Whole, written) == number


@pytest.mark.parametrize("wrong", [True, False, None, "", "x", 5.5, "5.5", [], {}])
def test_what_is_no_whole_number(wrong: object) -> None:
    refusal(Whole, wrong)


@pytest.mark.parametrize("wrong", [0, 65536, "0", "99999", True, None])
def test_what_is_no_port(wrong: object) -> None:
    refusal(Port, wrong)


def test_a_port_may_be_text() -> None:
    assert take(Port, "9021") == 9021


@pytest.mark.parametrize("right", [5, "5", "", None])
def test_ids(right: object) -> None:
    assert take(Id, right) == right


@pytest.mark.parametrize("wrong", [True, 5.0, [], {}])
def test_what_is_no_id(wrong: object) -> None:
    refusal(Id, wrong)


@pytest.mark.parametrize("number", [-1, 1, 2, 10**30])
def test_a_count_with_an_end_or_none(number: int) -> None:
    assert at_least_one_or_for_ever(number) == number


@pytest.mark.parametrize("number", [0, -2, -(1 << 400)])
def test_a_count_that_is_none(number: int) -> None:
    with pytest.raises(Exception, match="Must be at least 1, or -1 for ever"):
        at_least_one_or_for_ever(number)


def test_states_of_a_stream() -> None:
    for name in ("NORMAL", "STOPPED", "RUNNING", "COMPLETE", "CRON_COMPLETE", "FAILURE", "REMOVE"):
        assert take(Status, name) == name
    refusal(Status, "normal")


def test_a_category_has_a_name() -> None:
    assert take(Category, "kafka") == "kafka"
    refusal(Category, "")
