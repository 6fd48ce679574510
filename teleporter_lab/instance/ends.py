"""The sources and sinks of one run: from their config to what the stream's logic is given.

Owns the blueprints of readers and writers, what every one of them gets without being asked (rules, an ack window, a
commit loop, a kill switch), and the shared addresses they stand on. Refuses to run anything (`running` does).
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from teleporter_lab.config.block import parse_block
from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.stages.reading import read_from, read_from_blocking
from teleporter_lab.engine.stages.writing import write_to, write_to_blocking
from teleporter_lab.errors import ConnectorError
from teleporter_lab.instance.part_rules import PartRules
from teleporter_lab.instance.positions import Committed, Committer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from teleporter_lab.config.key import Key
    from teleporter_lab.config.nodes import AckConfig, SinkNode, SourceNode
    from teleporter_lab.connectors.base import Address, Spec
    from teleporter_lab.engine.graph import Sink, Source
    from teleporter_lab.engine.kill_switch import KillSwitch
    from teleporter_lab.instance.plan import Plan, Services


class Ends:
    """What one run of a stream reads from and writes to."""

    def __init__(self, plan: Plan, services: Services, epoch: Callable[[], int], switch: KillSwitch) -> None:
        self._plan = plan
        self._services = services
        self._epoch = epoch
        self._switch = switch
        self._addresses: dict[str, Address] = {}
        self._rules: dict[Key, PartRules] = {}
        self._columnar = False
        """The logic has asked for columns."""
        self.committers: dict[str, Committer] = {}
        """One for each source that the logic has asked for, by its name."""

    async def lease_addresses(self, stack: AsyncExitStack) -> None:
        """Takes the shared addresses of all ends; they are given back when `stack` is left."""
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

    def source(self, name: str, committed: Committed) -> Callable[[bool], Source[Any]]:
        """What makes the source `name`, by rows or by columns, just behind what was committed."""
        key, node = self._plan.documents.sources[name]
        rules = self._ruled(key)

        def make(columnar: bool) -> Source[Any]:
            source = self._read(name, node, committed, columnar).with_attributes(supervisor=rules)
            ack = self.ack(name)
            window = AckWindow(ack.cache_size, ack.channel_size)
            self.committers[name] = Committer(self._services.link, key, window, committed, self._epoch)
            return source.source_ack(window).kill_switch(self._switch)

        return make

    def _read(self, name: str, node: SourceNode, committed: Committed, columnar: bool) -> Source[Any]:
        registry = self._services.registry
        spec = registry.get(node.category).spec("source")
        self._columnar = self._columnar or columnar
        make = self._factory(spec, f"source/{name}", node)
        if columnar:
            make = self._by_columns(registry.columnar_source(node.category), spec, f"source/{name}", node)
        once = _MadeOnce(make)
        read = read_from_blocking if getattr(once.first, "blocking", spec.blocking) else read_from
        return read(f"{node.category}({name})", once, committed.position)

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
        rules = self._ruled(key)

        def make() -> Sink[Any, None]:
            spec = self._services.registry.get(node.category).spec("sink")
            client: Any = parse_block(spec.model, node.client, ("client",))
            once = _MadeOnce(self._factory(spec, f"sink/{name}", node))
            write = write_to_blocking if getattr(once.first, "blocking", spec.blocking) else write_to
            size = client.batch_of(self._columnar and spec.columnar is not None)
            return write(f"{node.category}({name})", once, size, client.batch_time).supervised_by(rules)

        return make

    def _factory(self, spec: Spec[Any], end: str, node: SourceNode | SinkNode) -> Callable[[], Any]:
        """What makes a fresh reader or writer."""
        client = parse_block(spec.model, node.client, ("client",))
        roller = parse_block(spec.roller, node.roller, ("roller",)) if spec.roller and node.roller else None
        return lambda: spec.made(client, self._addresses.get(end), roller)

    def _ruled(self, key: Key) -> PartRules:
        """The supervision of a source or sink, counted from the start of this run."""
        return self._rules.setdefault(key, PartRules(str(key), self._plan.parts[key]))

    @property
    def matched(self) -> dict[str, int]:
        """How many failures the rules of sources and sinks have matched in this run, by level."""
        return dict(sum((rules.matched for rules in self._rules.values()), Counter[str]()))

    def ack(self, name: str) -> AckConfig:
        """How the records of the source `name` are confirmed."""
        return self._plan.documents.sources[name][1].ack


class _MadeOnce:
    """A factory whose first product is made at once, as what it is like decides how it is driven."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.first = make()
        self._spare = [self.first]

    def __call__(self) -> Any:
        return self._spare.pop() if self._spare else self._make()
