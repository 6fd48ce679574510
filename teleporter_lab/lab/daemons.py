"""Brokers and instances from a notebook: the command line, run for the cell.

Owns running the commands and showing what they answer. Refuses to know how a daemon is started (`cli` and `daemon` do),
so that a notebook and a terminal can never differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from teleporter_lab.errors import DaemonError, InvalidInput
from teleporter_lab.lab.views import Note, Table

COLUMNS = ("key", "name", "alive", "url", "pid", "started", "package")
"""What is shown of a daemon; its rows hold all of it."""

ACTIONS = ("start", "stop", "status", "list")

TIMEOUT = 90.0
"""Seconds a command may take: longer than a daemon may drain."""


def daemon_verb(kind: str, action: str, options: list[str]) -> Table | Note:
    """Runs `teleporter-lab KIND ACTION OPTIONS`; what it answers. Raises DaemonError with what it said.

    Starting one that runs already shows the one that runs.
    """
    if action not in ACTIONS:
        raise InvalidInput(f"There is no `{kind} {action}`; there are {', '.join(ACTIONS)}.")
    if action == "stop":
        return Note(_run(kind, action, *options).strip())
    if action == "start" and (found := _alive(kind, options)) is not None:
        return _table(f"{kind.capitalize()}, which ran already", [found])
    answer: Any = json.loads(_run(kind, action, *options, "--json"))
    return _table(f"{kind.capitalize()} {action}", answer if isinstance(answer, list) else [answer])


def _alive(kind: str, options: list[str]) -> dict[str, Any] | None:
    """The daemon that `options` name, when it answers."""
    named = options[: options.index("--broker")] if "--broker" in options else options
    done = _command(kind, "status", *named, "--json")
    return json.loads(done.stdout) if done.returncode == 0 else None


def _run(kind: str, action: str, *options: str) -> str:
    done = _command(kind, action, *options)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}")[-1000:]
        raise DaemonError(f"`teleporter-lab {kind} {action}` failed: {said}")
    return done.stdout


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "teleporter_lab", *arguments]
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DaemonError(f"`teleporter-lab {' '.join(arguments[:2])}` did not finish within {TIMEOUT:g} s.") from error


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    return Table(title, [column for column in COLUMNS if any(column in row for row in rows)], rows, "none.")
