"""Driver threads: one call at a time, a call outlives its waiter, nothing hangs on what a future cannot carry."""

from __future__ import annotations

import asyncio
import threading

import pytest

from teleporter_lab.engine.blocking import DriverThreads, OneCall


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def test_a_call_whose_waiter_was_cancelled_is_given_to_the_next_one() -> None:
    started, go_on = threading.Event(), threading.Event()

    def call(x: int) -> int:
        started.set()
        assert go_on.wait(10)
        return x

    async with DriverThreads() as threads:
        calls: OneCall[int] = OneCall(threads)
        first = asyncio.ensure_future(calls.call(call, 1))
        await wait_for(started)
        first.cancel()
        await asyncio.wait((first,))
        second = asyncio.ensure_future(calls.call(call, 2))
        go_on.set()
        assert await second == 1
        assert await calls.call(call, 3) == 3


async def test_settle_waits_for_the_running_call_and_drops_its_outcome() -> None:
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        started.set()
        assert go_on.wait(10)
        ended.set()
        raise OSError("nobody hears it")

    async with DriverThreads() as threads:
        calls: OneCall[None] = OneCall(threads)
        first = asyncio.ensure_future(calls.call(call))
        await wait_for(started)
        first.cancel()
        await asyncio.wait((first,))
        for _ in "ab":  # one that is cancelled has not settled, and the next one waits as well
            settling = asyncio.ensure_future(calls.settle())
            await asyncio.sleep(0)
            assert not settling.done()
            settling.cancel()
        settling = asyncio.ensure_future(calls.settle())
        await asyncio.sleep(0)
        assert not settling.done()
        go_on.set()
        await settling
        assert ended.is_set()


async def test_an_error_comes_out_as_it_is() -> None:
    def call() -> None:
        raise OSError("away")

    async with DriverThreads() as threads:
        with pytest.raises(OSError, match="away"):
            await threads.submit(call)


async def test_a_stop_iteration_does_not_leave_its_waiter_waiting() -> None:
    async with DriverThreads() as threads:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(asyncio.shield(threads.submit(next, iter(()))), 5)


async def test_leaving_waits_for_running_calls() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def call() -> None:
        assert go_on.wait(10)
        ended.set()

    async with DriverThreads() as threads:
        threads.submit(call)
        asyncio.get_running_loop().call_soon(go_on.set)
    assert ended.is_set()


async def test_no_thread_is_started_where_nobody_blocks() -> None:
    before = threading.active_count()
    async with DriverThreads():
        pass
    assert threading.active_count() == before
