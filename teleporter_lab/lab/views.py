"""How things look in a notebook: tables and cards, as HTML for a browser and as text for a terminal.

Owns the rich representations. Everything shown is escaped. Refuses to fetch anything: it is given plain values.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = {
    "RUNNING": "#1b7f3b",
    "COMPLETE": "#2457a6",
    "CRON_COMPLETE": "#2457a6",
    "FAILURE": "#b3261e",
    "STOPPED": "#6b6b6b",
    "live": "#1b7f3b",
    "dead": "#b3261e",
    "ONLINE": "#1b7f3b",
    "OFFLINE": "#6b6b6b",
}

LEFT = "text-align:left"

COUNTS = ("read", "written", "filtered", "skipped", "in_flight")


class Table:
    """Rows with a heading. `x = %teleport status` keeps the plain rows in `x.rows`."""

    def __init__(
        self, title: str, columns: Sequence[str], rows: list[dict[str, Any]], empty: str = "Nothing yet."
    ) -> None:
        self.title = title
        self.columns = list(columns)
        self.rows = rows
        self._empty = empty

    def __repr__(self) -> str:
        if not self.rows:
            return f"{self.title}: {self._empty}"
        cells = [self.columns, *([_line(row.get(c)) for c in self.columns] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="text-align:left">{escape(c)}</th>' for c in self.columns)
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{_cell(c, row.get(c))}</td>' for c in self.columns) + "</tr>"
            for row in self.rows
        )
        if not self.rows:
            return f"<b>{escape(self.title)}</b>: {escape(self._empty)}"
        return f"<b>{escape(self.title)}</b><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def stream_row(view: dict[str, Any]) -> dict[str, Any]:
    """The columns of the stream table, from a stream's view."""
    counts: dict[str, int] = view.get("counts") or {}
    return {
        "stream": view["key"],
        "status": view["status"],
        "instance": view["instance"] or "nobody",
        **{name: counts.get(name, 0) for name in COUNTS},
        "rate/s": round(view.get("rate") or 0),
        "restarts": view.get("restarts", 0),
        "error": (view.get("error") or "").split("\n")[0],
    }


def stream_table(views: list[dict[str, Any]]) -> Table:
    columns = ("stream", "status", "instance", *COUNTS, "rate/s", "restarts", "error")
    return Table("Streams", columns, [stream_row(view) for view in views], "none is configured; deploy one.")


def card(title: str, facts: dict[str, Any]) -> str:
    """A small framed block of facts, as HTML."""
    rows = "".join(
        f'<tr><td style="{LEFT};opacity:.7">{escape(k)}</td><td style="{LEFT}">{_cell(k, v)}</td></tr>'
        for k, v in facts.items()
    )
    frame = "border-left:3px solid #2457a6;padding:2px 10px;margin:4px 0"
    return f'<div style="{frame}"><b>{escape(title)}</b><table><tbody>{rows}</tbody></table></div>'


def _cell(column: str, value: Any) -> str:
    text = escape(_text(value))
    if column == "status" and (colour := COLOURS.get(str(value))):
        return f'<span style="color:{colour};font-weight:600">● {text}</span>'
    return text


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def _line(value: Any) -> str:
    return " ".join(_text(value).splitlines())


class Note:
    """One sentence."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Document:
    """One config document, as `{key, value, etag}`."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.key: str = entry["key"]
        self.value: Any = entry["value"]
        self.etag: str = entry["etag"]

    def __repr__(self) -> str:
        return f"{self.key}\n{json.dumps(self.value, indent=2, ensure_ascii=False)}"

    def _repr_html_(self) -> str:
        text = escape(json.dumps(self.value, indent=2, ensure_ascii=False))
        return f"<b>{escape(self.key)}</b> <small>{escape(self.etag)}</small><pre>{text}</pre>"
