"""`/config`: read, search, save, delete, compare-and-set, refresh. Owns how entries are shown: with secrets hidden."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, Field

from teleporter_lab.broker.rest.parameters import KeyQuery, Limit, PatternQuery, Start, TheService
from teleporter_lab.broker.tree import shown
from teleporter_lab.broker.values import Entry

router = APIRouter(prefix="/config", tags=["config"])

Raw = Annotated[bool, Query(description="Show references to secrets as they are written, for an export")]
IfMatch = Annotated[str | None, Header(description="Only in place of the value with this ETag; `*`: of any")]


class Save(BaseModel):
    """A key and the whole value that is to be kept under it."""

    key: str
    value: Any = Field(description="A JSON object of the form /schema/{table} describes")


class Swap(BaseModel):
    """Compare-and-set."""

    key: str
    expect: Any = Field(None, description="The value that must be there now; null: nothing may be there")
    update: Any


@router.get("")
async def get(service: TheService, response: Response, key: KeyQuery, raw: Raw = False) -> dict[str, Any]:
    """The value under a key."""
    return _answer(await service.tree.get(key), response, raw)


@router.get("/range")
async def page(
    service: TheService, key: PatternQuery, start: Start = 0, limit: Limit = 100, raw: Raw = False
) -> list[dict[str, Any]]:
    """One page of the entries whose key matches, sorted by key."""
    return [_body(entry, raw) for entry in await service.tree.range(key, start, limit)]


@router.post("")
async def save(service: TheService, response: Response, body: Save, if_match: IfMatch = None) -> dict[str, Any]:
    """Keep a value. It is applied by a refresh, not before."""
    return _answer(await service.tree.save(body.key, body.value, _tag(if_match)), response)


@router.delete("", status_code=204)
async def delete(service: TheService, key: KeyQuery, if_match: IfMatch = None) -> None:
    """Forget a key. It is applied by a refresh, not before."""
    await service.tree.delete(key, _tag(if_match))


@router.post("/atomic")
async def swap(service: TheService, response: Response, body: Swap) -> dict[str, Any]:
    """Keep `update` where `expect` is what is there."""
    return _answer(await service.tree.swap(body.key, body.expect, body.update), response)


@router.get("/id")
async def next_id(service: TheService) -> dict[str, int]:
    """A number that nobody got before."""
    return {"id": await service.tree.next_id()}


@router.get("/notify")
async def refresh(service: TheService, key: KeyQuery) -> dict[str, Any]:
    """Apply what is saved under a key, at the instances that it concerns."""
    return await service.refresh(key)


def _body(entry: Entry, raw: bool) -> dict[str, Any]:
    return entry.body() if raw else shown(entry)


def _answer(entry: Entry, response: Response, raw: bool = False) -> dict[str, Any]:
    response.headers["ETag"] = f'"{entry.etag}"'
    return _body(entry, raw)


def _tag(header: str | None) -> str | None:
    """The tag in an `If-Match`: with or without quotes, or marked weak by somebody on the way."""
    return None if header is None else header.strip().removeprefix("W/").strip('"')
