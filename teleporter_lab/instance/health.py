"""The instance's small HTTP door: is it alive, is it the one we mean, make it end.

Owns three routes behind the guard that every daemon has. Refuses everything else: streams are the broker's matter.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from teleporter_lab.web.failures import install
from teleporter_lab.web.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.instance.instance import Instance
    from teleporter_lab.web.identity import Identity


def create_app(instance: Instance, identity: Identity, token: str, stop: Callable[[], None]) -> FastAPI:
    """The application. `GET /health/live` needs no token; `POST /shutdown` calls `stop`, which returns at once."""
    app = FastAPI(title="teleporter-lab instance", version=identity.version, docs_url=None, redoc_url=None)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/identity")
    async def who() -> dict[str, Any]:
        return asdict(identity)

    @app.get("/health/ready")
    async def ready() -> JSONResponse:
        linked = instance.link.active is not None
        body: dict[str, Any] = {
            "status": "ready" if linked else "unlinked",
            "id": identity.id,
            "name": identity.name,
            "version": identity.version,
            "pid": identity.pid,
            "key": instance.key,
            "streams": instance.statistics(),
        }
        return JSONResponse(body, 200 if linked else 503)

    @app.post("/shutdown", status_code=202)
    async def shutdown() -> dict[str, str]:
        stop()
        return {"status": "stopping"}

    _ = (live, who, ready, shutdown)
    install(app)
    app.add_middleware(Guard, token=token)
    return app
