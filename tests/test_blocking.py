from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from teleporter_lab.blocking import BlockingClient, LoopThread
from teleporter_lab.client import Client
from teleporter_lab.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    with LoopThread() as loop:
        yield loop


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/config/range":
        return httpx.Response(200, json=[{"key": "/namespace/a"}])
    return httpx.Response(404, json={"code": "not_found", "message": "Nothing there.", "problems": []})


def client() -> Client:
    return Client("http://broker", "token", transport=httpx.MockTransport(answer))


async def count(to: int, closed: list[bool]) -> AsyncIterator[int]:
    try:
        for number in range(to):
            yield number
    finally:
        closed.append(True)


async def thread_name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_work_runs_in_one_other_thread(loop: LoopThread) -> None:
    names = {loop.run(thread_name()) for _ in range(3)}
    assert names == {"teleporter-loop"}
    assert threading.current_thread().name != "teleporter-loop"


def test_errors_come_out(loop: LoopThread) -> None:
    async def fail() -> None:
        raise NotFound("Nothing there.")

    with pytest.raises(NotFound):
        loop.run(fail())


def test_an_async_iterator_becomes_a_plain_one(loop: LoopThread) -> None:
    closed: list[bool] = []
    assert list(loop.iterate(count(3, closed))) == [0, 1, 2]
    assert closed == [True]


def test_closing_the_plain_one_closes_the_other(loop: LoopThread) -> None:
    closed: list[bool] = []
    for number in (items := loop.iterate(count(10**9, closed))):
        if number == 5:
            break
    items.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_waiting_for_itself_is_refused(loop: LoopThread) -> None:
    async def inside() -> None:
        loop.run(thread_name())

    with pytest.raises(RuntimeError, match="await it"):
        loop.run(inside())


def test_an_interrupt_cancels_the_work(loop: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def for_ever() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    real = asyncio.run_coroutine_threadsafe

    def interrupted(work: object, at: object) -> object:
        future = real(work, at)  # type: ignore[arg-type]

        def result() -> None:
            began.wait()
            raise KeyboardInterrupt

        future.result = result  # type: ignore[method-assign,assignment]
        return future

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run(for_ever())
    monkeypatch.undo()
    assert cancelled.wait(10)


def test_closing_cancels_what_runs_and_ends_the_thread() -> None:
    loop = LoopThread("a-thread-of-the-tests")
    loop.loop.call_soon_threadsafe(lambda: asyncio.ensure_future(asyncio.Event().wait()))
    loop.close()
    loop.close()
    assert "a-thread-of-the-tests" not in [thread.name for thread in threading.enumerate()]


def test_a_blocking_client_has_the_clients_methods(loop: LoopThread) -> None:
    with BlockingClient(client(), loop) as blocking:
        assert blocking.range("/namespace/") == [{"key": "/namespace/a"}]
        with pytest.raises(NotFound):
            blocking.get("/namespace/b")
        assert blocking.url == "http://broker"
        assert {"save", "refresh", "events"} <= set(dir(blocking))
        assert blocking.save.__doc__ == Client.save.__doc__
        with pytest.raises(AttributeError):
            _ = blocking.nonsense
    assert loop.run(thread_name()), "a thread that was lent goes on"


def test_a_blocking_client_has_its_own_thread_when_none_is_lent() -> None:
    with BlockingClient(client()) as blocking:
        assert blocking.range("/namespace/")
    assert "teleporter-loop" not in [thread.name for thread in threading.enumerate()]
