"""The work that engines are compared on, the plain loops they are compared with, and other libraries.

A: whole numbers through three trivial functions. B: an asynchronous function, 16 at a time. C: records of ten fields,
renamed and computed, in batches of 500. Every contender gives a result that is checked.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PARALLELISM = 16
BATCH = 500
SIZES = {"A": 1_000_000, "B": 100_000, "C": 200_000}


CONTENDERS: dict[tuple[str, str], Callable[[int], Any]] = {}
SHARE: dict[tuple[str, str], float] = {}
"""The part of a variant's elements that a slow contender is given."""
IDLE: dict[str, Callable[[int], Any]] = {}


def contender(variant: str, name: str, needs: Sequence[str] = (), scale: float = 1.0, note: str = "") -> Any:
    """Registers `f(n) -> result`, where every module it needs is installed."""

    def register(function: Callable[[int], Any]) -> Callable[[int], Any]:
        if all(find_spec(module) for module in needs):
            CONTENDERS[variant, name] = function
            SHARE[variant, name] = scale
        return function

    return register


def idle(name: str, needs: Sequence[str] = ()) -> Any:
    """Registers `async f(k) -> tasks`, which starts k streams that wait."""

    def register(function: Callable[[int], Any]) -> Callable[[int], Any]:
        IDLE[name] = function
        return function

    return register


def expected(variant: str, n: int) -> tuple[int, int]:
    """What every contender of the variant gives for n elements."""
    if variant == "A":
        kept = [(x + 1) * 3 for x in range(n) if (x + 1) % 2 == 0]
        return len(kept), sum(kept)
    if variant == "B":
        return n, n * (n - 1) // 2
    if variant == "D":
        return n, 3 * (n * (n - 1) // 2 + n)
    return -(-n // BATCH), n


def inc(x: int) -> int:
    return x + 1


def even(x: int) -> bool:
    return x % 2 == 0


def triple(x: int) -> int:
    return x * 3


async def touch(x: int) -> int:
    await asyncio.sleep(0)
    return x


RECORDS: list[dict[str, Any]] = [
    {
        "id": i, "name": f"user {i}", "email": f"u{i}@example.org", "age": 20 + i % 50, "country": "NO", "city": "Oslo",
        "amount": float(i % 97), "qty": i % 7, "ts": 1_700_000_000 + i, "status": "ok",
    }
    for i in range(10_000)
]  # fmt: skip


def records(n: int) -> Iterator[dict[str, Any]]:
    return islice(cycle(RECORDS), n)


def transform(r: dict[str, Any]) -> dict[str, Any]:
    return {
        "user_id": r["id"], "full_name": r["name"], "mail": r["email"], "age": r["age"],
        "place": r["city"] + ", " + r["country"], "total": r["amount"] * r["qty"], "unit": r["amount"],
        "qty": r["qty"], "at_ms": r["ts"] * 1000, "status": r["status"],
    }  # fmt: skip


class SumSink:
    def __init__(self) -> None:
        self.count = 0
        self.total = 0

    def __call__(self, x: int) -> None:
        self.count += 1
        self.total += x

    def many(self, xs: list[int]) -> None:
        self.count += len(xs)
        self.total += sum(xs)

    def result(self) -> tuple[int, int]:
        return self.count, self.total


class BatchSink:
    def __init__(self) -> None:
        self.batches = 0
        self.rows = 0

    def __call__(self, batch: list[Any]) -> None:
        self.batches += 1
        self.rows += len(batch)

    def result(self) -> tuple[int, int]:
        return self.batches, self.rows


@contender("A", "loop")
def _(n: int) -> Any:
    """A for-loop that calls the same three functions."""
    count = total = 0
    for x in range(n):
        y = inc(x)
        if even(y):
            count += 1
            total += triple(y)
    return count, total


@contender("B", "loop")
def _(n: int) -> Any:
    """One coroutine that awaits in turn."""

    async def run() -> tuple[int, int]:
        count = total = 0
        for x in range(n):
            count += 1
            total += await touch(x)
        return count, total

    return asyncio.run(run())


@contender("C", "loop")
def _(n: int) -> Any:
    """A for-loop with the body written inline."""
    sink = BatchSink()
    batch: list[Any] = []
    for r in records(n):
        batch.append({
            "user_id": r["id"], "full_name": r["name"], "mail": r["email"], "age": r["age"],
            "place": r["city"] + ", " + r["country"], "total": r["amount"] * r["qty"], "unit": r["amount"],
            "qty": r["qty"], "at_ms": r["ts"] * 1000, "status": r["status"],
        })  # fmt: skip
        if len(batch) == BATCH:
            sink(batch)
            batch = []
    if batch:
        sink(batch)
    return sink.result()


@contender("A", "bytewax", needs=["bytewax"], scale=0.3)
def _(n: int) -> Any:
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.outputs import DynamicSink, StatelessSinkPartition
    from bytewax.testing import TestingSource, run_main

    sums = SumSink()

    class Part(StatelessSinkPartition):
        def write_batch(self, items: list[Any]) -> None:
            sums.many(items)

    class Sums(DynamicSink):
        def build(self, step_id: str, worker_index: int, worker_count: int) -> Part:
            return Part()

    flow = Dataflow("a")
    stream = op.input("in", flow, TestingSource(range(n), batch_size=1024))
    stream = op.map("triple", op.filter("even", op.map("inc", stream, inc), even), triple)
    op.output("out", stream, Sums())
    run_main(flow)
    return sums.result()


@contender("A", "reactivex", needs=["reactivex"], scale=0.3)
def _(n: int) -> Any:
    import reactivex
    from reactivex import operators as op

    sums = SumSink()
    reactivex.from_iterable(range(n)).pipe(op.map(inc), op.filter(even), op.map(triple)).subscribe(sums)
    return sums.result()
