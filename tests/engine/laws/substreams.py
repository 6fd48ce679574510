"""Rows of the law suite: substreams."""

from __future__ import annotations

import asyncio

from teleporter_lab.engine.stages.sinks import ignore
from tests.engine.laws.case import INPUT, Case


async def later(x: int) -> int:
    for _ in range(x % 3):
        await asyncio.sleep(0)
    return x


def third(x: int) -> int:
    return x % 3


def marked(x: int) -> bool:
    return x in (0, 3, 4, 8)


CASES = [
    Case("group_by", lambda f: f.group_by(3, third).merge_substreams(), INPUT, ordered=False),
    Case("group_by, alone", lambda f: f.group_by(1, lambda _: "all").merge_substreams(), INPUT),
    Case("group_by, each", lambda f: f.group_by(10, lambda x: x).merge_substreams(), INPUT, ordered=False),
    Case(
        "group_by, in lists",
        lambda f: f.group_by(3, third).grouped(2).merge_substreams(),
        [[0, 3], [6, 9], [1, 4], [7], [2, 5], [8]],
        ordered=False,
    ),
    Case(
        "group_by, waiting",
        lambda f: f.group_by(3, third).map_async(2, later).merge_substreams(),
        INPUT,
        ordered=False,
        reads_exactly=False,  # each pool reads ahead, as much as was asked for
    ),
    Case(
        "group_by, nested",
        lambda f: (
            f.group_by(2, lambda x: x % 2).group_by(3, third).map(lambda x: -x).merge_substreams().merge_substreams()
        ),
        [-x for x in INPUT],
        ordered=False,
        reads_exactly=False,  # each group reads as much as it is asked for, before the others have given anything
    ),
    Case(
        "group_by, cut off",
        lambda f: f.group_by(3, third).take(2).merge_substreams(),
        list(range(6)),
        ordered=False,
    ),
    Case(
        "group_by, cut off and begun again",
        lambda f: f.group_by(3, third, allow_closed_recreation=True).take(2).merge_substreams(),
        INPUT,
        ordered=False,
        reads_exactly=False,
    ),
    Case(
        "group_by, with side sinks",
        lambda f: f.group_by(3, third).also_to(ignore()).merge_substreams(),
        INPUT,
        ordered=False,
    ),
    Case("split_when", lambda f: f.split_when(marked).concat_substreams(), INPUT),
    Case(
        "split_when, in lists",
        lambda f: f.split_when(marked).grouped(20).concat_substreams(),
        [[0, 1, 2], [3], [4, 5, 6, 7], [8, 9]],
    ),
    Case("split_when, cut off", lambda f: f.split_when(marked).take(1).concat_substreams(), [0, 3, 4, 8]),
    Case("split_when, merged", lambda f: f.split_when(marked).merge_substreams(), INPUT, ordered=False),
    Case("split_after", lambda f: f.split_after(marked).concat_substreams(), INPUT),
    Case(
        "split_after, in lists",
        lambda f: f.split_after(marked).grouped(20).concat_substreams(),
        [[0], [1, 2, 3], [4], [5, 6, 7, 8], [9]],
    ),
    Case("merge_substreams", lambda f: f.split_after(marked).merge_substreams(2), INPUT, ordered=False),
    Case("concat_substreams", lambda f: f.split_when(lambda _: True).concat_substreams(), INPUT),
]
