"""A store in memory: for tests and for brokers that may forget everything. Owns a dict and its sorted keys."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice, takewhile

from teleporter_lab.broker.stores.base import ANYTHING, Expect, Item, check_expectation


class MemoryStore:
    """A Store that lasts as long as the process. Guarantee: atomic, because it never awaits."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._keys: list[str] = []

    async def get(self, key: str) -> str | None:
        """The text under `key`, None where there is none."""
        return self._values.get(key)

    async def range(self, prefix: str, start: int = 0, limit: int | None = None) -> list[Item]:
        """The items whose key begins with `prefix`, by key, without the first `start`, at most `limit`."""
        first = bisect_left(self._keys, prefix)
        below = takewhile(lambda key: key.startswith(prefix), islice(self._keys, first, None))
        end = None if limit is None else start + limit
        return [(key, self._values[key]) for key in islice(below, start, end)]

    async def write(self, key: str, value: str, expect: Expect = ANYTHING) -> None:
        """Keep `value` under `key`; raises Conflict where `expect` does not hold."""
        current = self._values.get(key)
        check_expectation(key, current, expect)
        if current is None:
            insort(self._keys, key)
        self._values[key] = value

    async def delete(self, key: str, expect: Expect = ANYTHING) -> bool:
        """Forget `key`; says whether it was there. Raises Conflict where `expect` does not hold."""
        current = self._values.get(key)
        check_expectation(key, current, expect)
        if current is None:
            return False
        del self._values[key]
        del self._keys[bisect_left(self._keys, key)]
        return True

    async def close(self) -> None:
        """Nothing to give back."""
