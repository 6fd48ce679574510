"""One table of a store, with values instead of texts: the verbs that `config` and `runtime` have in common.

Owns the form of keys as text, canonical values, paging by tail regex and compare-and-set in terms of values. Refuses to
know what a value means (`tree` does for the config).
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from teleporter_lab.broker.stores.base import ANYTHING, Expect, Item, Store
from teleporter_lab.broker.values import JSON, Entry, canonical
from teleporter_lab.config.tail_regex import TailRegex
from teleporter_lab.errors import Conflict, InvalidKey, InvalidPattern, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 5000
"""Items that are read at once where a regex decides which of them are wanted."""

SCAN_SECONDS = 3.0
"""The longest a regex may look for keys."""

LONGEST = 600
"""Characters of a key: that of a source, which has 512 at most, and an entry of its history."""

ATTEMPTS = 20
"""How often an edit is tried again when others write the same key meanwhile."""

_LITERAL = re.compile(r"[A-Za-z0-9_/-]+")
_QUANTIFIERS = ("*", "+", "?", "{")
_RUNTIME_KEY = re.compile(r"(/[A-Za-z0-9_.-]+){2,6}")


def runtime_key(text: str) -> str:
    """`text`, when it can be a key of the runtime table: a path of two to six segments. Raises InvalidKey."""
    dots = {".", ".."} & set(text.split("/"))
    if dots or len(text) > LONGEST or not _RUNTIME_KEY.fullmatch(text):
        raise InvalidKey(
            f"{text[:80]!r} is no key of the runtime table: write a path of two to six segments "
            "of letters, digits, `_`, `.` and `-`, like /stream/ns/task/name."
        )
    return text


class Documents:
    """A table of JSON values. `normal` turns the text of a key into the one form under which it is kept, or raises."""

    def __init__(self, store: Store, normal: Callable[[str], str] = runtime_key) -> None:
        self._store = store
        self._normal = normal

    async def find(self, key: str) -> Entry | None:
        """What is kept under `key`, None for nothing. Raises InvalidKey."""
        key = self._normal(key)
        text = await self._store.get(key)
        return None if text is None else Entry(key, text)

    async def get(self, key: str) -> Entry:
        """What is kept under `key`. Raises InvalidKey, and NotFound for nothing."""
        entry = await self.find(key)
        if entry is None:
            raise NotFound(f"Nothing is kept under {self._normal(key)}.")
        return entry

    async def below(self, prefix: str, start: int = 0, limit: int | None = None) -> list[Entry]:
        """The entries whose key begins with `prefix`, by key, without the first `start`, at most `limit`."""
        return [Entry(*item) for item in await self._store.range(prefix, start, limit)]

    async def range(self, pattern: str | TailRegex, start: int = 0, limit: int | None = None) -> list[Entry]:
        """The entries whose key matches the tail regex, by key, without the first `start`, at most `limit`.

        Raises InvalidPattern for one that does not compile or takes too long.
        """
        wanted = TailRegex.parse(pattern) if isinstance(pattern, str) else pattern
        if not wanted.pattern:
            return await self.below(wanted.prefix, start, limit)
        end = None if limit is None else start + limit
        prefix = wanted.prefix + literal_head(wanted.pattern)
        found: list[Item] = []
        deadline = time.monotonic() + SCAN_SECONDS
        at = 0
        while end is None or len(found) < end:
            page = await self._store.range(prefix, at, PAGE)
            found += await asyncio.to_thread(_matching, wanted, page, deadline)
            if len(page) < PAGE:
                break
            at += PAGE
        return [Entry(*item) for item in found[start:end]]

    async def write(self, key: str, value: JSON, expect: Expect = ANYTHING) -> Entry:
        """Keep `value`, where `expect` (a canonical text) is there. Raises InvalidKey, InvalidInput, Conflict."""
        entry = Entry(self._normal(key), canonical(value))
        await self.write_text(entry, expect)
        return entry

    async def write_text(self, entry: Entry, expect: Expect = ANYTHING) -> None:
        """Keep an entry whose text is canonical. Raises InvalidKey, Conflict."""
        await self._store.write(self._normal(entry.key), entry.text, expect)

    async def swap(self, key: str, expect: JSON, update: JSON) -> Entry:
        """Compare-and-set by value; `expect` None: nothing may be there. Raises InvalidKey, InvalidInput, Conflict."""
        return await self.write(key, update, None if expect is None else canonical(expect))

    async def edit(self, key: str, change: Callable[[JSON], JSON]) -> Entry:
        """Keep what `change` makes of the value under `key` (None for nothing), whoever else writes meanwhile.

        Raises Conflict when others were faster ATTEMPTS times.
        """
        for _ in range(ATTEMPTS):
            entry = await self.find(key)
            try:
                return await self.write(key, change(entry and entry.value), entry and entry.text)
            except Conflict:
                continue
        raise Conflict(f"{key} changes all the time: try again.")

    async def delete(self, key: str, expect: Expect = ANYTHING) -> None:
        """Forget `key`. Raises InvalidKey, Conflict, and NotFound where there is nothing."""
        key = self._normal(key)
        if not await self._store.delete(key, expect):
            raise NotFound(f"Nothing is kept under {key}.")


def literal_head(pattern: str) -> str:
    """The text that whatever `pattern` matches begins with: it narrows what must be looked at, and may be empty."""
    if "|" in pattern or "(?" in pattern:
        return ""
    head = _LITERAL.match(pattern)
    text = head[0] if head else ""
    if text and pattern[len(text) : len(text) + 1] in _QUANTIFIERS:
        text = text[:-1]
    return text


def _matching(wanted: TailRegex, page: list[Item], deadline: float) -> list[Item]:
    found: list[Item] = []
    for item in page:
        if time.monotonic() > deadline:
            raise InvalidPattern(
                f"The pattern took longer than {SCAN_SECONDS:g} s: begin it with a longer literal part."
            )
        if wanted.matches(item[0]):
            found.append(item)
    return found
