"""From a cell to a running stream: checked here, saved in the tree, given to an instance, watched until it runs.

Owns the steps of a deployment and what they say when one of them fails; nothing is saved before everything that can be
checked was. Refuses to parse a command line (`magics` does).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.tail_regex import TailRegex
from teleporter_lab.errors import InvalidConfig, InvalidKey, NotFound, Problem, StreamError, TemplateError
from teleporter_lab.instance.logic import LogicCompiler, content_hash
from teleporter_lab.lab.cells import undefined_names
from teleporter_lab.lab.placement import place

if TYPE_CHECKING:
    from teleporter_lab.blocking import BlockingClient

START_SECONDS = 10.0
"""How long a deployment waits to see its stream run."""

STEADY = frozenset({"RUNNING", "COMPLETE", "CRON_COMPLETE", "FAILURE", "STOPPED"})


@dataclass(frozen=True)
class Deployment:
    """What was deployed, under which content hash, and what had to be saved for it."""

    key: Key
    hash: str
    saved: list[str] = field(default_factory=list[str])
    view: dict[str, Any] = field(default_factory=dict[str, Any])
    dry_run: bool = False


def check_cell(source: str) -> None:
    """Raises TemplateError when the cell does not compile or does not stand alone. Runs nothing."""
    LogicCompiler().compile(source)
    if missing := undefined_names(source):
        names = ", ".join(f"`{name}`" for name in missing)
        raise TemplateError(f"The cell uses {names} without defining it; define or import it in this cell.")


def stream_view(client: BlockingClient, key: Key) -> dict[str, Any]:
    """The view of one stream. Raises NotFound."""
    views: list[dict[str, Any]] = client.streams(str(TailRegex.beginning(str(key))))
    view = next((view for view in views if view["key"] == str(key)), None)
    if view is None:
        raise NotFound(f"There is no stream at {key}; deploy one.")
    return view


class Deployer:
    """Deploys streams through one broker."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client

    def deploy(self, key: Key, source: str, target: Key | None, dry_run: bool = False) -> Deployment:
        """Checks, saves, places and refreshes; then waits until the stream runs.

        Raises TemplateError, InvalidConfig (all problems), Unreachable; StreamError when it was given to an instance
        and failed there. With `dry_run` nothing is saved and the deployment says what would be.
        """
        if key.table is not Table.STREAM:
            raise InvalidKey(f"{key} is no stream; deploy to /stream/<namespace>/<task>/<name>.")
        check_cell(source)
        documents = self._documents(key, source, target)
        self._validate(documents)
        digest = content_hash(source)
        if dry_run:
            return Deployment(key, digest, [str(k) for k in documents], dry_run=True)
        for document, value in documents.items():
            self._client.save(str(document), value)
        self._refresh([k for k in documents if k != key], key)
        return Deployment(key, digest, [str(k) for k in documents], self._settled(key))

    def _documents(self, key: Key, source: str, target: Key | None) -> dict[Key, dict[str, Any]]:
        stream = {**self._existing_stream(key), "template": source, "status": "NORMAL"}
        documents = {key: stream}
        if target is not None:
            documents |= place(key, target, self._structure(key))
        return documents

    def _existing_stream(self, key: Key) -> dict[str, Any]:
        try:
            return self._client.get(str(key), raw=True)["value"]
        except NotFound:
            return {}

    def _structure(self, key: Key) -> dict[Key, dict[str, Any]]:
        """Groups and instances of every namespace, the stream's task and its partitions."""
        below = "/".join(key.task.segments)
        beginnings = ("/group/", "/instance/", f"/task/{below}", f"/partition/{below}/")
        patterns = [str(TailRegex.beginning(text)) for text in beginnings]
        entries = [entry for pattern in patterns for entry in self._client.range(pattern, limit=10_000, raw=True)]
        return {Key.parse(entry["key"]): entry["value"] for entry in entries}

    def _validate(self, documents: dict[Key, dict[str, Any]]) -> None:
        problems: list[Problem] = []
        for key, value in documents.items():
            found = self._client.validate(str(key), value)
            problems += [Problem(f"{key}: {p['path']}" if p["path"] else str(key), p["message"]) for p in found]
        if problems:
            raise InvalidConfig("Nothing was deployed; the config has mistakes.", tuple(problems))

    def _refresh(self, structure: list[Key], key: Key) -> None:
        """Any part of the structure brings all of it into force."""
        groups = [k for k in structure if k.table is Table.GROUP]
        for part in groups or structure[:1]:
            self._client.refresh(str(part))
        answer = self._client.refresh(str(key))
        if answer["problems"]:
            problems = tuple(Problem(p["path"], p["message"]) for p in answer["problems"])
            raise InvalidConfig(f"{key} was saved, but its instance refused it; what ran before goes on.", problems)

    def _settled(self, key: Key) -> dict[str, Any]:
        """The stream's view once it runs; the last one seen when it takes longer. Raises StreamError when it failed."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            view = stream_view(self._client, key)
            if view["status"] == "FAILURE":
                raise StreamError(f"{key} was deployed and failed on {view['instance']}: {view['error']}")
            if view["status"] in STEADY or time.monotonic() > deadline or not view["instance"]:
                return view
            time.sleep(0.05)
