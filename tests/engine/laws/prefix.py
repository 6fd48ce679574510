"""Rows of the law suite: prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sources import iterate, single
from tests.engine.laws.case import INPUT, Case

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Source


def whole(pair: tuple[list[int], Source[int]]) -> Source[int]:
    first, tail = pair
    return iterate(first).concat(tail)


def apart(pair: tuple[list[int], Source[int]]) -> Source[Any]:
    first, tail = pair
    return single(first).concat(tail)


CASES = [
    Case("prefix_and_tail", lambda f: f.prefix_and_tail(4).flat_map_concat(apart), [INPUT[:4], *INPUT[4:]]),
    Case("prefix_and_tail, none", lambda f: f.prefix_and_tail(0).flat_map_concat(whole), INPUT),
    Case(
        "prefix_and_tail, all",
        lambda f: f.prefix_and_tail(20).flat_map_concat(whole),
        INPUT,
        late=True,
        reads_exactly=False,
    ),
    Case(
        "prefix_and_tail, merged",
        lambda f: f.prefix_and_tail(1).flat_map_merge(2, whole),
        INPUT,
        reads_exactly=False,  # the prefix comes first, whatever is asked for
    ),
    Case(
        "prefix_and_tail, unused",
        lambda f: f.prefix_and_tail(4).map(lambda p: p[0]),
        [INPUT[:4]],
        counts=False,
        early=True,
    ),
    Case(
        "flat_map_prefix",
        lambda f: f.flat_map_prefix(2, lambda p: flow().map(lambda x: x + p[1])),
        list(range(3, 11)),
        unsettled=True,
    ),
    Case("flat_map_prefix, none", lambda f: f.flat_map_prefix(0, lambda _: flow()), INPUT),
    Case("flat_map_prefix, too few", lambda f: f.flat_map_prefix(20, lambda _: flow()), [], unsettled=True),
]
