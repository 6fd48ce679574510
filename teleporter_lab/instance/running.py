"""One run of a stream: from its plan to open readers and writers, and back to nothing.

Owns what a run needs and lets all of it go at its end: leased addresses, ack windows, commit loops. What the engine
does not add by itself is added here: a position and a window for each source, a kill switch below it. Refuses to
restart (`runner` does).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from teleporter_lab.config.block import parse_block
from teleporter_lab.engine.ack import AckWindow, Ledger
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.engine.stages.reading import read_from, read_from_blocking
from teleporter_lab.engine.stages.writing import write_to, write_to_blocking
from teleporter_lab.errors import TeleporterError
from teleporter_lab.instance.context import StreamContext
from teleporter_lab.instance.logic import build_graph
from teleporter_lab.instance.part_rules import PartRules
from teleporter_lab.instance.positions import Committed, Committer, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.config.key import Key
    from teleporter_lab.config.nodes import AckConfig, SinkNode, SourceNode
    from teleporter_lab.connectors.base import Address
    from teleporter_lab.engine.graph import RunnableGraph, Sink, Source
    from teleporter_lab.instance.plan import Plan, Services


log = logging.getLogger(__name__)

LAST_COMMIT_SECONDS = 5.0
"""How long a run that failed or was stopped hard may take to commit what was confirmed."""


class Running:
    """One run. `run` works to the end of the stream; `shutdown` asks it to end."""

    def __init__(self, plan: Plan, services: Services, epoch: Callable[[], int]) -> None:
        self._plan = plan
        self._services = services
        self._epoch = epoch
        self._switch = KillSwitch()
        self._addresses: dict[str, Address] = {}
        self._committers: dict[str, Committer] = {}
        self._part_rules: dict[Key, PartRules] = {}
        self._columnar = False
        """The logic has asked for columns."""
        self.stopped = asyncio.Event()
        """Set when the run was asked to end."""

    @property
    def stopping(self) -> bool:
        return self.stopped.is_set()

    @property
    def advanced(self) -> bool:
        """Whether this run has committed a position."""
        return any(committer.commits for committer in self._committers.values())

    def shutdown(self) -> None:
        """Stops reading; what was read still goes to the sinks and is committed."""
        self.stopped.set()
        self._switch.shutdown()

    def ledger(self) -> Ledger:
        """The sum over the stream's sources, earlier runs included."""
        whole = Ledger()
        for committer in self._committers.values():
            whole.add(committer.ledger())
        return whole

    async def run(self) -> None:
        """Runs until the source ends or `shutdown` was called and everything drained; then commits and closes.

        Raises what the stream failed with. Cancelling it stops hard: only the confirmed prefix is committed.
        """
        async with AsyncExitStack() as stack:
            await self._lease_addresses(stack)
            positions = {
                name: await load(self._services.link, key) for name, (key, _) in self._plan.documents.sources.items()
            }
            graph = await self._services.runtime.threads.submit(self._graph, positions)
            await self._drive(graph)

    async def _drive(self, graph: RunnableGraph[Any]) -> None:
        clock = self._services.runtime.clock
        commits = [
            asyncio.create_task(committer.keep_committing(clock, self._ack(name).commit_interval))
            for name, committer in self._committers.items()
        ]
        stream = asyncio.create_task(graph.run(self._services.runtime), name=str(self._plan.key))
        try:
            await asyncio.wait([stream, *commits], return_when=asyncio.FIRST_COMPLETED)
            refused = next((commit for commit in commits if commit.done()), None)
            if refused is not None:
                await refused
            await stream
            await _end(*commits)
            for committer in self._committers.values():
                await committer.finish(clock)
        except BaseException:
            await _end(stream, *commits)
            await self._commit_rest()
            raise

    async def _commit_rest(self) -> None:
        """After a failure: commits what was confirmed; if that fails too, the first failure is the one that counts."""
        try:
            async with asyncio.timeout(LAST_COMMIT_SECONDS):
                for committer in self._committers.values():
                    await committer.commit()
        except (TeleporterError, TimeoutError) as error:
            why = error if isinstance(error, TeleporterError) else "the broker did not answer in time"
            log.warning("%s: the last position was not committed: %s", self._plan.key, why)

    def _graph(self, positions: dict[str, Committed]) -> RunnableGraph[Any]:
        documents = self._plan.documents
        context = StreamContext(
            documents.key,
            documents.arguments,
            {name: self._source_maker(name, positions[name]) for name in documents.sources},
            {name: self._sink_maker(name) for name in documents.sinks},
        )
        graph = build_graph(self._plan.logic, context, str(documents.key))
        return graph if context.used else graph.stopped_by(self._switch)

    def _source_maker(self, name: str, committed: Committed) -> Callable[[bool], Source[Any]]:
        key, node = self._plan.documents.sources[name]
        rules = self._ruled(key)

        def make(columnar: bool) -> Source[Any]:
            source = self._read(name, node, committed, columnar).with_attributes(supervisor=rules)
            ack = self._ack(name)
            window = AckWindow(ack.cache_size, ack.channel_size)
            self._committers[name] = Committer(self._services.link, key, window, committed, self._epoch)
            return source.source_ack(window).kill_switch(self._switch)

        return make

    def _read(self, name: str, node: SourceNode, committed: Committed, columnar: bool) -> Source[Any]:
        registry = self._services.registry
        spec = registry.get(node.category).spec("source")
        make = registry.columnar_source(node.category) if columnar else spec.make
        self._columnar = self._columnar or columnar
        client = parse_block(spec.model, node.client, ("client",))
        address = self._addresses.get(f"source/{name}")
        read = read_from_blocking if spec.blocking else read_from
        return read(f"{node.category}({name})", lambda: make(client, address), committed.position)

    def _sink_maker(self, name: str) -> Callable[[], Sink[Any, None]]:
        key, node = self._plan.documents.sinks[name]
        rules = self._ruled(key)

        def make() -> Sink[Any, None]:
            spec = self._services.registry.get(node.category).spec("sink")
            client: Any = parse_block(spec.model, node.client, ("client",))
            address = self._addresses.get(f"sink/{name}")
            write = write_to_blocking if spec.blocking else write_to
            size = client.batch_of(self._columnar and spec.columnar is not None)
            sink = write(f"{node.category}({name})", lambda: spec.make(client, address), size, client.batch_time)
            return sink.supervised_by(rules)

        return make

    def _ruled(self, key: Key) -> PartRules:
        """The supervision of a source or sink, counted from the start of this run."""
        return self._part_rules.setdefault(key, PartRules(str(key), self._plan.parts[key]))

    @property
    def matched(self) -> dict[str, int]:
        """How many failures the rules of sources and sinks have matched in this run, by level."""
        return dict(sum((rules.matched for rules in self._part_rules.values()), Counter[str]()))

    def _ack(self, name: str) -> AckConfig:
        return self._plan.documents.sources[name][1].ack

    async def _lease_addresses(self, stack: AsyncExitStack) -> None:
        documents = self._plan.documents
        ends: list[tuple[str, tuple[Key, SourceNode | SinkNode]]] = [
            *((f"source/{name}", end) for name, end in documents.sources.items()),
            *((f"sink/{name}", end) for name, end in documents.sinks.items()),
        ]
        for end, (_, node) in ends:
            if node.address.key:
                self._addresses[end] = await self._lease(stack, node.address.key, node.address.bind)

    async def _lease(self, stack: AsyncExitStack, key: str, bind: str | None) -> Address:
        node = self._plan.documents.addresses[key]
        spec = self._services.registry.get(node.category).spec("address")
        client = parse_block(spec.model, node.client, ("client",))
        name = (bind or key, json.dumps([node.category, node.client], sort_keys=True, default=str))
        address = await self._services.addresses.lease(name, lambda: spec.make(client, None))
        stack.push_async_callback(self._services.addresses.release, name)
        return address


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
