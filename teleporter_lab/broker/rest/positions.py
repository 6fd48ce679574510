"""`/position` and `/positions`: where sources are, and changing that: set, reset, rewind, with a preview."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from teleporter_lab.broker.positions import Change, Target
from teleporter_lab.broker.rest.parameters import Limit, Start, TheService

router = APIRouter(tags=["positions"])

SourceQuery = Annotated[str, Query(description="A source, like /source/ns/task/stream/name, or /position/… of it")]
PatternQuery = Annotated[str, Query(description="A tail regex over positions, sources or streams")]


class Place(BaseModel):
    """A place in a source: exactly one of `position`, `start`, `to`, `records` and `entry`."""

    key: str = Field(description="The source, or its position")
    position: Any = Field(None, description="A position, as the source's connector writes it")
    start: bool = Field(False, description="The start of the source")
    to: AwareDatetime | None = Field(None, description="Where it was then: the newest entry of the history before")
    records: int | None = Field(None, ge=1, description="The newest entry at least so many records back")
    entry: str | None = Field(None, max_length=80, description="An entry of the history, by its id")

    def target(self) -> Target:
        """Raises InvalidInput for none or several."""
        moment = self.to.timestamp() if self.to else None
        return Target(self.position, self.start, moment, self.records, self.entry)


class How(BaseModel):
    """How a change is made."""

    etag: str | None = Field(None, max_length=200, description="Only where the position still has this tag")
    restart: bool = Field(False, description="Stop the stream where it runs, and start it again")
    message: str = Field("", max_length=1000, description="Why, for the history")
    by: str = Field("", max_length=200, description="Who, for the history")

    def change(self) -> Change:
        return Change(self.etag, self.restart, self.message, self.by)


class Move(Place, How):
    """A change to a place."""


class SetTo(How):
    """A change to a position."""

    key: str
    position: Any


class Reset(How):
    """A change to the start."""

    key: str


@router.get("/positions")
async def page(
    service: TheService, key: PatternQuery = "/position/", start: Start = 0, limit: Limit = 100
) -> list[dict[str, Any]]:
    """One page of the positions that are kept, sorted by key."""
    return await service.positions.range(key, start, limit)


@router.get("/position")
async def get(service: TheService, key: SourceQuery) -> dict[str, Any]:
    """One position with its ledger, stream and tag."""
    return await service.positions.get(key)


@router.get("/positions/history")
async def history(service: TheService, key: SourceQuery, start: Start = 0, limit: Limit = 100) -> list[dict[str, Any]]:
    """One page of what happened to a position, the newest first."""
    return await service.positions.history(key, start, limit)


@router.post("/positions/preview")
async def preview(service: TheService, body: Place) -> dict[str, Any]:
    """What a change would do, and how many records it would repeat or leave out. Changes nothing."""
    return await service.positions.preview(body.key, body.target())


@router.post("/positions/set")
async def set_position(service: TheService, body: SetTo) -> dict[str, Any]:
    """Go on from a position."""
    return await service.positions.change(body.key, Target(body.position), body.change())


@router.post("/positions/reset")
async def reset(service: TheService, body: Reset) -> dict[str, Any]:
    """Go back to the start."""
    return await service.positions.change(body.key, Target(start=True), body.change())


@router.post("/positions/rewind")
async def rewind(service: TheService, body: Move) -> dict[str, Any]:
    """Go to a place of the history, or to a position."""
    return await service.positions.change(body.key, body.target(), body.change())
