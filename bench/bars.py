"""How a bar is shown: what it is, where it lies, where we are, whether that is enough."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from teleporter_lab._version import __version__

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bar:
    """One row. `now` None: it could not be measured here, and `why` says what is missing."""

    what: str
    bar: float
    unit: str
    now: float | None
    better: Literal["higher", "lower"] = "higher"
    why: str = ""

    @property
    def ok(self) -> bool | None:
        if self.now is None:
            return None
        return self.now >= self.bar if self.better == "higher" else self.now <= self.bar

    def cells(self) -> tuple[str, str, str, str]:
        sign = "≥" if self.better == "higher" else "≤"
        now = f"not measured: {self.why}" if self.now is None else _number(self.now, self.unit)
        return self.what, f"{sign} {_number(self.bar, self.unit)}", now, {True: "yes", False: "NO", None: "-"}[self.ok]


def _number(value: float, unit: str) -> str:
    return f"{value:.4g}{unit if unit == 'x' or not unit else ' ' + unit}"


def machine() -> dict[str, Any]:
    """What the numbers hold for."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "teleporter-lab": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
    }


def show(name: str, bars: list[Bar], details: dict[str, Any], folder: Path) -> int:
    """Prints the table, writes it to `folder`/<name>.json; 1 when a row falls short, else 0."""
    rows = [("what", "bar", "now", "ok"), *(bar.cells() for bar in bars)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for i, row in enumerate(rows):
        sys.stdout.write("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |\n")
        if i == 0:
            sys.stdout.write("|" + "|".join("-" * (width + 2) for width in widths) + "|\n")
    folder.mkdir(parents=True, exist_ok=True)
    written = {**machine(), "bars": [{**asdict(bar), "ok": bar.ok} for bar in bars], "details": details}
    (folder / f"{name}.json").write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if any(bar.ok is False for bar in bars) else 0
