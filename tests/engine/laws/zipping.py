"""Rows of the law suite: zipping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.testing.probes import SourceProbe
from tests.engine.laws.case import INPUT, Case

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Source

TEN: Any = iterate("abcdefghij")


def one() -> Source[Any]:
    """A source of one element that is there at once, and never ends."""
    return SourceProbe([["x"]], wait=True).as_source()


CASES = [
    Case("zip", lambda f: f.zip(TEN), list(zip(INPUT, "abcdefghij", strict=True))),
    Case("zip, shorter", lambda f: f.zip(iterate("ab")), [(0, "a"), (1, "b")], counts=False, early=True),
    Case("zip_with", lambda f: f.zip_with(TEN, lambda x, y: y * x), [y * x for x, y in enumerate("abcdefghij")]),
    Case(
        "zip_all",
        lambda f: f.zip_all(TEN, -1, "-"),
        list(zip(INPUT, "abcdefghij", strict=True)),
        own=tuple((-1, y) for y in "abcdefghij"),
    ),
    Case(
        "zip_all, longer",
        lambda f: f.zip_all(iterate("ab"), -1, "-"),
        [(0, "a"), (1, "b"), *((x, "-") for x in INPUT[2:])],
    ),
    Case("zip_latest", lambda f: one().zip_latest(f), [("x", x) for x in INPUT]),
    Case("zip_latest_with", lambda f: one().zip_latest_with(f, lambda x, y: f"{x}{y}"), [f"x{x}" for x in INPUT]),
]
