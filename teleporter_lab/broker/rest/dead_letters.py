"""`/dead-letters`: records that streams have put aside: list, show, edit, redrive, drop."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from teleporter_lab.broker.letter_filter import LetterFilter, chosen
from teleporter_lab.broker.redriving import MOST
from teleporter_lab.broker.rest.parameters import Limit, Start, TheService

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

StreamQuery = Annotated[str, Query(description="A stream, like /stream/ns/task/name")]
PatternQuery = Annotated[str, Query(description="A tail regex over streams; a whole key: just that stream")]
IdQuery = Annotated[str, Query(max_length=80, description="The id of a letter")]
PlaceText = Annotated[str, Query(max_length=500, description="Part of the name of the place")]
ErrorText = Annotated[str, Query(max_length=500, description="Part of the error's class or message")]
Since = Annotated[AwareDatetime | None, Query(description="Put aside then or later")]
Until = Annotated[AwareDatetime | None, Query(description="Put aside then or earlier")]
Whole = Annotated[bool, Query(description="With the whole records; a page then ends early when it grows long")]


class Edit(BaseModel):
    """Another record for a letter."""

    stream: str
    id: str = Field(max_length=80)
    record: Any = Field(description="The whole record, in the form in which the letter shows it")
    etag: str | None = Field(None, max_length=80, description="Only where the letter still has this tag")


class Choice(BaseModel):
    """Which letters of a stream: `ids`, or what they have in common, or `all`."""

    stream: str
    ids: list[Annotated[str, Field(max_length=80)]] | None = Field(None, max_length=10_000)
    place: str = Field("", max_length=500)
    error: str = Field("", max_length=500)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    all: bool = False

    def which(self) -> LetterFilter | list[str]:
        """Raises InvalidInput where none or several of them are said."""
        asked = _filter(self.place, self.error, self.since, self.until)
        found = chosen(self.ids, asked, self.all)
        return found if isinstance(found, LetterFilter) else list(found)


class Page(Choice):
    """Some of them."""

    after: str = Field("", max_length=80, description="Only behind this id: the `next` of the page before")
    limit: int = Field(MOST, ge=1, le=MOST)


@router.get("")
async def page(
    service: TheService,
    key: PatternQuery = "/stream/",
    place: PlaceText = "",
    error: ErrorText = "",
    since: Since = None,
    until: Until = None,
    start: Start = 0,
    limit: Limit = 100,
    whole: Whole = False,
) -> dict[str, Any]:
    """`{letters, next, counts}`: one page by stream and time, and how many each stream has and had."""
    found = await service.letters.page(key, _filter(place, error, since, until), start, limit, whole=whole)
    return found | {"counts": await service.letters.tally.all(key)}


@router.get("/one")
async def get(service: TheService, stream: StreamQuery, id: IdQuery) -> dict[str, Any]:
    """One letter with its record."""
    return await service.letters.get(stream, id)


@router.post("/edit")
async def edit(service: TheService, body: Edit) -> dict[str, Any]:
    """Give a letter another record."""
    return await service.letters.edit(body.stream, body.id, body.record, body.etag)


@router.post("/redrive")
async def redrive(service: TheService, body: Page) -> dict[str, Any]:
    """Send letters through their stream again: `{redriven, failed, next}`. Repeat with `after` until `next` is null."""
    return await service.redriving.page(body.stream, body.which(), body.after, body.limit)


@router.post("/drop")
async def drop(service: TheService, body: Choice) -> dict[str, Any]:
    """Throw letters away."""
    return await service.letters.drop(body.stream, body.which())


def _filter(place: str, error: str, since: AwareDatetime | None, until: AwareDatetime | None) -> LetterFilter:
    return LetterFilter(place, error, since and since.timestamp(), until and until.timestamp())
