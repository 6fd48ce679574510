"""The verbs of a broker: all that REST and RPC may call.

Owns how the parts are put together, and the verbs that need several of them. Refuses to know a protocol, a socket or a
token.
"""

from __future__ import annotations

import time
from collections.abc import Callable  # noqa: TC003 -- a dataclass is read at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from teleporter_lab.broker.assignments import Assignments
from teleporter_lab.broker.background import Background
from teleporter_lab.broker.dead_letters import DeadLetters, LetterBounds
from teleporter_lab.broker.documents import Documents
from teleporter_lab.broker.events import Event, FanOut
from teleporter_lab.broker.instances import Instances, instance_key
from teleporter_lab.broker.position_history import History
from teleporter_lab.broker.positions import Positions
from teleporter_lab.broker.rebalance import Rebalance
from teleporter_lab.broker.redriving import Redriving
from teleporter_lab.broker.refresh import Refresh
from teleporter_lab.broker.sessions import Session, Sessions
from teleporter_lab.broker.streams import Command, Streams, stream_key
from teleporter_lab.broker.tree import Tree
from teleporter_lab.config.key import Table
from teleporter_lab.config.schema import schema
from teleporter_lab.engine.clock import Clock, LoopClock
from teleporter_lab.errors import InvalidConfig, Problem, UnknownTable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from types import TracebackType

    from pydantic import BaseModel

    from teleporter_lab.broker.stores.base import Stores
    from teleporter_lab.broker.values import JSON, Entry


class Catalogue(Protocol):
    """What connectors there are; `connectors.base.Registry` is one."""

    def describe(self) -> list[dict[str, Any]]: ...

    def block_models(self, table: str, category: str) -> Mapping[str, type[BaseModel]] | None: ...

    def distance(self, category: str, start: Any, end: Any) -> int | None: ...


@dataclass(frozen=True)
class Times:
    """Where the broker's time comes from: waiting, and seconds of the epoch for records."""

    clock: Clock = field(default_factory=LoopClock)
    now: Callable[[], float] = time.time


class Service:
    """A broker without its doors. Use it in `async with`, which puts in force what is saved."""

    def __init__(
        self,
        broker: str,
        stores: Stores,
        catalogue: Catalogue,
        times: Times | None = None,
        bounds: LetterBounds | None = None,
    ) -> None:
        self._times = times = times or Times()
        self.broker = broker
        self.catalogue = catalogue
        self.background = Background()
        self.events: FanOut[Event] = FanOut()
        self.sessions = Sessions()
        self.tree = Tree(stores, self.events, catalogue.block_models)
        self.runtime = Documents(stores.runtime)
        self.assignments = Assignments(self.runtime, times.now)
        self.letters = DeadLetters(self.runtime, bounds or LetterBounds(), times.now)
        self.streams = Streams(
            self.tree, self.runtime, self.assignments, self.sessions, self.events, self.letters.tally
        )
        self.redriving = Redriving(self.letters, self.streams, self.sessions)
        self.history = History(self.runtime, self.background, times.now)
        self.positions = Positions(self.tree, self.runtime, self.streams, self.history, catalogue, times.now)
        rebalance = Rebalance(self.assignments, self.sessions, self.background, times.clock)
        self.instances = Instances(broker, self.runtime, self.sessions, rebalance, self.events, times.now)
        self.refreshing = Refresh(self.tree, self.assignments, rebalance, self.sessions, self.streams)

    async def __aenter__(self) -> Self:
        await self.background.__aenter__()
        await self.refreshing.begin()
        self.background.start(self.letters.keep_sweeping(self._times.clock), "age of dead letters")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.events.close()
        await self.sessions.close()
        await self.background.__aexit__(kind, error, trace)

    async def refresh(self, key: str) -> dict[str, Any]:
        """Apply what is saved under `key`: `{key, notified, problems}`. Raises InvalidKey."""
        return await self.refreshing.apply(key)

    async def command(self, key: str, command: Command | str) -> dict[str, Any]:
        """Start, stop, restart or refresh a stream, and return its view.

        Raises what `Streams.command` raises, and InvalidConfig where a refresh meets problems.
        """
        match command:
            case "start" | "stop" | "restart":
                return await self.streams.command(key, command)
            case _:
                result = await self.refresh(stream_key(key))
        if problems := tuple(Problem(found["path"], found["message"]) for found in result["problems"]):
            raise InvalidConfig(f"{result['key']} was not refreshed; what ran before goes on.", problems)
        return await self.streams.get(key)

    async def leave(self, session: Session) -> None:
        """A session ended, or another one took its place."""
        if session.linked:
            await self.instances.left(session)

    async def instance_views(self) -> list[dict[str, Any]]:
        """All instances, by key."""
        configured = [entry.key for entry in await self.tree.range(f"/{Table.INSTANCE}/")]
        return await self.instances.all(configured, self.assignments)

    def log(self, instance: str, lines: int) -> AsyncGenerator[list[str], None]:
        """An instance's log, old and new lines. Raises InvalidKey, NotFound."""
        return self.instances.follow_log(instance_key(instance), lines)

    async def commit(self, session: Session, position: str, expect: JSON, update: JSON, epoch: int) -> Entry:
        """Compare-and-set of a position by the instance that runs its stream. Raises Conflict for anybody else."""
        self.assignments.check_commit(position, session.instance, epoch)
        entry = await self.runtime.swap(position, expect, update)
        self.history.committed(position, update)
        return entry

    async def put_aside(self, session: Session, stream: str, letters: Sequence[tuple[str, str]]) -> None:
        """Keep dead letters of a stream that the instance runs.

        Raises Conflict for anybody else, and what `DeadLetters.put` raises.
        """
        stream = stream_key(stream)
        self.assignments.check_letters(stream, session.instance)
        await self.letters.put(stream, letters)

    async def forget(self, key: str) -> None:
        """Delete a key of the runtime table. Raises InvalidKey, NotFound."""
        await self.runtime.delete(key)
        self.letters.tally.forget(key)

    def schema(self, table: str, category: str | None = None) -> dict[str, Any]:
        """The JSON Schema of a table's form. Raises UnknownTable, UnknownConnector."""
        try:
            wanted = Table(table)
        except ValueError as error:
            raise UnknownTable(f"There is no table {table[:80]!r}: the tables are {', '.join(Table)}.") from error
        blocks = self.catalogue.block_models(wanted, category) if category else None
        return schema(wanted, blocks or {})

    def statistics(self) -> dict[str, dict[str, int]]:
        """Numbers of each part."""
        return {
            "events": self.events.statistics(),
            "sessions": self.sessions.statistics(),
            "streams": self.streams.statistics(),
            "background": self.background.statistics(),
        }
