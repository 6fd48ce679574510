"""`teleporter-lab streams`: what runs where, and the commands start, stop, restart, refresh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from teleporter_lab.cli.options import AsJson, Broker, Limit, Start
from teleporter_lab.cli.session import ask
from teleporter_lab.cli.terminal import show_fields, show_rows

app = typer.Typer(no_args_is_help=True, help="See and command streams.")

Key = Annotated[str, typer.Argument(help="A stream's key, like /stream/ns/task/name.")]
COLUMNS = ("key", "status", "wanted", "instance", "rate", "read", "written", "restarts", "error")
WRONG = ("dead_letters", "alarms")


@app.command("list")
def list_streams(
    pattern: Annotated[str, typer.Argument(help="A tail regex over stream keys.")] = "/stream/",
    start: Start = 0,
    limit: Limit = 100,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """List streams with status, instance and rates."""
    views = ask(broker, lambda client: client.streams(pattern, start, limit))
    show_rows(views if as_json else [_flat(view) for view in views], _columns(views), as_json=as_json)


@app.command()
def status(key: Key, as_json: AsJson = False, broker: Broker = None) -> None:
    """Show one stream."""
    view = ask(broker, lambda client: client.stream(key))
    show_fields(view if as_json else _flat(view), as_json=as_json)


@app.command()
def start(key: Key, as_json: AsJson = False, broker: Broker = None) -> None:
    """Start a stream, now and whenever an instance has it."""
    _command("start", key, as_json, broker)


@app.command()
def stop(key: Key, as_json: AsJson = False, broker: Broker = None) -> None:
    """Stop a stream, with a drain, until somebody starts it."""
    _command("stop", key, as_json, broker)


@app.command()
def restart(key: Key, as_json: AsJson = False, broker: Broker = None) -> None:
    """Stop a stream, with a drain, and start it."""
    _command("restart", key, as_json, broker)


@app.command()
def refresh(key: Key, as_json: AsJson = False, broker: Broker = None) -> None:
    """Apply a stream's saved config."""
    _command("refresh", key, as_json, broker)


def _command(command: str, key: str, as_json: bool, broker: str | None) -> None:
    view = ask(broker, lambda client: client.command(command, key))
    show_fields(view if as_json else _flat(view), as_json=as_json)


def _columns(views: list[dict[str, Any]]) -> list[str]:
    """Dead letters and alarms have a column where there are any."""
    wrong = [name for name in WRONG if any(view.get(name) for view in views)]
    return [*COLUMNS[:-1], *wrong, COLUMNS[-1]]


def _flat(view: Mapping[str, Any]) -> dict[str, Any]:
    """A view whose counts stand beside its other fields."""
    return {name: value for name, value in view.items() if name != "counts"} | view["counts"]
