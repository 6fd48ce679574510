"""Where a run begins to read a source, and which ledger it goes on with.

Three may have kept it: our own store; a sink that keeps the position with the records; the system of the source, which
keeps the position for a group and our ledger as a note with it. Owns whom to believe: whoever has come furthest, unless
a person has set a position since. Owns the asking, under the rules of whoever is asked. Refuses to write anything: the
text that the store's next commit must find is the store's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from teleporter_lab.engine.supervision import AGAIN, Action, Failure
from teleporter_lab.errors import ConnectorError
from teleporter_lab.instance.positions import parse_note, parse_record, position_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable

    from teleporter_lab.config.key import Key
    from teleporter_lab.engine.run import Runtime
    from teleporter_lab.engine.supervision import Supervisor
    from teleporter_lab.instance.exactly import ExactlyOnce
    from teleporter_lab.instance.positions import Committed

T = TypeVar("T")

READ_AGAIN: Final = frozenset(Action) - {Action.STOP}
"""What a source that could not be opened is opened again after."""


class Beginning:
    """Asks for one run. `exactly` is its sink that keeps the position, `ruled` gives the rules of a source or sink."""

    def __init__(self, runtime: Runtime, exactly: ExactlyOnce | None, ruled: Callable[[Key], Supervisor]) -> None:
        self._runtime = runtime
        self._exactly = exactly
        self._ruled = ruled

    async def of(
        self, name: str, key: Key, store: Committed, noted: Callable[[], Awaitable[Iterable[str]]] | None
    ) -> Committed:
        """Where the source `name` begins, of which our store has kept `store`. `noted` gives the notes of its system.

        Raises the ConnectorError of one that cannot say, unless the rules ask again.
        """
        position, exactly, threads = position_key(key), self._exactly, self._runtime.threads
        if exactly is not None:
            mark = await self._told(exactly.key, lambda: exactly.recall(name, key, threads), AGAIN)
            store = later(store, mark, position)
        if noted is not None:  # after the sink was asked: a transaction that was open has ended then
            store = further(store, await self._told(key, noted, READ_AGAIN), position)
        return store

    async def _told(self, whose: Key, ask: Callable[[], Awaitable[T]], again: Container[Action]) -> T:
        tries = 0
        while True:
            try:
                return await ask()
            except ConnectorError as error:
                tries += 1
                decision = self._ruled(whose).decide(Failure(error, str(whose), None, tries))
                if decision.action not in again:
                    raise
                await self._runtime.clock.sleep(decision.delay)


def later(store: Committed, mark: str | None, key: str) -> Committed:
    """The position to begin at: that of the sink, unless a person has set another one in the store since."""
    if mark is None:
        return store
    sink = parse_record(mark, key)
    if store.set_by is not None and store.set_by != sink.set_by:
        return store
    return replace(sink, text=store.text)


def further(store: Committed, notes: Iterable[str], key: str) -> Committed:
    """`store` with the ledger of the note of `key` that has read most, if that is more than the store knows of.

    The group then stands behind a position that a person had set. Notes of before a position was set do not count.
    """
    own = (note for text in notes if (note := parse_note(text, key)) is not None)
    since = [note for note in own if store.set_by in (None, note.set_by)]
    newest = max(since, key=lambda note: note.ledger.read, default=store)
    if newest.ledger.read <= store.ledger.read:
        return store
    return replace(store, ledger=newest.ledger, set_by=newest.set_by, fresh=False)
