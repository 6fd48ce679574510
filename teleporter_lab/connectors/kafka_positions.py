"""Places in topics: where to begin, how far reading has come, what may be committed.

Owns positions, `{"topic": {"0": next offset}}`, and the rules of committing in a group. Pure: knows no driver.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

Place = tuple[str, int]
"""A topic and the number of a partition. The driver's TopicPartition is one."""

Offsets = dict[Place, int]
"""The next message of each partition."""

MILLISECONDS = r"[0-9]{11,}"
"""Text that is a time in milliseconds; a shorter number could be a day."""

LONGEST_NOTE = 3500
"""Bytes of a text beside an offset; brokers take 4096 (`offset.metadata.max.bytes`)."""

Start = str | int | dict[str, dict[str, int]]
"""Where to begin, as it is written."""


def parse_start(start: Start) -> str | int | Offsets:
    """`earliest`, `latest`, milliseconds since 1970, or offsets. Raises ValueError for anything else."""
    if isinstance(start, dict):
        return _start_offsets(start)
    if isinstance(start, int) or re.fullmatch(MILLISECONDS, start):
        if int(start) < 0:
            raise ValueError("start must be 0 or more milliseconds since 1970")
        return int(start)
    if start in ("earliest", "latest"):
        return start
    try:
        time = datetime.fromisoformat(start)
    except ValueError as error:
        raise ValueError(
            f"start must be earliest, latest, a time such as 2026-01-31T12:00Z, or offsets, not {start[:60]!r}"
        ) from error
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _start_offsets(start: dict[str, dict[str, int]]) -> Offsets:
    try:
        return offsets_of(start)
    except ConnectorError as error:
        raise ValueError('start must have offsets of 0 or more by partition, such as {"topic": {"0": 100}}') from error


def offsets_of(position: Any) -> Offsets:
    """The offsets that a position has. Raises ConnectorError when it is none of a kafka source."""
    offsets: Offsets = {}
    try:
        for topic, partitions in position.items():
            for number, offset in partitions.items():
                if type(offset) is not int or offset < 0:
                    raise ValueError
                offsets[topic, int(number)] = offset
    except (AttributeError, ValueError, TypeError) as error:
        raise ConnectorError(
            f'{position!r} is no position of a kafka source; one looks like {{"topic": {{"0": 100}}}}.'
        ) from error
    return offsets


def position_of(offsets: Mapping[Place, int]) -> dict[str, dict[str, int]]:
    """Offsets as plain JSON."""
    position: dict[str, dict[str, int]] = {}
    for (topic, number), offset in offsets.items():
        position.setdefault(topic, {})[str(number)] = offset
    return position


def noted(offsets: Mapping[Place, int], note: str) -> dict[Place, tuple[int, str]]:
    """Offsets with the texts that are kept beside them: the note at one of them, nothing if it is too long.

    It stands at one only, as a commit of many partitions would grow beyond what a broker takes.
    """
    fits = note if len(note.encode()) <= LONGEST_NOTE else ""
    first = min(offsets, default=None)
    return {place: (offset, fits if place == first else "") for place, offset in offsets.items()}


def distance(begin: Any, end: Any) -> int | None:
    """Messages between two positions, over the partitions that both have; None where they have none in common."""
    if not isinstance(begin, dict) or not isinstance(end, dict):
        return None
    one, two = offsets_of(cast("Any", begin)), offsets_of(cast("Any", end))
    both = one.keys() & two.keys()
    return sum(two[place] - one[place] for place in both) if both else None


class Shares:
    """How far a member of a group has come in the partitions it has now.

    A commit names only these, and of each only what was given out since it has it: what an earlier share was given is
    read again by whoever has it now, and committing it could pass messages that are not stored, or go backwards.
    """

    def __init__(self) -> None:
        self.given: Offsets = {}
        """Behind the last message given out."""
        self._begun: Offsets = {}
        self._committed: Offsets = {}

    def give(self, place: Place, first: int, behind: int) -> None:
        """The messages from offset `first` up to `behind` are given out."""
        self._begun.setdefault(place, first)
        self.given[place] = behind

    def committable(self, position: Any) -> Offsets:
        """What of `position` may be committed and is not yet. Raises ConnectorError when it is none."""
        return {
            place: offset
            for place, offset in offsets_of(position).items()
            if place in self.given
            and self._begun[place] < offset <= self.given[place]
            and offset > self._committed.get(place, -1)
        }

    @property
    def behind(self) -> bool:
        """Whether something was given out that is not committed."""
        return any(self._committed.get(place, -1) < offset for place, offset in self.given.items())

    def committed(self, offsets: Offsets) -> None:
        """The broker has accepted these."""
        self._committed.update((place, offset) for place, offset in offsets.items() if place in self.given)

    def lost(self) -> None:
        """All partitions are gone."""
        self.given, self._begun, self._committed = {}, {}, {}
