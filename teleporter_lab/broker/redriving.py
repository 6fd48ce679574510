"""Redriving dead letters: to the instance that runs their stream, a page at a time.

Owns what may be sent, that no letter is sent twice at once, and that what has arrived is forgotten. Guarantee: at least
once; a letter is forgotten only after the instance said that it has arrived, and only when it is still the one that
was sent. Refuses to know what a redrive is: the instance does it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

from teleporter_lab.broker.dead_letters import name_of
from teleporter_lab.broker.letter_filter import LetterFilter, letters_of
from teleporter_lab.errors import Conflict, ProtocolError
from teleporter_lab.rpc.messages import Redrive, Redriven

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from teleporter_lab.broker.dead_letters import DeadLetters
    from teleporter_lab.broker.sessions import Sessions
    from teleporter_lab.broker.values import Entry

MOST = 500
"""Letters that go with one request."""

LENGTH = 4 * 1024 * 1024
"""Characters that go with one request, about; a letter longer than that goes alone."""


class Owners(Protocol):
    """Who knows which instance has a stream."""

    def online(self, key: str) -> str:
        """The instance that has it and is online, empty for none."""
        ...


class Redriving:
    """The verb `page`; who wants more calls it again."""

    def __init__(self, letters: DeadLetters, owners: Owners, sessions: Sessions) -> None:
        self._letters = letters
        self._owners = owners
        self._sessions = sessions
        self._busy: set[str] = set()
        """Keys of letters that are being sent, or wait for that."""
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """For whoever reads letters of a stream to send them, or forgets what has arrived."""

    async def page(
        self, stream: str, which: LetterFilter | Sequence[str], after: str = "", limit: int = MOST
    ) -> dict[str, Any]:
        """Redrive some letters: `{redriven, failed: [{id, why}], next}`.

        Of a filter the first ones behind the id `after`, `limit` at most; `next` is where to go on, None for no more.
        Of ids all. Raises Conflict where no instance has the stream, Unreachable where it does not answer (nobody knows
        then what has arrived, and the letters stay), InvalidKey, and what the instance says against it.
        """
        letters_of(stream)
        owner = self._owners.online(stream)
        if not owner:
            raise Conflict(f"{stream} is run by no instance that is connected: its letters cannot be redriven now.")
        async with self._turns[stream]:
            if isinstance(which, LetterFilter):
                entries = await self._letters.after(stream, which, after, min(limit, MOST), LENGTH)
                missing: list[str] = []
            else:
                entries, missing = await self._letters.named(stream, which)
            ready, failed = self._sorted(entries)
            keys = {entry.key for entry in ready}
            self._busy |= keys
        failed += [(name, "It is not there any more.") for name in missing]
        number = 0
        try:
            for page in _pages(ready):
                redriven, more = await self._send(owner, stream, page)
                number += redriven
                failed += more
        finally:
            self._busy -= keys
        rows = [{"id": name, "why": why} for name, why in failed]
        following = name_of(entries[-1]) if entries and isinstance(which, LetterFilter) else None
        return {"redriven": number, "failed": rows, "next": following}

    async def _send(self, owner: str, stream: str, entries: list[Entry]) -> tuple[int, list[tuple[str, str]]]:
        """How many have arrived, and why the others have not."""
        done, failed = await self._ask(owner, stream, entries)
        async with self._turns[stream]:
            left = await self._letters.remove(stream, done, "redriven")
        why = "It has arrived as it was; it was edited meanwhile, and stays."
        return len(done) - len(left), [*failed, *((name_of(entry), why) for entry in left)]

    def _sorted(self, entries: list[Entry]) -> tuple[list[Entry], list[tuple[str, str]]]:
        """Those that may be sent, and why the others may not."""
        ready: list[Entry] = []
        refused: list[tuple[str, str]] = []
        for entry in entries:
            if entry.key in self._busy:
                refused.append((name_of(entry), "It is being redriven already."))
            elif not entry.value.get("redrivable", True):
                refused.append((name_of(entry), "Its record cannot be made again from what is kept: edit it before."))
            else:
                ready.append(entry)
        return ready, refused

    async def _ask(self, owner: str, stream: str, entries: list[Entry]) -> tuple[list[Entry], list[tuple[str, str]]]:
        pairs = [(name_of(entry), entry.text) for entry in entries]
        answer = await self._sessions.request(owner, Redrive(stream, pairs))
        if not isinstance(answer, Redriven):
            raise ProtocolError(f"{owner} answered a Redrive with a {type(answer).__name__}.")
        arrived = set(answer.done)
        done = [entry for entry in entries if name_of(entry) in arrived]
        told = dict(answer.failed)
        rest = [name_of(entry) for entry in entries if name_of(entry) not in arrived]
        return done, [(name, told.get(name, "The instance says nothing about it.")) for name in rest]


def _pages(entries: list[Entry]) -> Iterator[list[Entry]]:
    """As many as go with one request, again and again."""
    page: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.text)
        if page and (size > LENGTH or len(page) >= MOST):
            yield page
            page, size = [], len(entry.text)
        page.append(entry)
    if page:
        yield page
