"""`teleporter-lab position`: where sources are; set, reset and rewind, each with a preview that asks first."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teleporter_lab.cli.options import AsJson, Broker, Limit, Start, Yes
from teleporter_lab.cli.session import ask
from teleporter_lab.cli.terminal import show, show_fields, show_rows
from teleporter_lab.errors import InvalidInput

if TYPE_CHECKING:
    from teleporter_lab.client import Client

COLUMNS = ("source", "position", "read", "written", "status", "instance", "at")
HISTORY = ("id", "at", "kind", "position", "read", "by", "message", "preview")

app = typer.Typer(no_args_is_help=True, help="See and change where sources are.")

Key = Annotated[str, typer.Argument(help="A source, like /source/ns/task/stream/name.")]
Restart = Annotated[bool, typer.Option(help="Stop the stream where it runs, and start it again.")]
Message = Annotated[str, typer.Option("--message", "-m", help="Why, for the history.")]


@app.command("list")
def list_positions(
    pattern: Annotated[str, typer.Argument(help="A tail regex over sources or streams.")] = "/source/",
    start: Start = 0,
    limit: Limit = 100,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """List the positions that are kept."""
    rows = ask(broker, lambda client: client.positions(pattern, start, limit))
    show_rows(rows if as_json else [_row(row) for row in rows], COLUMNS, as_json=as_json)


@app.command("show")
def show_position(key: Key, as_json: AsJson = False, broker: Broker = None) -> None:
    """Show one position with its ledger, and what its stream does."""
    found = ask(broker, lambda client: client.position(key))
    show_fields(found if as_json else _told(found), as_json=as_json)


@app.command()
def history(key: Key, start: Start = 0, limit: Limit = 20, as_json: AsJson = False, broker: Broker = None) -> None:
    """List what happened to a position, the newest first: changes, and a commit now and then."""
    entries = ask(broker, lambda client: client.position_history(key, start, limit))
    show_rows(entries if as_json else [_entry(entry) for entry in entries], HISTORY, as_json=as_json)


@app.command("set")
def set_to(
    key: Key,
    position: Annotated[str, typer.Argument(help="The position, as JSON.")],
    restart: Restart = False,
    message: Message = "",
    yes: Yes = False,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """Make a source go on from a position."""
    place = {"position": _parse(position)}
    how = {"restart": restart, "message": message}
    _change(broker, key, place, lambda c, tag: c.set_position(key, place["position"], etag=tag, **how), yes, as_json)


@app.command()
def reset(
    key: Key,
    restart: Restart = False,
    message: Message = "",
    yes: Yes = False,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """Make a source begin at its start."""
    how = {"restart": restart, "message": message}
    _change(broker, key, {"start": True}, lambda c, tag: c.reset_position(key, etag=tag, **how), yes, as_json)


@app.command()
def rewind(
    key: Key,
    position: Annotated[str | None, typer.Argument(help="A position, as JSON; else one of the options.")] = None,
    to: Annotated[
        str | None, typer.Option(help="Where it was then: 2026-11-25T10:00, local time or with a zone.")
    ] = None,
    records: Annotated[int | None, typer.Option(min=1, help="So many records back, or a few more.")] = None,
    entry: Annotated[str | None, typer.Option(help="An entry of the history, by its id.")] = None,
    restart: Restart = False,
    message: Message = "",
    yes: Yes = False,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """Make a source go on from a place of its history."""
    said = {"position": position, "to": to, "records": records, "entry": entry}
    place = {name: value for name, value in said.items() if value is not None}
    if len(place) != 1:
        raise typer.BadParameter("Say where to: a position, --to, --records or --entry.")
    if position is not None:
        place["position"] = _parse(position)
    how = {"restart": restart, "message": message}
    _change(broker, key, place, _rewinding(key, place, how), yes, as_json)


def _rewinding(key: str, place: dict[str, Any], how: dict[str, Any]) -> Callable[[Any, str], Awaitable[Any]]:
    def change(client: Any, tag: str) -> Awaitable[Any]:
        if "position" in place:
            return client.set_position(key, place["position"], etag=tag, **how)
        return client.rewind_position(key, etag=tag, **place, **how)

    return change


def _change(
    broker: str | None,
    key: str,
    place: dict[str, Any],
    change: Callable[[Any, str], Awaitable[Any]],
    yes: bool,
    as_json: bool,
) -> None:
    """Shows what it would do, asks, and does it to what was shown and to nothing else."""

    async def talk(client: Client) -> Any:
        seen = await client.preview_position(key, **place)
        if seen["entry"]:  # what was shown is meant, also when the history has grown meanwhile
            place.clear()
            place["entry"] = seen["entry"]
        typer.echo(_sentence(seen), err=True)
        if not yes:
            typer.confirm("Change it?", abort=True, err=True)
        return await change(client, seen["etag"])

    done = ask(broker, talk)
    show(done) if as_json else typer.echo(f"{done['source']} goes on from {_where(done['position'])}.")


def _sentence(seen: dict[str, Any]) -> str:
    runs = f" {seen['stream']} runs on {seen['instance']}." if seen["status"] == "RUNNING" else ""
    route = f"{seen['source']}: from {_where(seen['position'])} to {_where(seen['target'])}."
    return f"{route} {seen['preview']['text']}{runs}"


def _where(position: Any) -> str:
    return "its start" if position is None else json.dumps(position, ensure_ascii=False)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"The position is not JSON: {error}.") from error


def _row(row: dict[str, Any]) -> dict[str, Any]:
    counts: dict[str, Any] = row["ledger"] or {}
    return row | {"read": counts.get("read"), "written": counts.get("written"), "at": _time(row["at"])}


def _told(row: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in row.items() if value not in ("", None)}
    return said | {"position": _where(row["position"]), "at": _time(row["at"])}


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    preview: dict[str, Any] = entry.get("preview") or {}
    return entry | {"at": _time(entry["at"]), "preview": preview.get("text"), "position": _where(entry["position"])}


def _time(seconds: Any) -> str:
    """Local time, to the second."""
    if not isinstance(seconds, (int, float)):
        return ""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
