"""How many dead letters each stream has, and how many are gone in which way.

Owns counts in memory, right from the first look at a stream on, and the runtime records
`/deadlettertally/ns/task/stream` `{expired, dropped, redriven}`. Refuses to keep or remove a letter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from teleporter_lab.broker.letter_filter import PREFIX, letters_of, pattern_below, stream_of_letter

if TYPE_CHECKING:
    from teleporter_lab.broker.documents import Documents
    from teleporter_lab.broker.values import JSON

TALLY = "/deadlettertally/"

Way = Literal["expired", "dropped", "redriven"]
"""Too old, thrown away by a person, arrived."""
WAYS: tuple[Way, ...] = ("expired", "dropped", "redriven")

PAGE = 500
"""Letters that are read at once to count them."""


class LetterTally:
    """Counts by stream."""

    def __init__(self, runtime: Documents) -> None:
        self._runtime = runtime
        self._counts: dict[str, int] = {}

    async def count(self, stream: str, *, anew: bool = False) -> int:
        """How many letters a stream has; `anew`: as the store has it."""
        if anew:
            self._counts.pop(stream, None)
        if stream not in self._counts:
            found = 0
            while page := await self._runtime.below(letters_of(stream), found, PAGE):
                found += len(page)
            self._counts.setdefault(stream, found)  # who was faster has counted on since
        return self._counts.get(stream, 0)

    def known(self, stream: str) -> int:
        """The same without looking: 0 before anybody has."""
        return self._counts.get(stream, 0)

    def forget(self, key: str) -> None:
        """Somebody else has changed what is kept under `key`: count anew when asked."""
        if key.startswith(PREFIX):
            self._counts.pop(stream_of_letter(key), None)

    def shift(self, stream: str, number: int) -> None:
        """There are `number` more."""
        if stream in self._counts:
            self._counts[stream] += number

    async def begin(self, stream: str) -> None:
        """From here on `streams` names this one; to be called before its first letter is kept."""
        if await self.count(stream) == 0 and await self._runtime.find(_key(stream)) is None:
            await self._runtime.edit(_key(stream), lambda kept: _tallied(kept, "expired", 0))

    async def gone(self, stream: str, number: int, how: Way) -> None:
        """There are `number` less, and that is on disk."""
        self.shift(stream, -number)
        if number:
            await self._runtime.edit(_key(stream), lambda kept: _tallied(kept, how, number))

    async def streams(self) -> list[str]:
        """Every stream that ever had a letter."""
        return [_stream(entry.key) for entry in await self._runtime.below(TALLY)]

    async def all(self, pattern: str) -> dict[str, dict[str, int]]:
        """Stream -> `{kept, expired, dropped, redriven}`, for a pattern over streams. Raises InvalidInput."""
        found = await self._runtime.range(pattern_below("deadlettertally", pattern))
        kept = {_stream(entry.key): entry.value for entry in found}
        return {stream: {"kept": await self.count(stream)} | _whole(tally) for stream, tally in kept.items()}


def _key(stream: str) -> str:
    return TALLY + stream.removeprefix("/stream/")


def _stream(key: str) -> str:
    return f"/stream/{key.removeprefix(TALLY)}"


def _whole(kept: JSON) -> dict[str, int]:
    found = cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}
    return {way: found.get(way, 0) for way in WAYS}


def _tallied(kept: JSON, how: Way, number: int) -> dict[str, int]:
    counted = _whole(kept)
    return counted | {how: counted[how] + number}
