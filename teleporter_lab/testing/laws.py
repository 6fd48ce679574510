"""What every stage promises, as checks that a stage of anybody can be put through.

Owns the witnesses: a window that notices a token that leaks, two ways to pull a stage to its end that notice a broken
demand, an element lost or doubled. `engine/stage.py` states the promises. Refuses to know any operator.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.ack import AckWindow, Token

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from teleporter_lab.engine.ack import Span
    from teleporter_lab.engine.endpoints import Position
    from teleporter_lab.engine.stage import Stage

MANY = (4, 1, 7, 2)
"""Demands that grow and shrink."""


class Witness(AckWindow):
    """An ack window that remembers its tokens, and checks whenever more may be committed that it is accounted for."""

    def __init__(self, size: int = 1000, channels: int = 1) -> None:
        super().__init__(size, channels, on_change=self._check)
        self.tokens: list[Token] = []

    def open(self, count: int, position: Position, now: float, data: Any = None) -> Token:
        token = super().open(count, position, now, data)
        self.tokens.append(token)
        return token

    def redeliver(self, span: Span, now: float) -> Token:
        token = super().redeliver(span, now)
        self.tokens.append(token)
        return token

    def _check(self) -> None:
        progress = self.progress
        assert progress is None or progress.ledger.in_flight == 0, f"committed, not accounted for: {progress}"
        assert progress is None or progress.ledger.carried == 0, f"committed, and accounted for elsewhere: {progress}"
        assert self.ledger().in_flight >= 0, f"more came out than in: {self.ledger()}"

    def check_all_settled(self) -> None:
        """At the end of a stream that completed: each token was settled once, and every record is accounted for."""
        assert self.late == 0, f"{self.late} references were settled once too often"
        assert all(token.settled for token in self.tokens), "a token was never settled"
        assert self.room == self.size, "a record was never confirmed"
        assert self.ledger().in_flight == 0, f"not accounted for: {self.ledger()}"
        assert self.ledger().carried == 0, f"elements were carried to nowhere: {self.ledger()}"
        assert self.refused == 0, f"{self.refused} deliveries were refused"


async def drain(stage: Stage[Any], *demands: int) -> list[Any]:
    """Everything, pulled with the demands in turn, each chunk settled as written; the end has to stay."""
    found: list[Any] = []
    demands = demands or MANY
    pulls = 0
    while (chunk := await stage.pull(demand := demands[pulls % len(demands)])) is not None:
        assert 1 <= len(chunk) <= demand, f"{len(chunk)} elements for a demand of {demand}"
        found += chunk.data
        chunk.written()
        pulls += 1
    for demand in (demands[0], 1):
        assert await stage.pull(demand) is None, "something came after the end"
    return found


async def drain_with_cuts(stage: Stage[Any], passes: int, cuts: int) -> list[Any]:
    """Everything, each pull that comes to its end preceded by some that are cancelled after `passes` of the loop."""
    found: list[Any] = []
    pulls = 0
    while True:
        pulls += 1
        demand = MANY[pulls % len(MANY)]
        cut = pulls % (cuts + 1) > 0
        done, chunk = await cut_off(stage.pull(demand), passes) if cut else (True, await stage.pull(demand))
        if not done:
            continue
        if chunk is None:
            return found
        assert 1 <= len(chunk) <= demand, f"{len(chunk)} elements for a demand of {demand}"
        found += chunk.data
        chunk.written()


async def cut_off(work: Coroutine[Any, Any, Any], passes: int) -> tuple[bool, Any]:
    """Runs `work` and cancels it after some passes of the loop: whether it came to its end, and what it gave."""
    task = asyncio.ensure_future(work)
    for _ in range(passes):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    return (False, None) if task.cancelled() else (True, task.result())
