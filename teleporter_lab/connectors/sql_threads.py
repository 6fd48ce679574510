"""How an asynchronous reader of a blocking database calls it: in a thread, one call at a time.

Owns that a call whose waiter was cancelled goes on, and that the next waiter gets what it gave.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from teleporter_lab.engine.blocking import DriverThreads

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class LoopThreads(DriverThreads):
    """The threads of the running loop."""

    def submit(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]:
        return asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
