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
    from teleporter_lab.engine.supervision import Failure


class Failed:
    """The result of an element that ends the stream."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


async def mended(m: Materializer, function: Callable[[Any], Awaitable[Any]], first: Failure) -> Any:
    """The result of `function(element)`, of whose `first` failure we know; `LEFT_OUT`, `PUT_ASIDE` or a `Failed`.

    Raises a cancellation that is meant for the caller.
    """
    result: Any = None

    async def again() -> None:
        nonlocal result
        try:
            result = await function(first.element)
        except FAILURES as failed:
            failure = own_failure(failed)
            raise failure from failure.__cause__

    try:
        action = await supervise(m, again, first)
    except Exception as final:  # noqa: BLE001 - raised in its place by whoever pulls
        return Failed(final)
    if action is Action.RETRY:
        return result
    return PUT_ASIDE if action is Action.DEAD_LETTER else LEFT_OUT
