"""The REST door as one ASGI application. Owns how it is put together; every route lives in the file of its noun."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI

from teleporter_lab.broker.rest import catalogue, config, dead_letters, health, positions, runtime, sockets, streams
from teleporter_lab.broker.service import Service
from teleporter_lab.web.failures import RESPONSES, install
from teleporter_lab.web.guard import Guard
from teleporter_lab.web.identity import Identity


def create_app(service: Service, identity: Identity, token: str, stop: Callable[[], None]) -> FastAPI:
    """The application over `service`. Requests need `token`; `POST /shutdown` calls `stop`, which returns at once."""
    app = FastAPI(
        title="teleporter-lab broker",
        version=identity.version,
        responses=RESPONSES,
        redoc_url=None,
    )
    app.state.service = service
    app.state.identity = identity
    app.state.stop = stop
    for module in (health, config, runtime, streams, positions, dead_letters, catalogue, sockets):
        app.include_router(module.router)
    install(app)
    app.add_middleware(Guard, token=token)
    return app
