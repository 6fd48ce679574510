"""Records that are written together after their batch has failed, and how often that has failed by now.

Owns the halving: which records are tried next, and how many tries a half is said to have had. Pure: refuses to write
and to decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from teleporter_lab.engine.columns import picked
from teleporter_lab.engine.failure import Interrupted
from teleporter_lab.engine.supervision import Failure
from teleporter_lab.errors import AddressUnreachable, BadRecord, RecordsRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.engine.ack import Token

AWAY = (AddressUnreachable, ConnectionError, TimeoutError, Interrupted)
"""Errors that say nothing about the records: what fails with one is decided about as a whole, never halved."""


class Failed(NamedTuple):
    """What a call of a writer has failed with, and the writer; None where it could not be opened."""

    error: Exception
    writer: Any

    @property
    def away(self) -> bool:
        """Whether the system was not there, so that no record is to blame."""
        return self.writer is None or isinstance(self.error, AWAY)


class Part:
    """All records of a batch, or some of them that are tried by themselves."""

    __slots__ = ("_before", "data", "tokens", "tries")

    def __init__(
        self, data: Any, tokens: tuple[Token, ...] = (), before: Failure | None = None, tries: int = 0
    ) -> None:
        self.data = data
        self.tokens = tokens
        """Of the whole batch."""
        self.tries = tries
        """Failed ones in a row."""
        self._before = before

    def __len__(self) -> int:
        return len(self.data)

    def failed(self, error: Exception, stage: str) -> Failure:
        """One more try has failed. Tries that the whole batch has failed with an error of this class count as well."""
        self.tries += 1
        before = self._before.tries if self._before is not None and self.like_before(error) else 0
        return Failure(error, stage, self.data, before + self.tries, self.tokens)

    def like_before(self, error: Exception) -> bool:
        """Whether a batch was halved because of an error of this class, and this is a part of it."""
        return self._before is not None and type(self._before.error) is type(error)

    def halves(self, failure: Failure) -> tuple[Part, Part]:
        """Both halves of two records or more. `failure` is why, unless the whole was halved for the same reason."""
        before = self._before if self.like_before(failure.error) else failure
        middle = len(self) // 2
        return self._of(self.data[:middle], before), self._of(self.data[middle:], before)

    def at(self, places: Sequence[int], tries: int = 0) -> Part:
        """The records at `places`, which have failed `tries` times."""
        return self._of(picked(self.data, places), self._before, tries)

    def _of(self, data: Any, before: Failure | None, tries: int = 0) -> Part:
        return Part(data, self.tokens, before, tries)


def named(error: Exception, records: int) -> dict[int, Exception]:
    """The records that a writer says are to blame, by their place in a batch of so many. Empty: it does not say."""
    found: dict[int, Exception] = {}
    if isinstance(error, RecordsRefused):
        found = error.refused
    elif isinstance(error, BadRecord) and error.index is not None:
        found = {error.index: error}
    return found if all(0 <= place < records for place in found) else {}
