"""`/ping`, `/health`, `/shutdown`: is it alive, is it the one we mean, and make it end."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from teleporter_lab.broker.rest.parameters import TheService
from teleporter_lab.web.identity import Identity

router = APIRouter(tags=["health"])


@router.get("/ping")
async def ping() -> dict[str, str]:
    """Somebody answers. No token is asked for."""
    return {"status": "ok"}


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process works. No token is asked for."""
    return {"status": "live"}


@router.get("/health/identity")
async def who(request: Request) -> dict[str, Any]:
    """Which broker this is, ready or not: what proves that a connection file tells the truth."""
    return asdict(request.app.state.identity)


@router.get("/health/ready")
async def ready(request: Request, service: TheService) -> dict[str, Any]:
    """The broker serves, and says which one it is."""
    identity: Identity = request.app.state.identity
    return {
        "status": "ready",
        "id": identity.id,
        "name": identity.name,
        "version": identity.version,
        "pid": identity.pid,
        "instances": len(service.sessions.online()),
    }


@router.post("/shutdown", status_code=202)
async def shutdown(request: Request) -> dict[str, str]:
    """Drain and end; the answer comes before."""
    request.app.state.stop()
    return {"status": "stopping"}
