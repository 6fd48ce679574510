"""Several batches being written at once, so that what has the same key keeps its order.

Owns which batch may start. Pure: refuses to wait and to write. A batch holds its keys until it is done for good,
retries included, so nothing that shares a key with it starts before.
"""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Set as AbstractSet

Keys = AbstractSet[Hashable] | None
"""What a batch writes to, as the writer says. None: it may be anything, so the batch is written alone."""


class Lanes:
    """Up to `most` batches at once; those that run have no key in common."""

    __slots__ = ("_begun", "_running", "most")

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"Batches need 1 lane or more, not {most}.")
        self.most = most
        self._running: dict[int, Keys] = {}
        self._begun = 0

    def __len__(self) -> int:
        """How many run."""
        return len(self._running)

    def may_start(self, keys: Keys) -> bool:
        """Whether a batch with these keys, the next one in order, may start beside those that run."""
        if len(self._running) >= self.most:
            return False
        if keys is None:
            return not self._running
        return all(other is not None and keys.isdisjoint(other) for other in self._running.values())

    def start(self, keys: Keys) -> int:
        """The lane of a batch that `may_start`."""
        self._begun += 1
        self._running[self._begun] = keys
        return self._begun

    def end(self, lane: int) -> None:
        """The batch of that lane is done."""
        del self._running[lane]
