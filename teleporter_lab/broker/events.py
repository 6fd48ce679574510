"""Telling many listeners, of whom some are slow. Owns bounded queues; refuses to wait for anybody or to grow."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")
Event = dict[str, Any]
"""`{"type": "config" | "stream" | "instance", ...}`, as it goes over the websocket."""

QUEUE = 1000
"""Events that wait for a slow listener; beyond it the oldest are dropped."""


class Subscription(Generic[T]):
    """One listener's queue, an endless async iterator until its fan-out is closed."""

    def __init__(self, size: int) -> None:
        self._waiting: deque[T] = deque(maxlen=size)
        self._wake = asyncio.Event()
        self._closed = False
        self.dropped = 0
        """How many were lost because the listener was slow."""

    def put(self, item: T) -> None:
        """Queue `item`; drops the oldest one when full."""
        self.dropped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(item)
        self._wake.set()

    def close(self) -> None:
        """End the iteration after what waits."""
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


class FanOut(Generic[T]):
    """Publishes to every subscription that is open now."""

    def __init__(self, size: int = QUEUE) -> None:
        self._size = size
        self._subscriptions: set[Subscription[T]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._subscriptions)

    @contextmanager
    def subscribe(self) -> Generator[Subscription[T]]:
        """A subscription for the length of a `with` block."""
        subscription = Subscription[T](self._size)
        if self._closed:
            subscription.close()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def publish(self, item: T) -> None:
        """Queue `item` for everybody; never waits."""
        for subscription in self._subscriptions:
            subscription.put(item)

    def close(self) -> None:
        """End every iteration, now and later."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()

    def statistics(self) -> dict[str, int]:
        """Open subscriptions and what they lost."""
        return {"listeners": len(self), "dropped": sum(each.dropped for each in self._subscriptions)}
