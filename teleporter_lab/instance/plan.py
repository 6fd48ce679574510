"""A stream made ready: its documents read and validated, its logic compiled, nothing opened yet.

Owns the order of those steps, so that a refresh can be refused while the old stream still runs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from teleporter_lab.config.nodes import SinkNode
from teleporter_lab.config.rules import EVERY_ACTION, PART_ACTIONS, Rules
from teleporter_lab.errors import InvalidConfig
from teleporter_lab.instance.documents import DocumentReader, StreamDocuments
from teleporter_lab.instance.letter_sinks import circles
from teleporter_lab.instance.logic import Logic, LogicCompiler, content_hash
from teleporter_lab.rpc.messages import LinkAddress, LinkVariable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from teleporter_lab.config.key import Key
    from teleporter_lab.connectors.base import Registry
    from teleporter_lab.engine.run import Runtime
    from teleporter_lab.instance.addresses import Addresses
    from teleporter_lab.instance.link import Link


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """What all streams of an instance share."""

    instance: str
    link: Link
    runtime: Runtime
    registry: Registry
    addresses: Addresses
    compiler: LogicCompiler


@dataclass(frozen=True)
class Plan:
    """Ready to run, as often as wanted."""

    documents: StreamDocuments
    logic: Logic
    hash: str
    """The content hash of the template."""
    rules: Rules
    """What to do when the stream fails, or one of its functions, or a source or sink whose rules say nothing."""
    parts: Mapping[Key, Rules]
    """What to do when one of its sources or sinks does."""

    @property
    def key(self) -> Key:
        return self.documents.key

    def same_as(self, other: Plan | None) -> bool:
        """Whether running it would make no difference."""
        return other is not None and (self.hash, self.documents) == (other.hash, other.documents)


async def prepare(services: Services, key: Key) -> Plan:
    """Reads, validates and compiles what stands at `key`, and tells the broker what it uses.

    Raises NotFound, InvalidConfig (all problems of all documents), TemplateError.
    """
    documents = await DocumentReader(services.link, services.registry).read(key)
    rules, parts = _rules(documents)
    if documents.stream.cron:
        log.warning("%s: cron is kept, but this version does not carry it out.", documents.key)
    source = documents.template
    logic = await services.runtime.threads.submit(services.compiler.load, source, str(key))
    for used in documents.keys:
        if used.startswith("/address/"):
            services.link.tell(LinkAddress(services.instance, used))
        elif used.startswith("/variable/"):
            services.link.tell(LinkVariable(services.instance, used))
    return Plan(documents, logic, content_hash(source), rules, parts)


def _rules(documents: StreamDocuments) -> tuple[Rules, dict[Key, Rules]]:
    """The rules of the stream, and of each of its sources and sinks, which were checked when they were read.

    Raises InvalidConfig where the dead letters of a sink would come back to it.
    """
    ends = dict([*documents.sources.values(), *documents.sinks.values(), *documents.letter_sinks.values()])
    problems = circles({str(key): (key, node) for key, node in ends.items() if isinstance(node, SinkNode)})
    if problems:
        raise InvalidConfig(f"The config of {documents.key} has mistakes.", tuple(problems))
    parts = {key: Rules.parse(node.error_rules, PART_ACTIONS) for key, node in ends.items()}
    return Rules.parse(documents.stream.error_rules, EVERY_ACTION), parts
