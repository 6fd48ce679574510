"""`/streams` and `/instances`: what runs where, and the commands start, stop, restart, refresh."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from teleporter_lab.broker.rest.parameters import Limit, PatternQuery, Start, TheService

router = APIRouter(tags=["streams"])


class Target(BaseModel):
    """The stream a command is for."""

    key: str


@router.get("/streams")
async def page(
    service: TheService, key: PatternQuery = "/stream/", start: Start = 0, limit: Limit = 100
) -> list[dict[str, Any]]:
    """One page of streams with their status, instance, counts and rate, sorted by key."""
    return await service.streams.range(key, start, limit)


@router.post("/streams/{command}")
async def command(
    service: TheService, command: Literal["start", "stop", "restart", "refresh"], body: Target
) -> dict[str, Any]:
    """Do something with a stream, and show it. Start and stop hold for the future, too."""
    return await service.command(body.key, command)


@router.get("/instances")
async def instances(service: TheService) -> list[dict[str, Any]]:
    """All instances with their status and partitions."""
    return await service.instance_views()
