"""What routes have in common: the service, keys and pages in the query."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import HTTPConnection

from teleporter_lab.broker.service import Service


def _service(connection: HTTPConnection) -> Service:
    return connection.app.state.service


TheService = Annotated[Service, Depends(_service)]
KeyQuery = Annotated[str, Query(description="A key, like /stream/ns/task/name")]
PatternQuery = Annotated[str, Query(description="A tail regex over keys, like /stream/ns/task/orders.*")]
Start = Annotated[int, Query(ge=0, le=2**31 - 1, description="How many to leave out at the beginning")]
Limit = Annotated[int, Query(ge=0, le=10_000, description="How many at most")]
