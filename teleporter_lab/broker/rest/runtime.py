"""`/runtime`: what streams and instances left behind (states, positions, assignments); read, search, forget."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from teleporter_lab.broker.rest.parameters import KeyQuery, Limit, PatternQuery, Start, TheService

router = APIRouter(prefix="/runtime", tags=["runtime"])


@router.get("")
async def get(service: TheService, key: KeyQuery) -> dict[str, Any]:
    """The value under a key."""
    return (await service.runtime.get(key)).body()


@router.get("/range")
async def page(service: TheService, key: PatternQuery, start: Start = 0, limit: Limit = 100) -> list[dict[str, Any]]:
    """One page of the entries whose key matches, sorted by key."""
    return [entry.body() for entry in await service.runtime.range(key, start, limit)]


@router.delete("", status_code=204)
async def delete(service: TheService, key: KeyQuery) -> None:
    """Forget a key."""
    await service.forget(key)
