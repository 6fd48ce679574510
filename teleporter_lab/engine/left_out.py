"""What the rules leave out of a batch: skipped, or put aside as dead letters.

Owns their count and their storing, each record a letter of its own. Refuses to decide (`judge` asks who does).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.columns import rows_of
from teleporter_lab.engine.failure import FAILURES
from teleporter_lab.engine.supervision import Action, explain, put_aside
from teleporter_lab.engine.trials import own_failure

if TYPE_CHECKING:
    from teleporter_lab.engine.chunk import Chunk
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.supervision import Failure

PUT_ASIDE = 256
"""Records of a batch that are put aside at the same time, as each waits until it is stored."""


class LeftOut:
    """Records of one batch that are not written."""

    __slots__ = ("_letters", "_m", "aside", "skipped")

    def __init__(self, m: Materializer) -> None:
        self._m = m
        self._letters: list[Failure] = []
        """Not stored yet."""
        self.skipped = 0
        self.aside = 0

    def add(self, data: Any, action: Action, failure: Failure) -> None:
        """RESUME skips all records of `data`, DEAD_LETTER puts each of them aside."""
        if action is Action.RESUME:
            self.skipped += len(data)
            return
        self.aside += len(data)
        self._letters += [replace(failure, element=record) for record in rows_of(data)]

    async def put_aside(self) -> None:
        """Returns when every letter so far is stored. Raises what that fails with, or NoPlaceForDeadLetters."""
        letters, self._letters = self._letters, []
        for start in range(0, len(letters), PUT_ASIDE):
            await self._put_some(letters[start : start + PUT_ASIDE])

    def settle(self, chunk: Chunk[Any]) -> None:
        """Counts what was written and what was left out, and confirms the chunk."""
        if chunk.tokens:
            account = chunk.tokens[-1].account
            account("written", len(chunk) - self.skipped - self.aside)
            account("skipped", self.skipped)
            account("dead_lettered", self.aside)
            chunk.confirm()

    async def _put_some(self, letters: list[Failure]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for letter in letters:
                    group.create_task(self._put(letter))
        except ExceptionGroup as failures:
            lost: Exception = failures.exceptions[0]
        else:
            return
        raise explain(lost, letters[0].stage, [letter.element for letter in letters])

    async def _put(self, letter: Failure) -> None:
        try:
            await put_aside(self._m, letter)
        except FAILURES as error:
            lost = own_failure(error)  # a task group does not mind a task that was cancelled by somebody else
        else:
            return
        raise lost
