"""Sizes mean what people write, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from teleporter_lab.config.size import Size, parse_size


class Form(BaseModel):
    size: Size | None = None


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("100.mb", 100_000_000),
        ("100 MB", 100_000_000),
        ("64MiB", 64 << 20),
        ("1.5.gb", 1_500_000_000),
        ("1.5 kib", 1536),
        ("3.bytes", 3),
        ("1.byte", 1),
        (" 2.tib ", 2 << 40),
    ],
)
def test_a_size_as_people_write_it(written: object, size: int) -> None:
    assert parse_size(written) == size
    assert Form.model_validate({"size": written}).size == size


@pytest.mark.parametrize("written", [0, -1, True, None, 1.5, "", "100m", "100.mbit", "-1.mb", "0.1", "mb", "9" * 80])
def test_what_is_no_size_is_refused_in_a_sentence(written: object) -> None:
    with pytest.raises(ValueError, match=r"^A size is .*\.$"):
        parse_size(written)


def test_a_form_tells_the_sentence() -> None:
    with pytest.raises(ValidationError, match=r"A size is needed, but this is the text '100m'; write 100\.mb"):
        Form(size="100m")  # type: ignore[arg-type]


@given(st.integers(1, 10**15 - 1))
def test_bytes_are_themselves(size: int) -> None:
    assert parse_size(size) == parse_size(str(size)) == parse_size(f"{size}.bytes") == size
