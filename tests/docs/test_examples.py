"""The examples of the guides do what they say: every Python block of a page is run, one after the other."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["dead_letters.md", "positions.md", "streams.md"]


def blocks(page: str) -> str:
    """The Python of a page, each line where it stands there, so that an error names the line of the page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    kept = [False] * len(text.splitlines())
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        first = text[: match.start(1)].count("\n")
        for line in range(first, first + match.group(1).count("\n")):
            kept[line] = True
    return "\n".join(line if keep else "" for line, keep in zip(text.splitlines(), kept, strict=True))


@pytest.mark.parametrize("page", PAGES)
async def test_the_examples_of_a_page_run(page: str) -> None:
    source = blocks(page)
    assert source.count("assert") > 3
    code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = {"__name__": page}
    outcome = eval(code, names)
    if inspect.isawaitable(outcome):
        await outcome
