"""Rows of the law suite: buffering. What a batch holds is a matter of time, so what goes in is taken out again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.stages.sinks import ignore
from tests.engine.laws.case import INPUT, Case

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow

ahead = partial(Case, out=INPUT, reads_exactly=False)


def seed(x: int) -> list[int]:
    return [x]


def add(xs: list[int], x: int) -> list[int]:
    return [*xs, x]


def join(xs: list[int], ys: list[int]) -> list[int]:
    return [*xs, *ys]


def nothing(_: int) -> Any:
    return iter(())


def until_three(f: Flow[Any, Any], **timer: Any) -> Flow[Any, Any]:
    aggregate: Callable[[list[int], int], tuple[list[int], bool]] = lambda xs, x: ([*xs, x], len(xs) == 2)  # noqa: E731
    return f.aggregate_with_boundary(list, aggregate, tuple, **timer)


THREES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9,)]

CASES = [
    ahead("buffer", lambda f: f.buffer(4)),
    ahead("buffer, of one", lambda f: f.buffer(1)),
    *(
        ahead(f"buffer, {overflow}", lambda f, overflow=overflow: f.buffer(10, overflow))
        for overflow in ("drop_head", "drop_tail", "drop_buffer", "drop_new", "fail")
    ),
    ahead("async_boundary", lambda f: f.async_boundary()),
    ahead("async_boundary, small", lambda f: f.map(lambda x: x).async_boundary(2).map(lambda x: x).async_boundary(3)),
    ahead("async_boundary, below a fan-out", lambda f: f.also_to(ignore()).async_boundary(4), side=True),
    ahead("detach", lambda f: f.detach()),
    ahead("batch", lambda f: f.batch(3, seed, add).map_concat(list)),
    ahead("batch_weighted", lambda f: f.batch_weighted(9, lambda x: x, seed, add).map_concat(list)),
    ahead("conflate", lambda f: f.map(seed).conflate(join).map_concat(list)),
    ahead("conflate_with_seed", lambda f: f.conflate_with_seed(seed, add).map_concat(list)),
    ahead("expand", lambda f: f.expand(lambda x: iter([x]))),
    ahead("extrapolate", lambda f: f.extrapolate(nothing)),
    Case("extrapolate, initial", lambda f: f.extrapolate(nothing, -1), [-1, *INPUT], own=(-1,)),
    Case("aggregate_with_boundary", until_three, THREES),
    Case("aggregate_with_boundary, timer", lambda f: until_three(f, emit_on_timer=(lambda _: True, 60.0)), THREES),
]
