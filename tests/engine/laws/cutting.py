"""Rows of the law suite: cutting."""

from __future__ import annotations

from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("take", lambda f: f.take(3), [0, 1, 2], early=True),
    Case("take, none", lambda f: f.take(0), [], early=True, unsettled=True),
    Case("take_while", lambda f: f.take_while(lambda x: x < 4), [0, 1, 2, 3]),
    Case("take_while, inclusive", lambda f: f.take_while(lambda x: x < 4, inclusive=True), [0, 1, 2, 3, 4]),
    Case("take_while, all", lambda f: f.take_while(lambda _: True), INPUT),
    Case("drop", lambda f: f.drop(4), [4, 5, 6, 7, 8, 9], unsettled=True),
    Case("drop, none", lambda f: f.drop(0), INPUT),
    Case("drop_while", lambda f: f.drop_while(lambda x: x < 8), [8, 9], unsettled=True),
    Case("limit", lambda f: f.limit(10), INPUT),
    Case("limit_weighted", lambda f: f.limit_weighted(45, lambda x: x), INPUT),
]
