"""A stream made ready: its documents read and validated, its logic compiled, nothing opened yet.

Owns the order of those steps, so that a refresh can be refused while the old stream still runs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from teleporter_lab.config.rules import PART_ACTIONS, STREAM_ACTIONS, Rules
from teleporter_lab.errors import InvalidConfig, InvalidInput, Problem
from teleporter_lab.instance.documents import DocumentReader, StreamDocuments
from teleporter_lab.instance.logic import Logic, LogicCompiler, content_hash
from teleporter_lab.rpc.messages import LinkAddress, LinkVariable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from teleporter_lab.config.key import Key
    from teleporter_lab.config.rules import Action
    from teleporter_lab.connectors.base import Registry
    from teleporter_lab.engine.run import Runtime
    from teleporter_lab.instance.addresses import Addresses
    from teleporter_lab.instance.link import Link


log = logging.getLogger(__name__)

PARTS = ("roller", "deadLetter")
"""Fields of sources and sinks that are not carried out yet."""


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
    """What to do when the stream fails."""
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
    for sentence in not_carried_out(documents):
        log.warning("%s", sentence)
    source = documents.template
    logic = await services.runtime.threads.submit(services.compiler.load, source, str(key))
    for used in documents.keys:
        if used.startswith("/address/"):
            services.link.tell(LinkAddress(services.instance, used))
        elif used.startswith("/variable/"):
            services.link.tell(LinkVariable(services.instance, used))
    return Plan(documents, logic, content_hash(source), rules, parts)


def not_carried_out(documents: StreamDocuments) -> list[str]:
    """A sentence for each field that is set and that this version keeps without acting on it: never in silence."""
    ends = [*documents.sources.values(), *documents.sinks.values()]
    found = [(documents.key, "cron")] if documents.stream.cron else []
    found += [(key, field) for key, node in ends for field in PARTS if node.document().get(field)]
    return [f"{key}: {field} is kept, but this version does not carry it out." for key, field in found]


def _rules(documents: StreamDocuments) -> tuple[Rules, dict[Key, Rules]]:
    """The rules of the stream, and of each of its sources and sinks. Raises InvalidConfig with all mistakes."""
    ends = dict([*documents.sources.values(), *documents.sinks.values()])
    problems: list[Problem] = []

    def parsed(key: Key, texts: list[str], allowed: tuple[Action, ...]) -> Rules:
        try:
            return Rules.parse(texts, allowed)
        except InvalidInput as error:
            problems.append(Problem(f"{key}: errorRules", error.message))
            return Rules()

    rules = parsed(documents.key, documents.stream.error_rules, STREAM_ACTIONS)
    parts = {key: parsed(key, node.error_rules, PART_ACTIONS) for key, node in ends.items()}
    if problems:
        raise InvalidConfig(f"The config of {documents.key} has mistakes.", tuple(problems))
    return rules, parts
