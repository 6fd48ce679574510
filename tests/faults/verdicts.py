"""What the fault tests found, one line a fault: printed at the end of the session, kept in build/bars/faults.json."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).parents[2] / "build" / "bars" / "faults.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One fault: what was counted, what the bar is, and whether it is met."""

    fault: str
    bar: str
    found: str
    ok: bool


class Verdicts:
    """Collects; a verdict that does not hold fails its test as well."""

    def __init__(self) -> None:
        self.all: list[Verdict] = []

    def add(self, fault: str, bar: str, found: str, *, ok: bool) -> None:
        self.all.append(Verdict(fault, bar, found, ok))
        assert ok, f"{fault}: {found}; the bar is: {bar}"

    def lines(self) -> list[str]:
        rows = [
            ("fault", "bar", "found", "ok"),
            *((v.fault, v.bar, v.found, "yes" if v.ok else "NO") for v in self.all),
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
        return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]

    def keep(self, whole: bool) -> None:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        found = {"date": time.strftime("%Y-%m-%d"), "whole": whole, "faults": [asdict(v) for v in self.all]}
        FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
