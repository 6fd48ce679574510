"""The blocking door to everything async: one event loop in one thread. Owns that thread; refuses to know what it runs.

with LoopThread() as loop, BlockingClient(Client.find(), loop) as client:
    client.get("/namespace/shop")
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

if TYPE_CHECKING:
    from types import TracebackType

    from teleporter_lab.client import Client

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread, from the first use until `close`."""

    def __init__(self, name: str = "teleporter-loop") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, for `call_soon_threadsafe`."""
        return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, run in the thread. A KeyboardInterrupt here cancels it there.

        Raises RuntimeError from inside the thread itself, where waiting would never end.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("A blocking call inside the loop's own thread would wait for itself: await it.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The items, one blocking step each; closing the iterator closes `items`."""

        async def step() -> tuple[bool, Any]:
            try:
                return True, await anext(items)
            except StopAsyncIteration:
                return False, None

        try:
            while True:
                more, item = self.run(step())
                if not more:
                    return
                yield item
        finally:
            if inspect.isasyncgen(items):
                self.run(_close(items))

    def close(self) -> None:
        """Cancel what runs, stop the loop and end the thread; a second call does nothing."""
        if self._loop.is_closed():
            return
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BlockingClient:
    """A `Client` whose methods return results instead of awaitables. It has every method that `Client` has."""

    def __init__(self, client: Client, thread: LoopThread | None = None) -> None:
        self._client = client
        self._own = thread is None
        self._thread = thread or LoopThread()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        return self._blocking(attribute) if callable(attribute) else attribute

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._client)})

    def __repr__(self) -> str:
        return f"Blocking{self._client!r}"

    def close(self) -> None:
        """Give back the connections, and the thread where it is our own."""
        try:
            self._thread.run(self._client.close())
        finally:
            if self._own:
                self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if inspect.iscoroutine(result):
                return self._thread.run(cast("Coroutine[Any, Any, Any]", result))
            if isinstance(result, AsyncIterator):
                return self._thread.iterate(cast("AsyncIterator[Any]", result))
            return result

        return call


async def _close(items: Any) -> None:
    await items.aclose()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
