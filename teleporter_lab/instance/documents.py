"""The config of one stream as an instance needs it: everything it stands on, validated, references resolved.

Owns reading and resolving. All mistakes of all documents come out at once, each with the key and the path it is at.
Secrets are resolved here and nowhere else, and live only in memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.nodes import (
    RESOLVED,
    AddressNode,
    Node,
    SinkNode,
    SourceNode,
    StreamNode,
    TaskNode,
    parse_node,
)
from teleporter_lab.config.resolve import references, resolve
from teleporter_lab.config.tail_regex import TailRegex
from teleporter_lab.errors import InvalidConfig, InvalidInput, NotFound, Problem
from teleporter_lab.instance.ownership import fields_of
from teleporter_lab.rpc.messages import KeyValue, KeyValues, KVGet, RangeRegexKV

if TYPE_CHECKING:
    from collections.abc import Mapping

    from teleporter_lab.connectors.base import Registry
    from teleporter_lab.instance.link import Link

log = logging.getLogger(__name__)

PAGE = 500
"""Documents asked for at a time."""


class ProcessSecrets:
    """`${env:NAME}` and `${file:/path}` as this process sees them."""

    def env(self, name: str) -> str | None:
        """None when it is not set."""
        return os.environ.get(name)

    def file(self, path: str) -> str | None:
        """The file's text; None when it cannot be read."""
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            log.warning("A secret cannot be read from %s: %s", path, error)
            return None


@dataclass(frozen=True)
class StreamDocuments:
    """One stream with all it refers to; names are those under the stream."""

    key: Key
    stream: StreamNode
    task: TaskNode | None
    sources: Mapping[str, tuple[Key, SourceNode]]
    sinks: Mapping[str, tuple[Key, SinkNode]]
    addresses: Mapping[str, AddressNode]
    """By key as text."""
    keys: frozenset[str]
    """Every key that was read: a change of one of them concerns this stream."""
    letter_sinks: Mapping[str, tuple[Key, SinkNode]] = field(default_factory=dict[str, "tuple[Key, SinkNode]"])
    """Where sinks send their dead letters, and where those sinks send theirs; by key as text."""

    @property
    def template(self) -> str:
        """The stream's source text, else its task's. Raises InvalidConfig when neither has one."""
        text = self.stream.template or (self.task.template if self.task else None)
        if not text:
            raise InvalidConfig(
                f"{self.key} has no template; write the stream's Python source into `template`, "
                f"or into that of {self.key.task}."
            )
        return text

    @property
    def arguments(self) -> dict[str, Any]:
        return {**((self.task.arguments if self.task else None) or {}), **(self.stream.arguments or {})}


async def read_all(link: Link, beginning: str) -> dict[Key, Any]:
    """Every config document whose key begins with `beginning`, parsed as JSON."""
    pattern = str(TailRegex.beginning(beginning))
    found: dict[Key, Any] = {}
    while True:
        answer = cast("KeyValues", await link.request(RangeRegexKV("config", pattern, len(found), PAGE)))
        for item in answer.items:
            found[Key.parse(item.key)] = json.loads(item.value)
        if len(answer.items) < PAGE:
            return found


async def read_one(link: Link, key: str) -> Any:
    """One config document, None when there is none."""
    try:
        answer = cast("KeyValue", await link.request(KVGet("config", key)))
    except NotFound:
        return None
    return json.loads(answer.value)


class DocumentReader:
    """Reads what one stream needs. Use once."""

    def __init__(self, link: Link, registry: Registry) -> None:
        self._link = link
        self._registry = registry
        self._secrets = ProcessSecrets()
        self._variables: dict[str, Mapping[str, Any]] = {}
        self._keys: set[str] = set()
        self._problems: list[Problem] = []

    async def read(self, key: Key) -> StreamDocuments:
        """Everything `key` stands on. Raises NotFound, and InvalidConfig with the problems of all documents."""
        raw = await read_one(self._link, str(key))
        if raw is None:
            raise NotFound(f"There is no stream at {key}; save one there.")
        self._keys.add(str(key))
        raw_task = await read_one(self._link, str(key.task))
        below = "/".join(key.segments)
        sources = await read_all(self._link, f"/source/{below}/")
        sinks = await read_all(self._link, f"/sink/{below}/")
        stream = await self._node(key, raw, self._extra_keys(raw_task))
        extra = {**self._extra_keys(raw_task), **self._extra_keys(raw)}
        task = await self._node(key.task, raw_task, {}) if raw_task is not None else None
        source_nodes = {k: await self._node(k, value, extra) for k, value in sources.items()}
        sink_nodes = {k: await self._node(k, value, extra) for k, value in sinks.items()}
        letters = await self._letter_sinks(sink_nodes, sinks)
        documents = StreamDocuments(
            key,
            cast("StreamNode", stream),
            cast("TaskNode | None", task),
            cast("Any", {k.name: (k, node) for k, node in source_nodes.items()}),
            cast("Any", {k.name: (k, node) for k, node in sink_nodes.items()}),
            await self._addresses([*sources.items(), *sinks.items()]),
            frozenset(self._keys),
            cast("Any", letters),
        )
        if self._problems:
            raise InvalidConfig(f"The config of {key} has mistakes.", tuple(self._problems))
        return documents

    def _extra_keys(self, raw: Any) -> dict[str, str]:
        named = fields_of(fields_of(raw).get("extraKeys"))
        return {name: key for name, key in named.items() if isinstance(key, str)}

    async def _letter_sinks(self, nodes: dict[Key, Node | None], raw: dict[Key, Any]) -> dict[str, tuple[Key, Node]]:
        """The sinks that take dead letters of `nodes`, and of each other. Those of other streams are added to `raw`."""
        found: dict[str, tuple[Key, Node]] = {}
        asking = list(nodes.items())
        while asking:
            of, node = asking.pop()
            named = getattr(node, "dead_letter", None)
            if named is None or named in found:
                continue
            to = Key.parse(named)
            if to not in nodes:
                raw[to] = await read_one(self._link, named)
                if raw[to] is None:
                    self._problems.append(Problem(f"{of}: deadLetter", f"There is no sink at {named}; save one."))
                    continue
                nodes[to] = await self._node(to, raw[to], await self._extra_keys_above(to))
            onward = nodes[to]
            if onward is not None:
                found[named] = (to, onward)
                asking.append((to, onward))
        return found

    async def _extra_keys_above(self, end: Key) -> dict[str, str]:
        """Those that the stream and the task of a source or sink give it."""
        given = [await read_one(self._link, str(key)) for key in (end.task, end.stream)]
        return {name: key for raw in given for name, key in self._extra_keys(raw).items()}

    async def _addresses(self, ends: list[tuple[Key, Any]]) -> dict[str, AddressNode]:
        addresses: dict[str, AddressNode] = {}
        for end, value in ends:
            named = fields_of(fields_of(value).get("address")).get("key")
            if not isinstance(named, str) or named in addresses:
                continue
            raw = await read_one(self._link, named)
            if raw is None:
                self._problems.append(Problem(f"{end}: address.key", f"There is no address at {named}; save one."))
                continue
            node = await self._node(Key.parse(named), raw, {})
            if node is not None:
                addresses[named] = cast("AddressNode", node)
        return addresses

    async def _node(self, key: Key, raw: Any, extra: Mapping[str, str]) -> Node | None:
        """The validated node; None after its problems were noted."""
        self._keys.add(str(key))
        extra = {**extra, **self._extra_keys(raw)}
        try:
            await self._read_variables({field: fields_of(raw).get(field) for field in RESOLVED}, extra)
            return parse_node(key, await asyncio.to_thread(self._resolved, raw, extra), self._models)
        except InvalidInput as error:
            problems = error.problems or (Problem("", error.message),)
            self._problems += [Problem(f"{key}: {p.path}" if p.path else str(key), p.message) for p in problems]
            return None

    def _resolved(self, raw: Any, extra: Mapping[str, str]) -> Any:
        if not isinstance(raw, dict):
            return raw
        value = cast("dict[str, Any]", raw)
        given = {field: value[field] for field in RESOLVED if field in value}
        return {**value, **cast("dict[str, Any]", resolve(given, self._variables, extra, self._secrets))}

    async def _read_variables(self, value: Any, extra: Mapping[str, str]) -> None:
        """Reads the variables that `value` refers to, and those that they refer to in turn."""
        waiting = {str(key) for key in references(value, extra)}
        waiting |= {key for key in extra.values() if key.startswith(f"/{Table.VARIABLE}/")}
        seen: set[str] = set()
        while waiting := waiting - seen:
            key = waiting.pop()
            seen.add(key)
            if key not in self._keys:
                self._keys.add(key)
                variable = await read_one(self._link, key)
                if variable is not None:
                    self._variables[key] = fields_of(fields_of(variable).get("arguments"))
            waiting |= {str(further) for further in references(cast("Any", self._variables.get(key, {})), extra)}

    def _models(self, table: Table, category: str) -> Any:
        return self._registry.block_models(str(table), category)
