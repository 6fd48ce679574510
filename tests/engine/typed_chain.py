# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""What a type checker has to know about a chain of operators; `test_typing` has it checked. Never run."""

from __future__ import annotations

from typing import Any, assert_type

from teleporter_lab.engine.graph import Flow, Nothing, RunnableGraph, Sink, Source, flow
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.stages.folding_sinks import fold
from teleporter_lab.engine.stages.sinks import foreach, head, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate, tick
from teleporter_lab.engine.stages.unfolding import unfold
from teleporter_lab.testing.clock import FakeClock


class Order:
    def __init__(self, number: int, items: list[str]) -> None:
        self.number = number
        self.items = items


async def fetch(number: int) -> Order:
    return Order(number, [])


def shout(texts: list[str]) -> list[bytes]:
    return [text.upper().encode() for text in texts]


orders = iterate(range(10)).filter(lambda n: n > 2).map_async(4, fetch)
assert_type(orders, Flow[Nothing, Order])

chain = (
    orders.take_while(lambda order: order.number < 9)
    .map_concat(lambda order: order.items)
    .filter_not(lambda item: item.isspace())
    .drop(1)
    .map_blocking(shout)
    .scan(0, lambda size, item: size + len(item))
    .grouped(10)
    .map(tuple)
    .zip(tick(1.0, "beat"))
    .map(lambda pair: (len(pair[0]), pair[1].upper()))
    .merge(iterate([(1, "A")]))
    .concat(iterate([(2, "B")]))
    .also_to(ignore())
    .recover(lambda error: (0, str(error)))
    .kill_switch(KillSwitch())
    .throttle(10, 1.0)
    .grouped_within(5, 1.0)
)
assert_type(chain, Flow[Nothing, list[tuple[int, str]]])
assert_type(chain.to(to_list()), RunnableGraph[list[list[tuple[int, str]]]])
assert_type(chain.to(head()), RunnableGraph[list[tuple[int, str]] | None])
assert_type(chain.to(foreach(print)), RunnableGraph[None])
assert_type(chain.to(fold(0, lambda total, pairs: total + len(pairs))), RunnableGraph[int])
assert_type(chain.broadcast(ignore(), foreach(print)), RunnableGraph[list[Any]])

lengths = flow(str).map(len)
assert_type(lengths, Flow[str, int])
assert_type(iterate("abc").via(lengths), Flow[Nothing, int])
assert_type(lengths.to(to_list()), Sink[str, list[int]])
assert_type(unfold(0, lambda n: (n + 1, str(n))), Source[str])


async def numbers() -> int:
    total: int = await iterate([1, 2]).to(fold(0, lambda a, b: a + b)).run()
    return await FakeClock().run(iterate([total]).to(fold(0, lambda a, b: a + b)).run())


# What is wrong is refused.
iterate([1]).map(len)  # pyright: ignore[reportArgumentType]
iterate(["a"]).via(flow(int).map(fetch))  # pyright: ignore[reportArgumentType]
iterate([1]).map_async(2, len)  # pyright: ignore[reportArgumentType]
lengths.run()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
iterate(["a"]).to(fold(0, lambda total, text: total + text))  # pyright: ignore[reportUnknownLambdaType, reportOperatorIssue]
