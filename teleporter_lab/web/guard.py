"""Who may speak to the REST door at all, before any route looks at a request.

Owns the token, the refusal of browsers (`Origin`) and the size of a body. Refuses to know a route.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from teleporter_lab.errors import Forbidden, InvalidInput, TeleporterError, Unauthorized
from teleporter_lab.rpc.tokens import same_token

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/ping", "/health/live"})
"""Probes, which tell nothing: no token."""

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a request's body; what the RPC door allows for a frame."""

TOO_LARGE = f"The body of a request is at most {MAX_BODY:,} bytes."


class Guard:
    """ASGI middleware that answers 401, 403 and 413 itself and passes on everything else."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["path"], headers)
        if refusal is not None:
            await refuse(scope, receive, send, refusal)
        else:
            await self._app(scope, _limited(receive) if scope["type"] == "http" else receive, send)

    def _refusal(self, path: str, headers: Headers) -> JSONResponse | None:
        if "origin" in headers:
            return error_response(Forbidden("A daemon does not talk to browsers: requests with an Origin are refused."))
        if path not in OPEN_PATHS and not self._has_token(headers):
            sentence = "Send the token of this daemon in the header `Authorization: Bearer TOKEN`."
            return error_response(Unauthorized(sentence), headers={"WWW-Authenticate": "Bearer"})
        return _length_refusal(headers.get("content-length", "0"))

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and same_token(given.strip(), self._token)


def error_response(
    error: TeleporterError, status: int | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The one form of an error: `{code, message, problems}`."""
    return JSONResponse(error.body(), status or error.status, headers)


async def refuse(scope: Scope, receive: Receive, send: Send, response: JSONResponse) -> None:
    """Answer a request, or the opening of a websocket, with `response`; a server that cannot just closes the latter."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
    else:
        await response(scope, receive, send)


def _length_refusal(length: str) -> JSONResponse | None:
    if not length.isascii() or not length.isdigit():
        return error_response(InvalidInput("The header Content-Length is no number."), 400)
    if len(length) > 18 or int(length) > MAX_BODY:
        return error_response(InvalidInput(TOO_LARGE), 413)
    return None


def _limited(receive: Receive) -> Receive:
    """`receive` that counts, for a body that does not say how long it is."""
    seen = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counted
