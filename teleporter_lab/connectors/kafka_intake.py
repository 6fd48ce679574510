"""The messages a reader has fetched and not given out yet.

Owns one call of the driver at a time, which outlives a read that is cancelled, and the cut from messages to records.
Refuses to know who decides about partitions: a group, or nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.connectors.kafka_positions import Offsets, Place
    from teleporter_lab.connectors.kafka_records import Decoding

POLL = 1.0
"""Seconds that a call of the driver waits for messages at most, so that new partitions are noticed in between."""


class Intake:
    """Fetched messages by partition, in order."""

    def __init__(self, consumer: Any, decoding: Decoding) -> None:
        self._consumer = consumer
        self._decoding = decoding
        self.ends: Offsets | None = None
        """What is left out: the messages from these offsets on. None: nothing."""
        self._packs: deque[tuple[Place, Sequence[Any]]] = deque()
        self._fetching: asyncio.Future[Any] | None = None
        self._valid = True
        """What the running call will give is wanted."""

    @property
    def idle(self) -> bool:
        """Nothing is fetched that was not given out, and no call is running that could give something."""
        return not self._packs and self._fetching is None

    async def fetch(self, n: int, seconds: float) -> None:
        """Waits for up to `n` messages, or some time. A call that a cancelled one has left is waited for instead.

        Raises what the driver does.
        """
        task = self._fetching
        if task is None:
            self._valid = True
            waiting = self._consumer.getmany(timeout_ms=max(1, int(seconds * 1000)), max_records=n)
            task = self._fetching = asyncio.ensure_future(waiting)
        await asyncio.wait((task,))
        if self._fetching is not task:
            return
        self._fetching = None
        found = task.result()
        if self._valid:
            for place, messages in found.items():
                self._add(place, messages)

    async def rest(self) -> None:
        """Waits until no call is running, and drops what there is: reading is about to go on elsewhere."""
        if self._fetching is not None:
            await asyncio.wait((self._fetching,))
        self.drop()

    def drop(self) -> None:
        """Forgets everything fetched, and what a running call will give."""
        self._packs.clear()
        self._valid = False
        task = self._fetching
        if task is not None and task.done():
            self._fetching = None
            if not task.cancelled():
                task.exception()

    async def close(self) -> None:
        """Ends a running call."""
        self.drop()
        task, self._fetching = self._fetching, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def take(self, n: int, given: Callable[[Place, int, int], None]) -> Any:
        """Up to `n` records; None when there are none. Tells `given` which messages went out, by partition.

        Raises BadRecord when the next message is bad, and has passed it then.
        """
        if not self._packs:
            return None
        head = self._head(n)
        records, good, bad = self._decoding.decode(head)
        if bad is not None and good == 0:
            self._pass(1, given)
            raise bad
        self._pass(good, given)
        return records

    def _head(self, n: int) -> Sequence[Any]:
        first = self._packs[0][1]
        if len(self._packs) == 1 or len(first) >= n:
            return first if len(first) <= n else first[:n]
        return list(islice(chain.from_iterable(messages for _, messages in self._packs), n))

    def _pass(self, count: int, given: Callable[[Place, int, int], None]) -> None:
        while count:
            place, messages = self._packs.popleft()
            part = messages[:count]
            given(place, part[0].offset, part[-1].offset + 1)
            count -= len(part)
            if len(part) < len(messages):
                self._packs.appendleft((place, messages[len(part) :]))

    def _add(self, place: Place, messages: Sequence[Any]) -> None:
        end = None if self.ends is None else self.ends.get(place)
        if end is not None and messages and messages[-1].offset >= end:
            messages = [message for message in messages if message.offset < end]
        if messages:
            self._packs.append((place, messages))
