"""The engine in the peers' benchmark: a plug-in that defines contenders for A, B, C and idle streams.

Run by a script that defines `contender`, `idle` and the work (`inc`, `even`, `triple`, `touch`, `records`, `transform`,
`SumSink`, `BatchSink`): `python peers_bench.py -p bench/engine.py`, or `make bench-engine`.
"""
# ruff: noqa: F821
# pyright: basic, reportUndefinedVariable=false

import asyncio

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore
from teleporter_lab.engine.stages.sources import iterate, read_from


def summed(sink):
    from teleporter_lab.engine.stage import PLENTY, Terminal

    class T(Terminal):
        def __init__(self, up):
            self.up = up

        async def run(self):
            while (c := await self.up.pull(PLENTY)) is not None:
                sink.many(c.data)
                c.written()
            await self.up.close()

    return Sink("sum", lambda m, up: T(up))


class Numbers:
    def __init__(self, n):
        self.it = iter(range(n))
        self.position = 0

    async def open(self, position): ...
    async def read(self, n):
        from itertools import islice

        data = list(islice(self.it, n))
        if not data:
            return None
        self.position += len(data)
        return data

    async def close(self): ...


@contender("A", "teleporter")
def _(n):
    sink = SumSink()
    asyncio.run(iterate(range(n)).map(inc).filter(even).map(triple).to(summed(sink)).run())
    return sink.result()


@contender("A", "teleporter, acks")
def _(n):
    sink = SumSink()
    w = AckWindow(65536)
    asyncio.run(
        read_from("numbers", lambda: Numbers(n)).source_ack(w).map(inc).filter(even).map(triple).to(summed(sink)).run()
    )
    return sink.result()


@contender("B", "teleporter ordered")
def _(n):
    sink = SumSink()
    asyncio.run(iterate(range(n)).map_async(16, touch).to(summed(sink)).run())
    return sink.result()


@contender("B", "teleporter unordered")
def _(n):
    sink = SumSink()
    asyncio.run(iterate(range(n)).map_async_unordered(16, touch).to(summed(sink)).run())
    return sink.result()


@contender("C", "teleporter")
def _(n):
    sink = BatchSink()
    asyncio.run(iterate(records(n)).map(transform).grouped(500).to(foreach(sink)).run())
    return sink.result()


@idle("teleporter: source, 3 maps, sink")
async def _(k):
    rt = Runtime()

    async def never():
        await asyncio.Event().wait()
        yield 1

    from teleporter_lab.engine.stages.sources import async_iterate

    class Never:
        def __aiter__(self):
            return self

        async def __anext__(self):
            await asyncio.get_running_loop().create_future()

    g = async_iterate(Never()).map(abs).map(abs).map(abs).to(ignore())
    return [asyncio.ensure_future(g.run(rt)) for _ in range(k)]
