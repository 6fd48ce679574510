"""The walk of a source over windows and pages, as a value: where it is, and what is to be done next.

Owns positions. Refuses to read, to wait and to ask for the time.

    nothing read ──next──► a place in a window ──passed(n)──► further on in the page ──┐
         ▲  │                       ▲                                                  │
         │  └► Wait, Finished       └──────────── page_over, the page was full ◄───────┤
         └───────────────────────── page_over, it was the last one of the window ◄─────┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.connectors.base import position_field
from teleporter_lab.connectors.rollers.windows import FINISHED, Finished, Wait, Window
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from teleporter_lab.connectors.rollers.pages import Pages
    from teleporter_lab.connectors.rollers.windows import Windows

WHAT = "a roller"


@dataclass(frozen=True, slots=True)
class Roller:
    """How a source walks. Without windows and pages everything is one page."""

    windows: Windows | None = None
    pages: Pages | None = None
    keyed: bool = False
    """A window is read behind keys instead of by page numbers."""
    counted: bool = True
    """The rows of a page have an order that lasts, so that the first n of them can be passed over later."""

    def walk(self, position: Any) -> Walk:
        """The walk that goes on just after `position`; None is the start. Raises ConnectorError for another's."""
        return Walk(self) if position is None else Walk(self, self._place(position), over=False)

    def _place(self, position: Any) -> Place:
        window = None if self.windows is None else _window(position)
        if self.windows is None and isinstance(position, dict) and "start" in position:
            raise ConnectorError(f"{position!r} is a position in a window, and this roller has no start.")
        if self.keyed:
            if not isinstance(position, dict) or "key" not in position:
                raise ConnectorError(f"{position!r} is no position of {WHAT} by key: key is missing.")
            return Place(window, key=cast("dict[str, Any]", position)["key"])
        page = 0 if self.pages is None else max(self.pages.first, position_field(position, "page", int, WHAT))
        return Place(window, page, position_field(position, "rows", int, WHAT))


@dataclass(frozen=True, slots=True)
class Place:
    """Behind `rows` rows of `page` of `window`, or behind a key in it."""

    window: Window | None = None
    page: int = 0
    rows: int = 0
    key: Any = None

    def position(self, roller: Roller) -> dict[str, Any]:
        """Plain JSON, from which the walk goes on."""
        made: dict[str, Any] = {}
        if self.window is not None:
            made |= {name: getattr(self.window, name).isoformat() for name in ("start", "end", "read")}
        if roller.keyed:
            return made | {"key": self.key}
        return made | ({} if roller.pages is None else {"page": self.page}) | {"rows": self.rows}


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a source is. Every method gives another walk."""

    roller: Roller
    place: Place | None = None
    over: bool = True
    """The window of `place` was read to its end."""

    @property
    def position(self) -> dict[str, Any] | None:
        """Plain JSON; None while nothing was begun."""
        return None if self.place is None else self.place.position(self.roller)

    @property
    def here(self) -> Place:
        """The place that is being read."""
        if self.place is None or self.over:
            raise ValueError("There is nothing being read: ask for the next step first.")
        return self.place

    def step(self, now: datetime) -> Walk | Wait | Finished:
        """What to do: read at the `here` of the walk that is given, wait, or end."""
        if not self.over:
            return self
        windows, first = self.roller.windows, self._first()
        if windows is None:
            return FINISHED if self.place is not None else Walk(self.roller, first, over=False)
        window = windows.next(self.place.window if self.place is not None else None, now)
        return Walk(self.roller, replace(first, window=window), over=False) if isinstance(window, Window) else window

    def passed(self, rows: int, key: Any = None) -> Walk:
        """`rows` rows further on, the last of them with that key."""
        here = self.here
        if self.roller.keyed:
            return replace(self, place=replace(here, key=key))
        return replace(self, place=replace(here, rows=here.rows + rows)) if self.roller.counted else self

    def page_over(self, rows: int) -> Walk:
        """The page was read to its end, and it had so many rows."""
        pages, here = self.roller.pages, self.here
        page = None if pages is None else pages.next(here.page, rows)
        return replace(self, over=True) if page is None else replace(self, place=Place(here.window, page))

    def window_over(self) -> Walk:
        """There is no row behind the key in this window."""
        return replace(self, over=True)

    def again(self) -> Walk:
        """At the start of the window that is being read."""
        return replace(self, place=replace(self._first(), window=self.here.window))

    def _first(self) -> Place:
        return Place(page=0 if self.roller.pages is None else self.roller.pages.first)


def _window(position: Any) -> Window:
    start, end, read = (_moment(position, name) for name in ("start", "end", "read"))
    if start >= end:
        raise ConnectorError(f"{position!r} is no position of {WHAT}: start must be before end.")
    return Window(start, end, read)


def _moment(position: Any, name: str) -> datetime:
    text = position_field(position, name, str, WHAT)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ConnectorError(f"{position!r} is no position of {WHAT}: {name} is no date-time with an offset.")
    return found.astimezone(UTC)
