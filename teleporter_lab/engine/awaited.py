"""Awaited calls of a user's function for single elements: what came of one that failed at first.

Owns the marks that stand for a result that is not there, and the one way from a failed call to a result or a mark.
Workers of pools use it; refuses to know in which order results go out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.failure import FAILURES
from teleporter_lab.engine.lone_call import LEFT_OUT, PUT_ASIDE
from teleporter_lab.engine.supervision import Action, supervise
from teleporter_lab.engine.trials import own_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.engine.run import Materializer


class Failed:
    """The result of an element that ends the stream."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


async def mended(
    m: Materializer, name: str, function: Callable[[Any], Awaitable[Any]], element: Any, error: BaseException
) -> Any:
    """The result of `function(element)`, which failed with `error` at first; `LEFT_OUT`, `PUT_ASIDE` or a `Failed`.

    Raises a cancellation that is meant for the caller.
    """
    result: Any = None

    async def again() -> None:
        nonlocal result
        try:
            result = await function(element)
        except FAILURES as failed:
            failure = own_failure(failed)
            raise failure from failure.__cause__

    first = own_failure(error)
    try:
        action = await supervise(m, name, again, element, first)
    except Exception as final:  # noqa: BLE001 - raised in its place by whoever pulls
        return Failed(final)
    if action is Action.RETRY:
        return result
    return PUT_ASIDE if action is Action.DEAD_LETTER else LEFT_OUT
