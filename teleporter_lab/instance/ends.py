"""The sources and sinks of one run: from their config to what the stream's logic is given.

Owns the blueprints of readers and writers, what every one of them gets without being asked (rules, an ack window, a
commit loop, a kill switch), and the shared addresses they stand on. Refuses to run anything (`running` does).
"""

from __future__ import annotations

import json
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from teleporter_lab.config.block import parse_block
from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.endpoints import Committing
from teleporter_lab.engine.stages.reading import read_from, read_from_blocking
from teleporter_lab.engine.stages.writing import write_to, write_to_blocking
from teleporter_lab.errors import ConnectorError, LogicError
from teleporter_lab.instance.aside import Aside
from teleporter_lab.instance.beginning import Beginning
from teleporter_lab.instance.committer import Committer
from teleporter_lab.instance.exactly import ExactlyOnce
from teleporter_lab.instance.letter_sinks import LetterSinks
from teleporter_lab.instance.part_rules import PartRules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from contextlib import AsyncExitStack

    from teleporter_lab.config.key import Key
    from teleporter_lab.config.nodes import AckConfig, SinkNode, SourceNode
    from teleporter_lab.config.rules import Rules
    from teleporter_lab.connectors.base import Address, Spec
    from teleporter_lab.engine.graph import Sink, Source
    from teleporter_lab.engine.kill_switch import KillSwitch
    from teleporter_lab.engine.marked_storing import Marks
    from teleporter_lab.engine.supervision import Supervisor
    from teleporter_lab.instance.plan import Plan, Services
    from teleporter_lab.instance.positions import Committed
    from teleporter_lab.instance.stream_rules import StreamRules


class Ends:
    """What one run of a stream reads from and writes to."""

    def __init__(
        self, plan: Plan, services: Services, epoch: Callable[[], int], switch: KillSwitch, rules: StreamRules
    ) -> None:
        self._plan = plan
        self._services = services
        self._epoch = epoch
        self._switch = switch
        self._stream_rules = rules
        self._addresses: dict[str, Address] = {}
        self._rules: dict[Key, PartRules] = {}
        self._columnar = False
        """The logic has asked for columns."""
        self._exactly: ExactlyOnce | None = None
        """The sink that keeps the position, where one does."""
        self._sinks_made = 0
        self.committers: dict[str, Committer] = {}
        """One for each source that the logic has asked for, by its name."""
        stream, link, runtime = str(plan.key), services.link, services.runtime
        names = {f"{node.category}({name})": str(key) for name, (key, node) in plan.documents.sources.items()}
        self.aside = Aside(stream, link, runtime.clock, names)
        """The place of all dead letters that have no other."""
        self._letter_sinks = LetterSinks(stream, runtime, self._letter_sink, self.aside)

    async def open(self, stack: AsyncExitStack) -> None:
        """Takes the shared addresses of all ends, and opens the places for dead letters, until `stack` is left."""
        documents = self._plan.documents
        ends: list[tuple[str, tuple[Key, SourceNode | SinkNode]]] = [
            *((f"source/{name}", end) for name, end in documents.sources.items()),
            *((f"sink/{name}", end) for name, end in documents.sinks.items()),
            *((f"letters{key}", end) for key, end in documents.letter_sinks.items()),
        ]
        for end, (_, node) in ends:
            if node.address.key:
                self._addresses[end] = await self._lease(stack, node.address.key, node.address.bind)
        await stack.enter_async_context(self.aside)
        await stack.enter_async_context(self._letter_sinks)

    async def _lease(self, stack: AsyncExitStack, key: str, bind: str | None) -> Address:
        node = self._plan.documents.addresses[key]
        spec = self._services.registry.get(node.category).spec("address")
        client = parse_block(spec.model, node.client, ("client",))
        name = (bind or key, json.dumps([node.category, node.client], sort_keys=True, default=str))
        address = await self._services.addresses.lease(name, lambda: spec.make(client, None))
        stack.push_async_callback(self._services.addresses.release, name)
        return address

    async def begin(self, positions: Mapping[str, Committed]) -> Mapping[str, Committed]:
        """Where the sources begin: at `positions`, unless their sink or their system has come further.

        Raises LogicError when several sinks keep positions, and what one cannot say it with.
        """
        self._exactly = self._keeping_sink()
        beginning = Beginning(self._services.runtime, self._exactly, self._ruled)
        sources = self._plan.documents.sources.items()
        return {
            name: await beginning.of(name, key, positions[name], self._noted(name, node))
            for name, (key, node) in sources
        }

    def _noted(self, name: str, node: SourceNode) -> Callable[[], Awaitable[Iterable[str]]] | None:
        """What asks the system of a source for its notes, where it keeps any."""
        spec = self._services.registry.get(node.category).spec("source")
        if spec.noted is None:
            return None
        client = parse_block(spec.model, node.client, ("client",))
        return partial(spec.noted, client, self._addresses.get(f"source/{name}"))

    def _keeping_sink(self) -> ExactlyOnce | None:
        found: ExactlyOnce | None = None
        for name, (key, node) in self._plan.documents.sinks.items():
            spec = self._services.registry.get(node.category).spec("sink")
            if not getattr(parse_block(spec.model, node.client, ("client",)), "exactly_once", False):
                continue
            if found is not None:
                raise LogicError(f"{found.key} and {key} say exactlyOnce: only one sink can keep the position.")
            found = ExactlyOnce(key, spec, self._factory(spec, f"sink/{name}", node))
        return found

    def source(self, name: str, committed: Committed) -> Callable[[bool], Source[Any]]:
        """What makes the source `name`, by rows or by columns, just behind what was committed."""
        key, node = self._plan.documents.sources[name]
        rules = self._ruled(key)

        def make(columnar: bool) -> Source[Any]:
            once = self._reader(name, node, columnar)
            exactly, ack = self._exactly, self.ack(name)
            if exactly is not None:
                exactly.check(name, node, once.first)
            told = None if exactly is not None and exactly.by_server else lambda: once.last
            window = AckWindow(ack.cache_size, ack.channel_size)
            committer = Committer(self._services.link, key, window, committed, self._epoch, told)
            self.committers[name] = committer
            once.each = partial(_settled_by, committer)
            age = ack.max_age if exactly is None else inf
            acked = self._read(name, node, committed, once).source_ack(window, age, ack.max_deliveries)
            return acked.with_attributes(supervisor=rules).kill_switch(self._switch)

        return make

    def _reader(self, name: str, node: SourceNode, columnar: bool) -> MadeOnce:
        self._columnar = self._columnar or columnar
        registry = self._services.registry
        spec = registry.get(node.category).spec("source")
        if columnar:
            return MadeOnce(self._by_columns(registry.columnar_source(node.category), spec, f"source/{name}", node))
        return MadeOnce(self._factory(spec, f"source/{name}", node))

    def _read(self, name: str, node: SourceNode, committed: Committed, once: MadeOnce) -> Source[Any]:
        spec = self._services.registry.get(node.category).spec("source")
        read = read_from_blocking if getattr(once.first, "blocking", spec.blocking) else read_from
        by_system = isinstance(once.first, Committing) and not committed.fresh
        return read(f"{node.category}({name})", once, None if by_system else committed.position)

    def _by_columns(
        self, make: Callable[[Any, Any], Any], spec: Spec[Any], end: str, node: SourceNode
    ) -> Callable[[], Any]:
        if node.roller:
            raise ConnectorError(f"A {node.category} source with a roller gives rows: leave out columnar=True.")
        client = parse_block(spec.model, node.client, ("client",))
        return lambda: make(client, self._addresses.get(end))

    def sink(self, name: str) -> Callable[[], Sink[Any, None]]:
        """What makes the sink `name`."""
        key, node = self._plan.documents.sinks[name]

        def make() -> Sink[Any, None]:
            self._sinks_made += 1
            return self._write(f"sink/{name}", key, node)

        return make

    def _letter_sink(self, key: str) -> Sink[Any, None]:
        """The sink for dead letters that stands at `key`."""
        return self._write(f"letters{key}", *self._plan.documents.letter_sinks[key])

    def _write(self, end: str, key: Key, node: SinkNode) -> Sink[Any, None]:
        spec = self._services.registry.get(node.category).spec("sink")
        client: Any = parse_block(spec.model, node.client, ("client",))
        size = client.batch_of(self._columnar and spec.columnar is not None)
        shown, make = f"{node.category}({key.name})", self._factory(spec, end, node)
        if self._exactly is not None and self._exactly.key == key:
            sink = self._exactly.sink(shown, make, (size, client.batch_time), self._marks)
        else:
            once = MadeOnce(make)
            write = write_to_blocking if getattr(once.first, "blocking", spec.blocking) else write_to
            sink = write(shown, once, size, client.batch_time)
        to = node.dead_letter
        letters = self._letter_sinks.place(str(key), to) if to else self.aside.of(str(key))
        return sink.supervised_by(self._ruled(key), letters)

    def check(self) -> None:
        """The logic has asked for all it uses. Raises LogicError where it uses no sink that keeps the position."""
        if self._exactly is not None:
            self._exactly.check_used()

    def _marks(self) -> Marks:
        """What is kept with each batch of the sink that keeps the position. Raises LogicError beside another sink."""
        assert self._exactly is not None
        if self._sinks_made != 1:
            raise LogicError(f"{self._exactly.key} is exactly once in a stream with one sink, which is used once.")
        sources = {name: key for name, (key, _) in self._plan.documents.sources.items()}
        return self._exactly.marks(self.committers, sources)

    def _factory(self, spec: Spec[Any], end: str, node: SourceNode | SinkNode) -> Callable[[], Any]:
        """What makes a fresh reader or writer."""
        client = parse_block(spec.model, node.client, ("client",))
        roller = parse_block(spec.roller, node.roller, ("roller",)) if spec.roller and node.roller else None
        return lambda: spec.made(client, self._addresses.get(end), roller)

    def _ruled(self, key: Key) -> PartRules:
        """The supervision of a source or sink, counted from the start of this run."""
        return self._rules.setdefault(key, PartRules(str(key), self._plan.parts[key], self._stream_rules))

    def flow_rules(self, rules: Rules) -> Supervisor:
        """The supervision of a flow that the stream's code gives rules of its own."""
        return PartRules(f"{self._plan.key}: s.rules", rules, self._stream_rules)

    def ack(self, name: str) -> AckConfig:
        """How the records of the source `name` are confirmed."""
        return self._plan.documents.sources[name][1].ack


class MadeOnce:
    """A factory whose first product is made at once, as what it is like decides how it is driven."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.first = make()
        self.last = self.first
        """The product that is in use."""
        self.each: Callable[[Any], None] | None = None
        """Called with each product before it is used."""
        self._spare = [self.first]

    def __call__(self) -> Any:
        self.last = self._spare.pop() if self._spare else self._make()
        if self.each is not None:
            self.each(self.last)
        return self.last


def _settled_by(committer: Committer, reader: Any) -> None:
    """A reader whose system keeps the position asks before it gives records away."""
    if isinstance(reader, Committing):
        reader.settle = committer.settled
