"""What commands print: rows as a table or JSON, documents as JSON. Owns the look; refuses to decide what is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from teleporter_lab.errors import NotRunning

WIDE = 10_000
"""Columns where nobody looks: what is piped is not cut."""


def show(document: Any) -> None:
    """Print a JSON document, indented."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print `columns` of `rows` as a table, or whole rows as JSON."""
    found = list(rows)
    if as_json:
        show(found)
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    _console().print(table)


def show_fields(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one row, a field a line, or as JSON."""
    if as_json:
        show(row)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in row.items():
        table.add_row(name.replace("_", " "), _cell(value))
    _console().print(table)


def show_log(kind: Any, name: str, lines: int, *, as_json: bool) -> None:
    """Print the end of a daemon's log. Raises NotRunning where it has none."""
    from teleporter_lab.daemon.logs import log_path, tail

    path = log_path(kind, name)
    if not path.exists():
        raise NotRunning(f"There is no log of a {kind} named {name}.")
    found = tail(path, lines)
    if as_json:
        show(found)
    else:
        for line in found:
            typer.echo(line)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False, emoji=False)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.1f}"
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)
