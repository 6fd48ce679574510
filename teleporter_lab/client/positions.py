"""Positions in the client: read, preview, set, reset, rewind."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Any

from teleporter_lab.client.connection import JSON, Connection, Row
from teleporter_lab.errors import InvalidInput

Moment = datetime | float | str
"""A date-time (of the local zone where it has none), seconds since 1970, or ISO 8601 text."""


class PositionVerbs(Connection):
    """A position is named by the key of its source, or by its own."""

    async def positions(self, pattern: str = "/position/", start: int = 0, limit: int = 100) -> list[Row]:
        """One page of the positions that are kept, by key. The pattern may be one over sources or streams."""
        return await self.call("GET", "/positions", params={"key": pattern, "start": start, "limit": limit})

    async def position(self, key: str) -> Row:
        """One position with ledger, epoch, tag, and the status and instance of its stream. Raises NotFound."""
        return await self.call("GET", "/position", params={"key": key})

    async def position_history(self, key: str, start: int = 0, limit: int = 100) -> list[Row]:
        """One page of what happened to a position, the newest first."""
        return await self.call("GET", "/positions/history", params={"key": key, "start": start, "limit": limit})

    async def preview_position(self, key: str, position: JSON = None, **place: Any) -> Row:
        """What a change would do: the position now with its tag, `target`, `entry` and `preview`. Changes nothing.

        `position`, or one of `start=True`, `to` (a Moment), `records` (how many back) and `entry` (an id of the
        history). Raises NotFound, InvalidInput.
        """
        return await self.call("POST", "/positions/preview", json=_place(key, position, place))

    async def set_position(self, key: str, position: JSON, **how: Any) -> Row:
        """Make the source go on from `position`; the position after it, with `preview` and the entry's `id`.

        `how`: `etag`, `restart`, `message`, `by` (else the user's name). Raises Conflict while the stream runs, unless
        `restart`, and for a stale tag.
        """
        return await self.call("POST", "/positions/set", json={"key": key, "position": position} | _how(how))

    async def reset_position(self, key: str, **how: Any) -> Row:
        """Make the source begin at its start. `how` and errors are those of `set_position`."""
        return await self.call("POST", "/positions/reset", json={"key": key} | _how(how))

    async def rewind_position(
        self, key: str, *, to: Moment | None = None, records: int | None = None, entry: str | None = None, **how: Any
    ) -> Row:
        """Make the source go on from a place of its history. `how` and errors are those of `set_position`."""
        place = {"to": to, "records": records, "entry": entry}
        return await self.call("POST", "/positions/rewind", json=_place(key, None, place) | _how(how))


def _place(key: str, position: JSON, place: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in place.items() if value is not None}
    if "to" in said:
        said["to"] = instant(said["to"])
    return {"key": key, "position": position} | said


def _how(how: dict[str, Any]) -> dict[str, Any]:
    return {"by": user_name()} | how


def instant(moment: Moment) -> str:
    """ISO 8601 with a zone. Raises InvalidInput for what is no date-time."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as error:
            raise InvalidInput(f"{moment[:80]!r} is no date-time: write 2026-11-25T10:00, or with a zone.") from error
    elif not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, UTC)
    return moment.astimezone().isoformat()


def user_name() -> str:
    """The name of who is logged in, empty where the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
