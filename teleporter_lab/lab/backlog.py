"""Messages on their way to a browser that may be slower than they come. Owns the bound; refuses to read them."""

from __future__ import annotations

import asyncio
import json
from collections import deque


class Backlog:
    """Messages on their way to a slow browser. Keeps the newest `limit`; tells how many it had to drop."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._messages: deque[str | bytes] = deque()
        self._dropped = 0
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, message: str | bytes) -> None:
        self._messages.append(message)
        if len(self._messages) > self._limit:
            self._messages.popleft()
            self._dropped += 1
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def get(self) -> str | bytes | None:
        """The next message, None after the end. After a loss the first is `{"type": "lost", "dropped": n}`."""
        while not self._messages and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return json.dumps({"type": "lost", "dropped": dropped})
        return self._messages.popleft() if self._messages else None
