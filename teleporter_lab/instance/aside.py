"""Where a stream's dead letters go unless somebody says otherwise: the store, by way of the broker.

Owns the queue of letters of one run and how they are sent: whatever has come while a request was under way goes in one.
A letter is put when the broker has kept it; while the broker is away it waits, and with it the record, so nothing is
confirmed that is not safe. Sending a letter twice keeps it once, as it has the same id. Refuses to decide what becomes
one (`part_rules`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final, Self

from teleporter_lab.errors import DeadLettersFull, ElementError, TeleporterError
from teleporter_lab.instance.letter import LetterIds, text_of
from teleporter_lab.instance.link import AWAY
from teleporter_lab.rpc.messages import PutAside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from teleporter_lab.engine.clock import Clock
    from teleporter_lab.engine.supervision import Failure
    from teleporter_lab.instance.link import Link

log = logging.getLogger(__name__)

BATCH: Final = 500
"""Letters in one request."""

BATCH_BYTES: Final = 1024 * 1024
"""About how long a request becomes; a longer letter goes alone."""

LARGEST: Final = 8 * 1024 * 1024 - 64 * 1024
"""Bytes of a letter; a longer one is refused, as no frame could bring it back."""

FIRST_DELAY: Final = 0.1
"""Seconds before letters are sent again whose broker was away; doubled each time."""

LONGEST_DELAY: Final = 5.0
"""Seconds between attempts, at the most; each is shortened by up to a half at random."""


class _Posted:
    """A letter on its way."""

    __slots__ = ("failure", "id", "kept", "refused", "text")

    def __init__(self, failure: Failure, name: str, text: str) -> None:
        self.failure = failure
        self.id = name
        self.text = text
        self.kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the broker has answered."""
        self.refused: TeleporterError | None = None

    @property
    def of(self) -> tuple[int, int, str]:
        """What it is a letter of, as long as it holds the failure."""
        return id(self.failure.error), id(self.failure.element), self.failure.stage


class Aside:
    """The dead letters of one run. An async context manager; leaving it stops what is still being sent.

    `parts` says which source's key stands behind a name that a failure shows; sinks put theirs with `of`.
    """

    def __init__(self, stream: str, link: Link, clock: Clock, parts: Mapping[str, str]) -> None:
        self._stream = stream
        self._link = link
        self._clock = clock
        self._parts = parts
        self._ids = LetterIds()
        self._queue: deque[_Posted] = deque()
        self._left: defaultdict[tuple[int, int, str], deque[_Posted]] = defaultdict(deque)
        """Letters whose putting was cancelled: who puts the same again waits for these."""
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()
            await asyncio.wait((self._sending,))

    async def put(self, failure: Failure) -> None:
        """Returns when the broker has kept the letter. Raises from the failure's error why it will not.

        That is DeadLettersFull when the stream has too many, ElementError for a record that is too large.
        """
        await self.put_of(self._parts.get(failure.stage, ""), failure)

    def of(self, part: str) -> _PartAside:
        """The place for the letters of a source or sink, by its config key."""
        return _PartAside(self, part)

    async def put_of(self, part: str, failure: Failure) -> None:
        """`put` for the source or sink `part`."""
        posted = self._left_alone(failure) or self._post(part, failure)
        try:
            await self._answered(posted)
        except asyncio.CancelledError:
            self._left[posted.of].append(posted)
            raise
        refused = posted.refused
        if refused is not None:
            raise type(refused)(refused.message, refused.problems) from failure.error

    def _left_alone(self, failure: Failure) -> _Posted | None:
        """The letter that an earlier, cancelled call for the same has posted."""
        key = id(failure.error), id(failure.element), failure.stage
        if key not in self._left:
            return None
        posted = self._left[key].popleft()
        if not self._left[key]:
            del self._left[key]
        return posted

    def _post(self, part: str, failure: Failure) -> _Posted:
        name = self._ids.next()
        text = text_of(failure, name, self._stream, part)
        if len(text) > LARGEST:
            sentence = f"A dead letter has at most {LARGEST:,} bytes, and this one has {len(text):,}"
            raise ElementError(f"{sentence}: let the rule stop or resume.") from failure.error
        posted = _Posted(failure, name, text)
        self._queue.append(posted)
        return posted

    async def _answered(self, posted: _Posted) -> None:
        """Returns when the broker has answered. Raises what sending fails with."""
        while not posted.kept.done():
            if self._sending is None or self._sending.done():
                self._sending = asyncio.create_task(self._send_all(), name=f"{self._stream}: dead letters")
            await asyncio.wait((posted.kept, self._sending), return_when=asyncio.FIRST_COMPLETED)
            if self._sending.done():
                self._sending.result()

    async def _send_all(self) -> None:
        while self._queue:
            await asyncio.sleep(0)  # what fails in the same moment goes along
            batch = self._batch()
            try:
                await self._send(batch)
            except BaseException:
                self._queue.extendleft(reversed([posted for posted in batch if not posted.kept.done()]))
                raise

    def _batch(self) -> list[_Posted]:
        batch = [self._queue.popleft()]
        size = len(batch[0].text)
        while self._queue and len(batch) < BATCH and size + len(self._queue[0].text) <= BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += len(batch[-1].text)
        return batch

    async def _send(self, batch: list[_Posted]) -> None:
        """Until the broker has answered. Where it refuses a letter, its neighbours are sent without it."""
        refused = await self._request(batch)
        if refused is not None and len(batch) > 1 and not isinstance(refused, DeadLettersFull):
            for posted in batch:
                await self._send([posted])
            return
        for posted in batch:
            posted.refused = refused
            posted.kept.set_result(None)

    async def _request(self, batch: list[_Posted]) -> TeleporterError | None:
        """Why the broker refuses them; None when it has kept all. Waits as long as it is away."""
        message = PutAside(self._stream, [(posted.id, posted.text) for posted in batch])
        tries, delay = 0, FIRST_DELAY
        while True:
            try:
                await self._link.request(message)
            except AWAY as error:
                tries += 1
                if tries & (tries - 1) == 0:
                    log.warning("%s: %d dead letters wait for the broker: %s", self._stream, len(batch), error)
                await self._clock.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, LONGEST_DELAY)
            except TeleporterError as error:
                return error
            else:
                return None

    def statistics(self) -> dict[str, int]:
        """Letters that wait to be sent."""
        return {"waiting": len(self._queue)}


class _PartAside:
    """The place of one source or sink."""

    def __init__(self, aside: Aside, part: str) -> None:
        self._aside = aside
        self._part = part

    async def put(self, failure: Failure) -> None:
        await self._aside.put_of(self._part, failure)
