"""Dead letters in the client: list, show, edit, redrive, drop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.client.connection import JSON, Connection, Row
from teleporter_lab.client.positions import Moment, instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

PAGE = 200
"""Letters in one request of a redrive or a long listing."""


class LetterVerbs(Connection):
    """`which` are filters: `place` and `error` (parts of them), `since` and `until` (a Moment each)."""

    async def dead_letters(
        self, pattern: str = "/stream/", start: int = 0, limit: int = 100, *, whole: bool = False, **which: Any
    ) -> Row:
        """`{letters, next, counts}`: one page, where the following one starts, and how many each stream has and had.

        A whole key means just that stream. `whole`: with the records, else with an excerpt of each.
        """
        asked = {"key": pattern, "start": start, "limit": limit, "whole": whole}
        return await self.call("GET", "/dead-letters", params=asked | _which(which))

    async def dead_letter(self, stream: str, name: str) -> Row:
        """One letter with its record and tag. Raises NotFound."""
        return await self.call("GET", "/dead-letters/one", params={"stream": stream, "id": name})

    async def dead_letter_rows(self, pattern: str = "/stream/", limit: int = 10_000, **which: Any) -> list[Row]:
        """The letters as flat rows, for `pandas.DataFrame(rows)`: a field `x` of the record is `record.x`."""
        rows: list[Row] = []
        start: int | None = 0
        while start is not None and len(rows) < limit:
            page = await self.dead_letters(pattern, start, min(PAGE, limit - len(rows)), whole=True, **which)
            rows += [flat(letter) for letter in page["letters"]]
            start = page["next"]
        return rows

    async def edit_dead_letter(self, stream: str, name: str, record: JSON, *, etag: str | None = None) -> Row:
        """Give a letter another record; with `etag` only where it still has it. Raises NotFound, Conflict."""
        body = {"stream": stream, "id": name, "record": record, "etag": etag}
        return await self.call("POST", "/dead-letters/edit", json=body)

    async def redrive(
        self,
        stream: str,
        ids: Sequence[str] | None = None,
        *,
        everything: bool = False,
        progress: Callable[[Row], object] | None = None,
        **which: Any,
    ) -> Row:
        """Send letters through their stream again: `ids`, those of a filter, or `everything`.

        `{redriven, failed: [{id, why}]}`; what has failed stays. `progress` gets that of each page. At least once: when
        it breaks off, what was on its way may arrive and stay. Raises Conflict where no instance runs the stream.
        """
        whole: Row = {"redriven": 0, "failed": []}
        async for page in self._redrive(stream, ids, _which(which) | ({"all": True} if everything else {})):
            whole["redriven"] += page["redriven"]
            whole["failed"] += page["failed"]
            if progress is not None:
                progress(page)
        return whole

    async def _redrive(self, stream: str, ids: Sequence[str] | None, which: Row) -> AsyncIterator[Row]:
        if ids is not None:
            for at in range(0, len(ids), PAGE):
                body = {"stream": stream, "ids": list(ids[at : at + PAGE])}
                yield await self.call("POST", "/dead-letters/redrive", json=body | which)
            return
        after: str | None = ""
        while after is not None:
            body = {"stream": stream, "after": after, "limit": PAGE}
            page = await self.call("POST", "/dead-letters/redrive", json=body | which)
            after = page["next"]
            yield page

    async def drop_dead_letters(
        self, stream: str, ids: Sequence[str] | None = None, *, everything: bool = False, **which: Any
    ) -> Row:
        """Throw letters away: `ids`, those of a filter, or `everything`. `{dropped, missing}`."""
        body: Row = {"stream": stream, "ids": None if ids is None else list(ids), "all": everything}
        return await self.call("POST", "/dead-letters/drop", json=body | _which(which))


def _which(which: Row) -> Row:
    said = {name: value for name, value in which.items() if value not in (None, "")}
    moments: dict[str, Moment] = {name: said[name] for name in ("since", "until") if name in said}
    return said | {name: instant(moment) for name, moment in moments.items()}


def flat(letter: Row) -> Row:
    """A letter as one row: no object in it but those inside the record's own fields."""
    error: Row = letter.get("error") or {}
    row = {name: letter.get(name) for name in ("id", "stream", "place", "part", "tries", "redrivable", "edited")}
    row["at"] = datetime.fromtimestamp(letter.get("at") or 0.0, UTC)
    row |= {"error": error.get("type"), "message": error.get("message"), "position": letter.get("position")}
    record = letter.get("record")
    if isinstance(record, dict):
        fields = cast("dict[str, Any]", record)
        return row | {f"record.{name}": value for name, value in fields.items()}
    return row | {"record": record}
