from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from teleporter_lab.config.duration import Duration, format_duration, parse_duration
from teleporter_lab.config.secret import Secret
from teleporter_lab.errors import InvalidDuration

DAY = 86_400.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1.minutes", 60),
        ("1.minute", 60),
        ("10.seconds", 10),
        ("500.millis", 0.5),
        ("2.hours", 7200),
        ("1.days", DAY),
        ("1.week", 7 * DAY),
        ("250.micros", 0.00025),
        ("5.nanos", 5e-9),
        ("7.millis", 0.007),
        ("1m", 60),
        ("10s", 10),
        ("2h", 7200),
        ("1d", DAY),
        ("100ms", 0.1),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("1.5h", 5400),
        ("1.5.minutes", 90),
        ("1 minute", 60),
        ("  10 seconds ", 10),
        ("0.seconds", 0),
        ("3µs", 3e-6),
        ("60", 60),
        ("0.5", 0.5),
        (".5", 0.5),
        ("+5", 5),
        ("1e-3s", 0.001),
        ("PT1M", 60),
        ("PT1M30.5S", 90.5),
        ("P1DT2H", DAY + 7200),
        ("P2W", 14 * DAY),
        ("PT0S", 0),
        ("Inf", math.inf),
        ("inf", math.inf),
        ("Infinity", math.inf),
        ("PlusInf", math.inf),
        ("36500.days", 36_500 * DAY),
    ],
)
def test_how_a_duration_is_written(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "abc",
        "1.",
        "1.moons",
        "1M",
        "1.Minutes",
        "m",
        "-1",
        "-1.minutes",
        "-Inf",
        "nan",
        "P",
        "PT",
        "P1DT",
        "P1M",
        "P1Y",
        "-PT1M",
        "pt1m",
        "1m30",
        "1..minutes",
        "1,5s",
        "0x10",
        "1_000s",
        "\u0661s",
        "1 m i n",
        "1.minutes.fromNow",
        "99999999.days",
        "1e300s",
        "1e999s",
        "9" * 60,
        "x" * 10_000_000,
        "1" * 10_000_000,
    ],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidDuration) as caught:
        parse_duration(text)
    assert "write" in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "wrong", [None, True, False, [], {}, b"1m", object(), -1, -0.5, math.nan, -math.inf, 10**400, 1e300]
)
def test_what_is_neither_text_nor_a_right_number(wrong: object) -> None:
    with pytest.raises(InvalidDuration):
        parse_duration(wrong)


@given(st.floats(min_value=0, max_value=36_500 * DAY) | st.just(math.inf) | st.integers(0, 10**9))
@settings(deadline=None)
def test_what_is_written_is_read_as_the_same(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
    assert parse_duration(seconds) == seconds


@given(st.integers(0, 500_000), st.sampled_from(["millis", "seconds", "minutes", "hours"]))
@settings(deadline=None)
def test_the_ancestors_form_is_written(count: int, unit: str) -> None:
    written = format_duration(parse_duration(f"{count}.{unit}"))
    assert written == "0.seconds" or written.split(".")[0].isdigit()


def _attempt(text: str) -> float | InvalidDuration:
    try:
        return parse_duration(text)
    except InvalidDuration as error:
        return error


@given(st.text(max_size=30) | st.text("0123456789.smhdPT Inf-", max_size=12))
@settings(deadline=None)
def test_any_text_is_a_duration_or_an_invalid_duration(text: str) -> None:
    found = _attempt(text)
    if isinstance(found, InvalidDuration):
        assert found.message.endswith(".")
    else:
        assert found >= 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (60, "1.minutes"),
        (90, "90.seconds"),
        (0.5, "500.millis"),
        (0.1, "100.millis"),
        (0.000001, "1.micros"),
        (1e-9, "1e-09s"),
        (DAY, "1.days"),
        (0, "0.seconds"),
        (-0.0, "0.seconds"),
        (math.inf, "Inf"),
    ],
)
def test_how_seconds_are_written(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [-1, math.nan, 1e12])
def test_seconds_that_cannot_be_written(seconds: float) -> None:
    with pytest.raises(InvalidDuration):
        format_duration(seconds)


def test_a_secret_is_not_shown() -> None:
    with pytest.raises(InvalidDuration) as caught:
        parse_duration(Secret("hunter2"))
    assert "hunter2" not in caught.value.message


def test_the_type_of_a_field() -> None:
    class Model(BaseModel):
        wait: Duration = 60.0

    assert Model(wait="10.seconds").wait == 10  # type: ignore[arg-type]
    assert Model.model_validate({"wait": 5}).model_dump() == {"wait": 5.0}
    assert Model().model_dump_json() == '{"wait":"1.minutes"}'
    assert Model(wait=math.inf).model_dump_json() == '{"wait":"Inf"}'
    with pytest.raises(ValidationError, match=r"A duration is needed, but this is the text '1\.moons'"):
        TypeAdapter(Duration).validate_python("1.moons")
