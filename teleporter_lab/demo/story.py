"""What the demo does, step by step, with real processes: a broker, an instance, a notebook's kernel.

Owns the order of events and what is remembered of each. Refuses to draw (`screen` does) and to judge the data
(`flights` does). Everything it starts it stops, by asking; the one process it kills is the instance, by its pid.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from teleporter_lab.blocking import BlockingClient
from teleporter_lab.client import Client
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.demo.flights import ROWS, Files, Verdict, compare, prepare
from teleporter_lab.errors import DaemonError, StreamError

if TYPE_CHECKING:
    from teleporter_lab.daemon.connection_file import Kind

STREAM = "/stream/demo/flights/load"
INSTANCE = "/instance/demo/one"
INSTANCE_NAME = "demo--one"
NOTEBOOK = "01_first_stream.ipynb"

PATIENCE = 120.0
"""Seconds the whole load may take."""

Progress = Callable[[str, int], None]
"""Told what happens now and how many records are written."""


@dataclass(frozen=True)
class Event:
    """One thing that happened: what, what it proved, and seconds since the beginning."""

    at: float
    what: str
    proof: str


@dataclass
class Story:
    """All that happened, and the outcome."""

    events: list[Event] = field(default_factory=list[Event])
    view: dict[str, Any] = field(default_factory=dict[str, Any])
    verdict: Verdict | None = None
    url: str = ""
    began: float = field(default_factory=time.monotonic)

    def note(self, what: str, proof: str) -> None:
        self.events.append(Event(time.monotonic() - self.began, what, proof))

    @property
    def balanced(self) -> bool:
        """Whether the ledger adds up to the rows of the file, with nothing in flight."""
        counts = self.view.get("counts", {})
        return counts.get("read") == counts.get("written") == ROWS and counts.get("in_flight") == 0


def notebook_path() -> Path:
    """The notebook: beside this module in an installation, in the repository's folder in a checkout."""
    packaged = Path(__file__).with_name(NOTEBOOK)
    return packaged if packaged.exists() else Path(__file__).parents[2] / "notebooks" / NOTEBOOK


def command(*arguments: str) -> None:
    """Runs `teleporter-lab ARGUMENTS`. Raises DaemonError with what it said when it fails."""
    argv = [sys.executable, "-m", "teleporter_lab", *arguments]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise DaemonError(f"`teleporter-lab {' '.join(arguments)}` failed: {said}")


def tell(progress: Progress) -> Story:
    """Runs the whole demo below `TELEPORTER_HOME`; the daemons run on. Raises what went wrong."""
    story = Story()
    files = prepare()
    Path(files.database).unlink(missing_ok=True)
    _start_daemons(story, progress)
    _run_notebook(story, progress)
    with BlockingClient(Client.find()) as client:
        story.url = str(client.url)
        _kill_at(ROWS // 3, story, client, progress)
        _change_at(ROWS * 2 // 3, story, client, progress)
        story.view = _wait(client, progress, "loading with version 2", lambda view: view["status"] == "COMPLETE")
    story.note("the stream came to the end of the file", _ledger(story.view["counts"]))
    _check(story, files, progress)
    return story


def end() -> None:
    """Stops the daemons of the demo, whichever of them live."""
    if _file("instance", INSTANCE_NAME) is not None:
        command("instance", "stop", "--key", INSTANCE)
    if _file("broker", "default") is not None:
        command("broker", "stop")


def _start_daemons(story: Story, progress: Progress) -> None:
    progress("starting a broker", 0)
    command("broker", "start", "--port", "0", "--rpc-port", "0")
    broker = _file("broker", "default")
    story.note("started a broker", f"{broker.url}, process {broker.pid}" if broker else "")
    progress("starting an instance", 0)
    command("instance", "start", "--key", INSTANCE)
    instance = _file("instance", INSTANCE_NAME)
    story.note("started an instance", f"{INSTANCE}, process {instance.pid}" if instance else "")


def _run_notebook(story: Story, progress: Progress) -> None:
    import nbformat
    from nbclient import NotebookClient

    progress(f"running {NOTEBOOK} in a kernel", 0)
    notebook = cast("Any", nbformat).read(notebook_path(), as_version=4)
    cast("Any", NotebookClient(notebook, timeout=60, kernel_name="python3")).execute()
    cells = sum(cell["cell_type"] == "code" for cell in notebook["cells"])
    story.note(f"ran {NOTEBOOK}, then ended its kernel", f"{cells} cells, one of them deployed the stream")


def _kill_at(written: int, story: Story, client: BlockingClient, progress: Progress) -> None:
    view = _wait(client, progress, "loading without the notebook", lambda view: view["counts"]["written"] >= written)
    instance = _file("instance", INSTANCE_NAME)
    if instance is None:
        raise DaemonError("The instance left no connection file.")
    os.kill(instance.pid, signal.SIGKILL)
    story.note("killed the instance with SIGKILL", f"after {view['counts']['written']:,} records")
    progress("starting the instance again", view["counts"]["written"])
    command("instance", "start", "--key", INSTANCE)
    view = _wait(client, progress, "waiting for the stream", lambda view: view["status"] == "RUNNING")
    story.note("started the instance again", "the stream went on where its position was committed")


def _change_at(written: int, story: Story, client: BlockingClient, progress: Progress) -> None:
    """Changes the template while records flow, and applies it."""
    _wait(client, progress, "loading on", lambda view: view["counts"]["written"] >= written)
    entry = client.get(STREAM, raw=True)
    value: dict[str, Any] = entry["value"]
    template = value["template"].replace('"version": 1', '"version": 2')
    client.save(STREAM, {**value, "template": template}, etag=entry["etag"])
    began = time.monotonic()
    answer = client.refresh(STREAM)
    if answer["problems"]:
        raise StreamError(f"The refresh was refused: {answer['problems']}")
    took = time.monotonic() - began
    story.note("changed the stream's code and refreshed it", f"drained, and running the new code after {took:.2f} s")


def _check(story: Story, files: Files, progress: Progress) -> None:
    progress("comparing the table with the file", ROWS)
    story.verdict = verdict = compare(files)
    by_version = ", ".join(f"{count:,} by version {number}" for number, count in sorted(verdict.versions.items()))
    proof = f"{verdict.rows:,} rows ({by_version}), {verdict.missing} missing, {verdict.wrong} wrong"
    story.note("compared every field of every row with the file", proof)


def _wait(
    client: BlockingClient, progress: Progress, what: str, until: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The stream's view once `until` holds. Raises StreamError when it fails or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        view: dict[str, Any] = client.streams(STREAM)[0]
        progress(what, view["counts"]["written"])
        if view["status"] == "FAILURE":
            raise StreamError(f"{STREAM} failed: {view['error']}")
        if until(view):
            return view
        time.sleep(0.05)
    raise StreamError(f"{STREAM} took longer than {PATIENCE:g} s, while {what}.")


def _ledger(counts: dict[str, int]) -> str:
    names = ("written", "filtered", "skipped", "dead_lettered", "in_flight")
    return f"read {counts['read']:,} = " + " + ".join(f"{counts[n]:,} {n.replace('_', ' ')}" for n in names)


def _file(kind: Kind, name: str) -> ConnectionFile | None:
    return ConnectionFile.read(kind, name)
