"""Rows of the law suite: folding. The sum of 0, 1, 2, which comes before an error, never comes: there is no end."""

from __future__ import annotations

from tests.engine.laws.case import Case

CASES = [
    Case("fold", lambda f: f.fold(0, lambda a, x: a + x), [45], own=(45, 3), late=True),
    Case("reduce", lambda f: f.reduce(lambda a, x: a + x), [45], own=(45, 3), late=True),
]
