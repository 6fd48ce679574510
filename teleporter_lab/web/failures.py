"""Errors as answers. Owns the one error body and the exact status; refuses to leak what broke inside."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from teleporter_lab.errors import InvalidInput, NotFound, Problem, TeleporterError
from teleporter_lab.web.guard import error_response

_log = logging.getLogger(__name__)


class ProblemBody(BaseModel):
    """One mistake: where, and what would be right."""

    path: str
    message: str


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    code: str
    message: str
    problems: list[ProblemBody]


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request is not JSON"},
    401: {"model": ErrorBody, "description": "No token, or a wrong one"},
    403: {"model": ErrorBody, "description": "The request comes from a browser"},
    404: {"model": ErrorBody, "description": "Nothing is kept there"},
    409: {"model": ErrorBody, "description": "The value is another one by now"},
    422: {"model": ErrorBody, "description": "What was sent is not valid; all problems are listed"},
}


def install(app: FastAPI) -> None:
    """Make every error of `app` an ErrorBody."""
    app.add_exception_handler(TeleporterError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


async def _send(connection: HTTPConnection, response: JSONResponse) -> JSONResponse:
    if isinstance(connection, WebSocket):
        if "websocket.http.response" in connection.scope.get("extensions", {}):
            await connection.send_denial_response(response)
        else:
            await connection.close(1008)
    return response


async def _ours(connection: HTTPConnection, error: Exception) -> JSONResponse:
    assert isinstance(error, TeleporterError)
    return await _send(connection, error_response(error))


async def _http(connection: HTTPConnection, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = NotFound if error.status_code == 404 else InvalidInput
    phrase = HTTPStatus(error.status_code).phrase
    sentence = error.detail if error.detail != phrase else f"{phrase}: {connection.url.path}."
    return await _send(connection, error_response(kind(sentence), error.status_code, dict(error.headers or {})))


async def _invalid(connection: HTTPConnection, error: Exception) -> JSONResponse:
    assert isinstance(error, (RequestValidationError, WebSocketRequestValidationError))
    details = list(error.errors())
    if details and details[0]["type"] == "json_invalid":
        why = details[0].get("ctx", {}).get("error", "")
        return await _send(connection, error_response(InvalidInput(f"The body is not JSON: {why}."), 400))
    problems = tuple(Problem(_path(detail["loc"]), f"{detail['msg']}.") for detail in details)
    return await _send(connection, error_response(InvalidInput("The request is not valid.", problems)))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(TeleporterError("The request failed; the log says more."))


def _path(location: tuple[Any, ...]) -> str:
    """`("body", "value")` -> `value`: where it stands, without what it stands in."""
    return ".".join(str(part) for part in location[1:])
