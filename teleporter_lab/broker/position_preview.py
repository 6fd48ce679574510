"""How many records a change of a position repeats or leaves out: pure arithmetic over the history of a source.

Owns how places are made comparable. A place has a *line* and a *coordinate* on it: the records that were read up to
there, counted along the source. Commits of one run after another are on one line. A change to a place whose distance is
known stays on its line; any other begins a new one. Only places of one line are ever subtracted. Refuses to read,
write and ask.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from teleporter_lab.broker.values import JSON

    Distance = Callable[[JSON, JSON], int | None]
    """Records from the first position on to the second; None where they do not tell, below 0 the other way round."""

START = ""
"""The line that begins at the start of the source; a reset begins another one there, named after its entry."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position and where it is on its line. `entry`: the history's id of it, None for what is kept now."""

    position: JSON
    line: str
    coordinate: int
    entry: str | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Preview:
    """`records` above 0 are read again, below 0 left out; None where only `least` and `most` are known, or nothing."""

    records: int | None
    how: Literal["history", "distance", "bounds", "unknown"]
    least: int | None = None
    most: int | None = None

    @property
    def text(self) -> str:
        """One sentence for a person."""
        if self.records is not None:
            return _counted(self.records)
        if self.how == "unknown":
            return "How many records repeat or are left out is not known: nothing in the history is comparable."
        if self.least is not None and self.least >= 0:
            return _between(self.least, self.most, "repeat")
        return _between(-(self.most or 0), None if self.least is None else -self.least, "are left out")

    def body(self) -> dict[str, Any]:
        return asdict(self) | {"text": self.text}


def _counted(records: int) -> str:
    if records == 0:
        return "No record repeats, and none is left out."
    noun = "1 record" if abs(records) == 1 else f"{abs(records):,} records"
    if records > 0:
        return f"{noun} {'repeats' if records == 1 else 'repeat'}."
    return f"{noun} {'is' if records == -1 else 'are'} left out: nobody will have read what lies between."


def _between(low: int, high: int | None, verb: str) -> str:
    if high is not None:
        return f"Between {low:,} and {high:,} records {verb}."
    return f"At least {low:,} records {verb}." if low else f"Records {verb}; how many is not known."


class Lines:
    """The places of a history, whose entries come in the order of time, and where the kept record is among them."""

    def __init__(self, entries: Iterable[dict[str, Any]]) -> None:
        self._start = START
        self._starts = {START}
        self._sets: dict[str, tuple[str, int]] = {}
        self.places: list[Place] = []
        for entry in entries:
            self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        if entry["kind"] == "reset":
            self._start = entry["id"]
            self._starts.add(self._start)
            return
        if entry["kind"] != "commit":
            self._sets[entry["id"]] = (entry["line"], entry["offset"])
        line, offset = self._line_of(entry.get("set"))
        place = Place(entry["position"], line, entry["read"] + offset, entry["id"], entry["at"])
        self.places.append(place)

    def _line_of(self, marker: str | None) -> tuple[str, int]:
        return (self._start, 0) if marker is None else self._sets.get(marker, (marker, 0))

    def now(self, position: JSON, read: int, marker: str | None) -> Place:
        """What is kept now; `marker` is the id of the change that it goes on from."""
        line, offset = self._line_of(marker)
        return Place(position, line, read + offset)

    def preview(self, now: Place, target: JSON, distance: Distance | None = None) -> Preview:
        """What going from `now` to the position `target` (None: the start) does."""
        if target == now.position:
            return Preview(0, "history")
        found = self._known(now, target)
        if found is not None:
            return Preview(found, "history")
        if distance is not None and target is not None and now.position is not None:
            told = _told(distance, target, now.position)
            if told is not None:
                return Preview(told, "distance")
        return self._bounds(now, target)

    def back(self, now: Place, records: int) -> Place | None:
        """The newest place that is at least `records` before `now`."""
        among = [each for each in self.places if each.line == now.line]
        return next((each for each in reversed(among) if now.coordinate - each.coordinate >= records), None)

    def _known(self, now: Place, target: JSON) -> int | None:
        if target is None:
            return now.coordinate if now.line == self._start else None
        for place in reversed(self.places):
            if place.position != target:
                continue
            if now.position is None and place.line in self._starts:
                return -place.coordinate
            if place.line == now.line:
                return now.coordinate - place.coordinate
        return None

    def _bounds(self, now: Place, target: JSON) -> Preview:
        """Between which places of the line `target` lies, where positions grow or shrink along it."""
        unknown = Preview(None, "unknown")
        if target is None:
            return unknown
        line = [each for each in [*self.places, now] if each.line == now.line and each.position is not None]
        line.sort(key=lambda place: place.coordinate)
        direction = _direction(line)
        if direction is None:
            return unknown
        sides = [(place, compare(place.position, target)) for place in line]
        before = [place for place, side in sides if side == direction]
        after = [place for place, side in sides if side == -direction]
        if not before and not after:
            return unknown
        least = now.coordinate - after[0].coordinate if after else None
        most = now.coordinate - before[-1].coordinate if before else None
        return Preview(least if least == most else None, "bounds", least, most)


def _told(distance: Distance, target: JSON, now: JSON) -> int | None:
    try:
        return distance(target, now)
    except ConnectorError:  # what is kept now is no position of this source: that is why somebody sets another one
        return None


def _direction(line: Sequence[Place]) -> int | None:
    """-1 where positions grow along the line, 1 where they shrink, None where neither."""
    steps = {compare(a.position, b.position) for a, b in pairwise(line) if a.position != b.position}
    return steps.pop() if len(steps) == 1 else None


def compare(a: JSON, b: JSON) -> int | None:
    """-1 where nothing in `a` is beyond its counterpart in `b`, 1 the other way round, 0 for equal, else None.

    Numbers and date-times are ordered; all else must be equal.
    """
    if a == b and type(a) is type(b):
        return 0
    if isinstance(a, dict) and isinstance(b, dict):
        first, second = cast("dict[str, Any]", a), cast("dict[str, Any]", b)
        same = first.keys() == second.keys()
        return _together(compare(first[name], second[name]) for name in first) if same else None
    if isinstance(a, list) and isinstance(b, list):
        pairs = list(zip(cast("list[Any]", a), cast("list[Any]", b), strict=False))
        same = len(pairs) == max(len(cast("list[Any]", a)), len(cast("list[Any]", b)))
        return _together(compare(*pair) for pair in pairs) if same else None
    first, second = _ordered(a), _ordered(b)
    if first is None or second is None or isinstance(a, str) is not isinstance(b, str):
        return None
    return -1 if first < second else int(first > second)


def _together(sides: Iterable[int | None]) -> int | None:
    found = set(sides) - {0}
    if not found:
        return 0
    return found.pop() if len(found) == 1 else None


def _ordered(value: JSON) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        return None
