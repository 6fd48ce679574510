"""`/schema`, `/validate`, `/connectors`: what a form needs, without any driver installed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from teleporter_lab.broker.rest.config import Save
from teleporter_lab.broker.rest.parameters import TheService

router = APIRouter(tags=["forms"])


@router.get("/schema/{table}")
async def table_schema(service: TheService, table: str) -> dict[str, Any]:
    """The JSON Schema of a table's values."""
    return service.schema(table)


@router.get("/schema/{table}/{category}")
async def category_schema(service: TheService, table: str, category: str) -> dict[str, Any]:
    """The same, with the `client` block of a connector."""
    return service.schema(table, category)


@router.post("/validate")
async def validate(service: TheService, body: Save) -> dict[str, Any]:
    """Every mistake of a value, without keeping it."""
    problems = await service.tree.problems(body.key, body.value)
    return {"problems": [{"path": problem.path, "message": problem.message} for problem in problems]}


@router.get("/connectors")
async def connectors(service: TheService) -> list[dict[str, Any]]:
    """Every connector, and what it can be."""
    return service.catalogue.describe()
