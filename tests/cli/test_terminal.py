from __future__ import annotations

import json

import pytest

from teleporter_lab.cli.terminal import show_fields, show_rows


def test_what_is_piped_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"key": "x" * 500, "n": 1}], ("key", "n"), as_json=False)
    assert "x" * 500 in capsys.readouterr().out


def test_rows_as_json_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(iter([{"key": "é", "hidden": 1}]), ("key",), as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"key": "é", "hidden": 1}]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (1234.56, "1,234.6"), (["a"], '["a"]'), ({"a": 1}, '{"a": 1}'), ("[bold]x", "[bold]x")],
)
def test_cells_are_plain(capsys: pytest.CaptureFixture[str], value: object, text: str) -> None:
    show_fields({"some_field": value}, as_json=False)
    assert capsys.readouterr().out.rstrip() == f"some field  {text}".rstrip()
