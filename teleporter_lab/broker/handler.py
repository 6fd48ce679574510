"""The RPC door: what an instance says, as verbs of the service.

Owns who may come in and the translation of messages; documents come and go as JSON text. Refuses to do anything itself,
and messages that only a broker may send.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from teleporter_lab.broker.instances import instance_key
from teleporter_lab.broker.sessions import Session
from teleporter_lab.broker.values import Entry, parse
from teleporter_lab.config.key import Key
from teleporter_lab.errors import ProtocolError, Unauthorized
from teleporter_lab.rpc import messages as m
from teleporter_lab.rpc.tokens import same_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from teleporter_lab.broker.documents import Documents
    from teleporter_lab.broker.service import Service
    from teleporter_lab.broker.tree import Tree
    from teleporter_lab.rpc.answers import Handler
    from teleporter_lab.rpc.peer import Peer

HEARTBEAT = 30.0
MOST = 10_000
"""Items of one page; more do not fit into a frame."""


class Door:
    """`authorize` and `accept` of the broker's RPC listener."""

    def __init__(self, service: Service, token: str) -> None:
        self._service = service
        self._token = token

    async def authorize(self, hello: m.Hello) -> m.Welcome:
        """Raises Unauthorized, InvalidKey, AlreadyRunning."""
        if not same_token(hello.token, self._token):
            raise Unauthorized("This token is not the broker's.")
        instance_key(hello.instance)
        self._service.sessions.admit(hello)
        return m.Welcome(self._service.broker, uuid.uuid4().hex, HEARTBEAT)

    async def accept(self, peer: Peer) -> Handler:
        """The handler of a new connection. Raises AlreadyRunning."""
        hello = peer.remote
        if not isinstance(hello, m.Hello):
            raise ProtocolError("Only an instance may dial a broker.")
        session = Session(hello, peer)
        replaced = self._service.sessions.add(session)
        self._service.background.start(self._watch(peer, session), f"session of {session.instance}")
        if replaced is not None:
            await self._service.leave(replaced)
            farewell = replaced.peer.close("replaced", "The instance connected anew.")
            self._service.background.start(farewell, f"farewell to {session.instance}")
        return Desk(self._service, session).answer

    async def _watch(self, peer: Peer, session: Session) -> None:
        await peer.wait_closed()
        self._service.sessions.remove(session)
        await self._service.leave(session)


class Desk:
    """Answers the messages of one session."""

    def __init__(self, service: Service, session: Session) -> None:
        self._service = service
        self._session = session
        self._verbs: dict[type[Any], Callable[[Any], Awaitable[m.Message]]] = {
            m.KVGet: self._get,
            m.RangeRegexKV: self._range,
            m.KVSave: self._save,
            m.AtomicSaveKV: self._swap,
            m.KVRemove: self._remove,
            m.PositionCommit: self._commit,
            m.PutAside: self._put_aside,
            m.LinkInstance: self._link,
            m.LinkAddress: self._link_address,
            m.LinkVariable: self._link_variable,
            m.InstanceState: self._instance_state,
            m.StreamState: self._stream_state,
            m.MetricsReport: self._metrics,
            m.LogLines: self._log_lines,
        }

    async def answer(self, message: m.Message) -> m.Message:
        """Raises what the verb raises, and ProtocolError for a message that is not an instance's to send."""
        verb = self._verbs.get(type(message))
        if verb is None:
            raise ProtocolError(f"A broker has no answer to {type(message).__name__}.")
        return await verb(message)

    def _table(self, table: m.Table) -> Tree | Documents:
        return self._service.tree if table == "config" else self._service.runtime

    async def _get(self, message: m.KVGet) -> m.Message:
        return _key_value(await self._table(message.table).get(message.key))

    async def _range(self, message: m.RangeRegexKV) -> m.Message:
        limit = min(max(message.limit, 0), MOST)
        found = await self._table(message.table).range(message.pattern, max(message.start, 0), limit)
        return m.KeyValues([_key_value(entry) for entry in found])

    async def _save(self, message: m.KVSave) -> m.Message:
        value = parse(message.value)
        if message.table == "config":
            return _key_value(await self._service.tree.save(message.key, value))
        return _key_value(await self._service.runtime.write(message.key, value))

    async def _swap(self, message: m.AtomicSaveKV) -> m.Message:
        expect = _optional(message.expect)
        await self._table(message.table).swap(message.key, expect, parse(message.update))
        return m.Done()

    async def _remove(self, message: m.KVRemove) -> m.Message:
        if message.table == "config":
            await self._service.tree.delete(message.key)
        else:
            await self._service.forget(message.key)
        return m.Done()

    async def _commit(self, message: m.PositionCommit) -> m.Message:
        update = parse(message.update)
        await self._service.commit(self._session, message.key, _optional(message.expect), update, message.epoch)
        return m.Done()

    async def _put_aside(self, message: m.PutAside) -> m.Message:
        await self._service.put_aside(self._session, message.stream, message.letters)
        return m.Done()

    async def _link(self, message: m.LinkInstance) -> m.Message:
        await self._service.instances.link(self._session, message.ephemeral)
        return m.Done()

    async def _link_address(self, message: m.LinkAddress) -> m.Message:
        self._session.uses.add(str(Key.parse(message.address)))
        return m.Done()

    async def _link_variable(self, message: m.LinkVariable) -> m.Message:
        self._session.uses.add(str(Key.parse(message.variable)))
        return m.Done()

    async def _instance_state(self, message: m.InstanceState) -> m.Message:
        await self._service.instances.reported(self._session, message.status, message.at)
        return m.Done()

    async def _stream_state(self, message: m.StreamState) -> m.Message:
        await self._service.streams.changed(self._session.instance, message)
        return m.Done()

    async def _metrics(self, message: m.MetricsReport) -> m.Message:
        self._service.streams.measured(self._session.instance, message.streams)
        return m.Done()

    async def _log_lines(self, message: m.LogLines) -> m.Message:
        self._session.log.publish(message.lines)
        return m.Done()


def _key_value(entry: Entry) -> m.KeyValue:
    return m.KeyValue(entry.key, entry.text)


def _optional(text: str | None) -> Any:
    return None if text is None else parse(text)
