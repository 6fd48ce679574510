"""Writes docs/operators: a page for each operator and their table, from the docstrings. Run by `make docs`."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from teleporter_lab.engine.catalog import Operator, catalog

HERE = Path(__file__).parent / "operators"
TITLES = {"source": "Sources", "operator": "Operators", "sink": "Sinks"}


def file_name(operator: Operator, every: list[Operator]) -> str:
    """Its name, and its kind where another kind has one of the same name."""
    twins = [other for other in every if other.name == operator.name]
    return operator.name if len(twins) == 1 or operator.kind == "operator" else f"{operator.name}-{operator.kind}"


def page(operator: Operator) -> str:
    lines = [f"# {operator.name}", "", operator.summary, "", "```python", operator.signature, "```", ""]
    if operator.text:
        lines += [operator.text, ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| **{label}** | {_cell(text)} |" for label, text in operator.clauses.items()]
    lines += [f"| **Like** | {_cell(operator.like)} |"] if operator.like else []
    return "\n".join([*lines, "", f"Lives in `teleporter_lab/engine/stages/{operator.family}.py`.", ""])


def table(every: list[Operator]) -> str:
    lines = [
        "# Operators",
        "",
        f"All {len(every)} of them, from the docstrings of the code (`make docs`). Tokens acknowledge records; a",
        "supervised function is one whose failures the error rules decide about, element by element. Every flow also",
        "has `via`, `to` and `with_attributes(name, chunk, supervisor)`; a graph has `run` and `start`.",
        "",
    ]
    for kind, of_kind in groupby(every, key=lambda operator: operator.kind):
        lines += [f"## {TITLES[kind]}", ""]
        for family, members in groupby(of_kind, key=lambda operator: operator.family):
            first = "Takes when" if kind == "sink" else "Emits when"
            lines += [f"### {family}", "", f"| name | what | {first.lower()} | supervised |", "|---|---|---|---|"]
            lines += [
                f"| [{one.name}]({file_name(one, every)}.md) | {_cell(one.summary)} | {_cell(one.clauses[first])} "
                f"| {'yes' if one.clauses['Supervised'].startswith('yes') else ''} |"
                for one in members
            ]
            lines.append("")
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """The text of every file of the folder, by its name."""
    every = catalog()
    return {"index.md": table(every), **{f"{file_name(one, every)}.md": page(one) for one in every}}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    lacking = {one.name: one.missing for one in catalog() if one.missing}
    if lacking:
        sys.exit(f"These docstrings lack clauses: {lacking}")
    for old in HERE.glob("*.md"):
        old.unlink()
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")
