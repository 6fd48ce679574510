"""Reading behind a key, pass after pass. Owns what is asked next, and which rows are new.

Without lag a pass is: everything behind the last key. With lag it asks first for the greatest key that can be seen, and
reads from `lag` before the greatest key of the pass before up to that one:

    pass 1   ├────────────────────────┤ greatest key seen at its start
    pass 2               ├── lag ─────┼───────────────┤ greatest key seen at its start
                         rows that were late          new rows

What becomes visible while a pass goes on is left to the next one. So a row of key k is read if no key greater than
k + lag could be seen before k could.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from teleporter_lab.connectors.rollers.lag import before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.connectors.rollers.lag import LagValue

Key: TypeAlias = "tuple[Any, ...]"


@dataclass(frozen=True, slots=True)
class AskGreatest:
    """Ask for the greatest key that there is."""


@dataclass(frozen=True, slots=True)
class AskPage:
    """Ask for a page of rows in the order of the key: each bound that is not None narrows it."""

    after: Key | None = None
    """Keys greater than this."""
    upto: Key | None = None
    """Keys up to this."""
    since: Any = None
    """Keys whose first column is at least this."""


class Passes:
    """Where the passes are. Memory: with lag the keys of the overlap, and of the pass that goes on."""

    def __init__(self, name: str, lag: LagValue, after: Key | None) -> None:
        self._name = name
        self._lag = lag
        self._after = after
        """The greatest key that was fetched; with lag, up to which a pass went."""
        self._given = after
        """The greatest key that was given."""
        self._upto: Key | None = None
        self._behind: Key | None = None
        """The last key of the pass that goes on, with lag."""
        self._seen: set[Key] = set()

    def ask(self) -> AskGreatest | AskPage:
        """What to ask now; the same as long as it was not answered."""
        if not self._lag:
            return AskPage(self._after)
        if self._upto is None:
            return AskGreatest()
        return AskPage(self._behind, self._upto, None if self._after is None else self._less(self._after))

    def greatest(self, key: Key | None) -> bool:
        """The greatest key is `key`; whether there is something to read. Raises ConnectorError: lag does not fit it."""
        if key is not None:
            self._less(key)
        self._upto, self._behind = key, None
        return key is not None

    def fetched(self, keys: Sequence[Key], last: bool) -> list[int]:
        """These keys were on the page, and `last`: it was the last one of the pass. Gives the places of new rows."""
        if not self._lag:
            self._after = keys[-1] if keys else self._after
            return list(range(len(keys)))
        new = [at for at, key in enumerate(keys) if key not in self._seen]
        self._seen.update(keys)
        self._behind = keys[-1] if keys else self._behind
        if last and self._upto is not None:
            self._pass_over(self._upto)
        return new

    def given(self, key: Key) -> Key:
        """The row of `key` was given; the key from which a stream may go on."""
        late = bool(self._lag) and self._given is not None and key[0] < self._given[0]
        self._given = self._given if late else key
        return self._given or key

    @property
    def remembered(self) -> int:
        """Keys in memory."""
        return len(self._seen)

    def _pass_over(self, upto: Key) -> None:
        """Keys that the next pass does not read are forgotten."""
        self._after = upto if self._after is None or self._after[0] <= upto[0] else self._after
        since = self._less(self._after)
        self._seen = {key for key in self._seen if key[0] >= since}
        self._upto = self._behind = None

    def _less(self, key: Key) -> Any:
        return before(key[0], self._lag, self._name)
