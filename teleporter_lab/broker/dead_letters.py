"""Dead letters: records that a stream has put aside, kept until somebody redrives or drops them.

Owns the runtime records `/deadletter/ns/task/stream/<id>` and their bounds. A stream whose place is full is refused, so
that its error rules decide and nothing is lost; what is too old is dropped, logged and counted. Refuses to send a
letter anywhere (`redriving` does).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from teleporter_lab.broker.letter import checked, edited, moment, shown
from teleporter_lab.broker.letter_filter import LetterFilter, is_stream, letters_of, pattern_below
from teleporter_lab.broker.letter_tally import LetterTally
from teleporter_lab.broker.values import Entry, etag
from teleporter_lab.errors import Conflict, DeadLettersFull, NotFound, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence

    from teleporter_lab.broker.documents import Documents
    from teleporter_lab.broker.letter_tally import Way
    from teleporter_lab.broker.values import JSON
    from teleporter_lab.engine.clock import Clock

_log = logging.getLogger(__name__)

PAGE = 500
"""Letters that are read or written at once."""

SWEEP_SECONDS = 3600.0
"""Between two looks for letters that are too old."""

PAGE_BYTES = 16 * 1024 * 1024
"""Of whole letters in one answer."""


@dataclass(frozen=True, slots=True)
class LetterBounds:
    """How many letters of one stream are kept, and how long, in seconds."""

    count: int = 10_000
    age: float = 30 * 86_400.0


class DeadLetters:
    """The letters of all streams."""

    def __init__(self, runtime: Documents, bounds: LetterBounds, now: Callable[[], float]) -> None:
        self._runtime = runtime
        self._bounds = bounds
        self._now = now
        self.tally = LetterTally(runtime)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """For whoever changes how many letters a stream has."""

    # ---- what instances do

    async def put(self, stream: str, letters: Sequence[tuple[str, str]]) -> None:
        """Keep letters, one by one idempotent: one that is there is left as it is.

        Raises DeadLettersFull with none of them kept, InvalidInput for what is no letter, StoreError.
        """
        prefix = letters_of(stream)
        texts = await asyncio.to_thread(lambda: {name: checked(stream, name, text) for name, text in letters})
        async with self._locks[stream]:
            await self._make_room(stream, [prefix + name for name in texts])
            await self.tally.begin(stream)
            entries = [Entry(prefix + name, text) for name, text in texts.items()]
            try:
                added = [each async for each in _in_pages(self._add, entries)]
            except BaseException:
                self.tally.forget(entries[0].key)  # some are kept, and nobody knows which
                raise
            self.tally.shift(stream, added.count(True))

    async def _make_room(self, stream: str, keys: list[str]) -> None:
        if await self.tally.count(stream) + len(keys) <= self._bounds.count:
            return
        await self._expire(stream)
        kept = await asyncio.gather(*(self._runtime.find(key) for key in keys))
        count = await self.tally.count(stream, anew=True)  # nobody is refused for what another broker has removed
        if count + kept.count(None) > self._bounds.count:
            raise DeadLettersFull(
                f"{stream} has {count:,} dead letters; at most {self._bounds.count:,} are kept: redrive or drop some."
            )

    async def _add(self, entry: Entry) -> bool:
        try:
            await self._runtime.write_text(entry, None)
        except Conflict:  # put before, by a request whose answer was lost
            return False
        return True

    # ---- what people do

    async def page(
        self, pattern: str, which: LetterFilter, start: int = 0, limit: int = 100, *, whole: bool = False
    ) -> dict[str, Any]:
        """`{letters, next}`: one page by key, and where the following one starts, None for no more.

        A page of `whole` letters ends early when it grows long. Raises InvalidInput, InvalidPattern.
        """
        rows: list[dict[str, Any]] = []
        seen = size = 0
        async for entry in self._matching(pattern, which):
            if seen >= start:
                size += len(entry.text)
                if len(rows) >= limit or (whole and rows and size > PAGE_BYTES):
                    return {"letters": rows, "next": seen}
                rows.append(shown(entry.key, entry.text, whole=whole))
            seen += 1
        return {"letters": rows, "next": None}

    async def get(self, stream: str, name: str) -> dict[str, Any]:
        """One whole letter with its tag. Raises NotFound."""
        entry = await self._get(stream, name)
        return shown(entry.key, entry.text, whole=True)

    async def edit(self, stream: str, name: str, record: JSON, tag: str | None = None) -> dict[str, Any]:
        """Give a letter another record; with `tag` only where it is still the one that has it.

        Raises NotFound, Conflict, InvalidInput for what JSON cannot say or what is too long.
        """
        entry = await self._get(stream, name)
        if tag not in (None, etag(entry.text)):
            raise Conflict(f"The dead letter {name} is another one by now: look at it again and repeat the change.")
        changed = await self._runtime.write(entry.key, edited(entry.text, record), entry.text)
        return shown(changed.key, changed.text, whole=True)

    async def drop(self, stream: str, which: LetterFilter | Sequence[str]) -> dict[str, Any]:
        """Throw letters of one stream away: `{dropped, missing}`, the ids that were not there. Raises InvalidKey."""
        letters_of(stream)
        entries, missing = await self._chosen(stream, which)
        left = await self.remove(stream, entries, "dropped")
        _log.info("%s: %d dead letters were dropped.", stream, len(entries) - len(left))
        return {"dropped": len(entries) - len(left), "missing": [*missing, *(name_of(entry) for entry in left)]}

    async def after(self, stream: str, which: LetterFilter, last: str, limit: int, size: int) -> list[Entry]:
        """The first letters behind the id `last`: at most `limit`, and about `size` characters."""
        found: list[Entry] = []
        async for entry in self._matching(stream, which, f"{letters_of(stream)}{last}"):
            size -= len(entry.text)
            if found and size < 0:
                break
            found.append(entry)
            if len(found) >= limit:
                break
        return found

    async def named(self, stream: str, names: Iterable[str]) -> tuple[list[Entry], list[str]]:
        """The letters with these ids, and the ids that are not there."""
        wanted = list(dict.fromkeys(names))
        kept = await asyncio.gather(*(self._runtime.find(letters_of(stream) + name) for name in wanted))
        missing = [name for name, entry in zip(wanted, kept, strict=True) if entry is None]
        return [entry for entry in kept if entry is not None], missing

    async def remove(self, stream: str, entries: Sequence[Entry], how: Way) -> list[Entry]:
        """Forget letters and count them under `how`; returns those that are other ones by now, which stay."""
        async with self._locks[stream]:
            return await self._remove(stream, entries, how)

    # ---- age

    async def keep_sweeping(self, clock: Clock) -> None:
        """Drops what is too old, once in a while. What the store refuses is looked at again the next time."""
        while True:
            try:
                await self._sweep()
            except StoreError as error:
                _log.warning("Dead letters that are too old stay for now: %s", error.message)
            await clock.sleep(SWEEP_SECONDS)

    async def _sweep(self) -> None:
        for stream in await self.tally.streams():
            async with self._locks[stream]:
                await self._expire(stream)

    async def _expire(self, stream: str) -> None:
        """Drop what is too old; ids sort by time, so the oldest come first."""
        oldest = self._now() - self._bounds.age
        while page := await self._runtime.below(letters_of(stream), 0, PAGE):
            old = [entry for entry in page if moment(entry.text) < oldest]
            if old:
                left = await self._remove(stream, old, "expired")
                days = self._bounds.age / 86_400
                _log.warning("%s: %d dead letters older than %g days dropped.", stream, len(old) - len(left), days)
            if len(old) < len(page):
                return

    # ---- the store

    async def _get(self, stream: str, name: str) -> Entry:
        found, _ = await self.named(stream, [name])
        if not found:
            raise NotFound(f"{stream} has no dead letter {name[:80]!r}.")
        return found[0]

    async def _chosen(self, stream: str, which: LetterFilter | Sequence[str]) -> tuple[list[Entry], list[str]]:
        if not isinstance(which, LetterFilter):
            return await self.named(stream, which)
        return [entry async for entry in self._matching(stream, which)], []

    async def _matching(self, pattern: str, which: LetterFilter, after: str = "") -> AsyncIterator[Entry]:
        """The letters by key, beginning behind the key `after`."""
        one = is_stream(pattern)
        wanted = pattern_below("deadletter", pattern)
        at = 0
        while page := await (
            self._runtime.below(letters_of(pattern), at, PAGE) if one else self._runtime.range(wanted, at, PAGE)
        ):
            at += len(page)
            later = [entry for entry in page if entry.key > after]
            for entry in later if which.everything else await asyncio.to_thread(_matches, which, later):
                yield entry

    async def _remove(self, stream: str, entries: Sequence[Entry], how: Way) -> list[Entry]:
        gone = [each async for each in _in_pages(self._delete, entries)]
        await self.tally.gone(stream, gone.count(True), how)
        return [entry for entry, is_gone in zip(entries, gone, strict=True) if not is_gone]

    async def _delete(self, entry: Entry) -> bool:
        try:
            await self._runtime.delete(entry.key, entry.text)
        except Conflict:
            return False
        return True


def name_of(entry: Entry) -> str:
    """The id of a letter."""
    return entry.key.rpartition("/")[2]


def _matches(which: LetterFilter, entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if which.matches(entry.value)]


async def _in_pages(
    call: Callable[[Entry], Coroutine[Any, Any, bool]], entries: Sequence[Entry]
) -> AsyncIterator[bool]:
    """What `call` says of each, PAGE of them at a time. All of a page have ended before the first error is raised."""
    for at in range(0, len(entries), PAGE):
        page = await asyncio.gather(*map(call, entries[at : at + PAGE]), return_exceptions=True)
        for each in page:
            if isinstance(each, BaseException):
                raise each
            yield each
