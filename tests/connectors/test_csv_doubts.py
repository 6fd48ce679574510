"""What pyarrow and Python read otherwise is found in the bytes, and little else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab.connectors.csv_doubts import Doubts

if TYPE_CHECKING:
    from teleporter_lab.connectors.csv_values import TypeName


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("int", b"0x1F,a"),
        ("int", b"a,b\n-0X1F,b"),
        ("int", b'1,"0x1"'),
        ("float", b"1,nan(1)"),
        ("float", b"1,-NaN(ind)"),
        ("text", b"\xef\xbb\xbfa,b"),
    ],
)
def test_what_is_read_otherwise_is_found(kind: TypeName, data: bytes) -> None:
    assert Doubts(["text", kind], b",", b'"').about(data)
    assert not Doubts(["bool", "text"], b",", b'"').about(data.removeprefix(b"\xef\xbb\xbf"))


@pytest.mark.parametrize("data", [b"1,10x20,x0x1", b"1,nan,f(x)", b"2020-01-01 10:00,\xef\xbb\xbf", b"(0.5),1"])
def test_what_is_read_alike_is_no_doubt(data: bytes) -> None:
    assert not Doubts(["int", "float", "date", "datetime", "bool", "decimal", "text"], b",", b'"').about(data)
