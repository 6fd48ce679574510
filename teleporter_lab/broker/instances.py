"""The instances: who is here, since when, and with which partitions.

Owns the runtime record `/instance/...` `{status, at, broker}` and the events of coming and going. Refuses to move
partitions itself: it tells `rebalance`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import InvalidKey, NotFound, Unreachable
from teleporter_lab.rpc.messages import LogLines, LogTail

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from teleporter_lab.broker.assignments import Assignments
    from teleporter_lab.broker.documents import Documents
    from teleporter_lab.broker.events import Event, FanOut
    from teleporter_lab.broker.rebalance import Rebalance
    from teleporter_lab.broker.sessions import Session, Sessions

ONLINE = "ONLINE"
OFFLINE = "OFFLINE"


class Instances:
    """Views of instances, and what happens when one comes or goes."""

    def __init__(
        self,
        broker: str,
        runtime: Documents,
        sessions: Sessions,
        rebalance: Rebalance,
        events: FanOut[Event],
        now: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._runtime = runtime
        self._sessions = sessions
        self._rebalance = rebalance
        self._events = events
        self._now = now

    async def link(self, session: Session, ephemeral: bool) -> None:
        """An instance says that it is here. A second time, nothing changes."""
        if session.linked:
            return
        session.linked, session.ephemeral = True, ephemeral
        self._rebalance.came(session.instance)
        await self._record(session.instance, ONLINE, self._now())

    async def left(self, session: Session) -> None:
        """The connection of a linked instance ended."""
        session.linked = False
        self._rebalance.went(session.instance, session.ephemeral)
        if session.ephemeral:
            with suppress(NotFound):  # it never said how it is
                await self._runtime.delete(session.instance)
            self._events.publish({"type": "instance", "key": session.instance, "status": OFFLINE})
        else:
            await self._record(session.instance, OFFLINE, self._now())

    async def reported(self, session: Session, status: str, at: float) -> None:
        """An instance names its own status, like DRAINING."""
        await self._record(session.instance, status, at)

    async def all(self, configured: list[str], assignments: Assignments) -> list[dict[str, Any]]:
        """The views of those that are configured, were ever seen, or are here; by key."""
        records = {entry.key: entry.value for entry in await self._runtime.range("/instance/")}
        keys = sorted({*configured, *records, *self._sessions.online()})
        return [self._view(key, records.get(key, {}), assignments) for key in keys]

    async def follow_log(self, instance: str, lines: int) -> AsyncGenerator[list[str], None]:
        """The last `lines` lines of an instance's log, then the new ones as they come, until it leaves.

        Raises NotFound where it is not connected.
        """
        session = self._sessions.require(instance)
        try:
            with session.log.subscribe() as news:
                last = await self._sessions.request(instance, LogTail(instance, lines, follow=True))
                if isinstance(last, LogLines):
                    yield last.lines
                async for more in news:
                    yield more
        finally:
            if not len(session.log) and self._sessions.get(instance) is session:
                with suppress(Unreachable):  # it left while we said that nobody listens any more
                    await self._sessions.request(instance, LogTail(instance, 0, follow=False))

    async def _record(self, instance: str, status: str, at: float) -> None:
        self._events.publish({"type": "instance", "key": instance, "status": status})
        await self._runtime.write(instance, {"status": status, "at": at, "broker": self._broker})

    def _view(self, key: str, record: dict[str, Any], assignments: Assignments) -> dict[str, Any]:
        session = self._sessions.get(key)
        reported = record.get("status", OFFLINE)
        online = ONLINE if reported == OFFLINE else reported
        return {
            "key": key,
            "status": online if session else OFFLINE,
            "at": record.get("at"),
            "partitions": sorted(p for owned in assignments.owned(key).values() for p in owned),
            "ephemeral": bool(session and session.ephemeral),
        }


def instance_key(text: str) -> str:
    """The normal form of an instance's key. Raises InvalidKey for that of anything else."""
    key = Key.parse(text)
    if key.table is not Table.INSTANCE:
        raise InvalidKey(f"{text[:80]} is no instance: write /instance/ns/name.")
    return str(key)
