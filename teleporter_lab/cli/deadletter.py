"""`teleporter-lab deadletter`: records that streams have put aside: list, show, edit, redrive, drop."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teleporter_lab.cli.options import AsJson, Broker, Limit, Start, Yes
from teleporter_lab.cli.session import ask
from teleporter_lab.cli.terminal import show, show_fields, show_rows
from teleporter_lab.errors import InvalidInput, StreamError

if TYPE_CHECKING:
    from teleporter_lab.client import Client

COLUMNS = ("id", "stream", "at", "place", "error", "tries", "edited", "excerpt")
COUNTS = ("stream", "kept", "redriven", "dropped", "expired")
REASONS = 10
"""Letters whose reason is printed; more are counted."""

app = typer.Typer(no_args_is_help=True, help="See, edit, redrive and drop records that were put aside.")

Stream = Annotated[str, typer.Argument(help="A stream's key, like /stream/ns/task/name.")]
Id = Annotated[str, typer.Argument(help="The id of a letter.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of letters; else say which by the options.")]
Place = Annotated[str, typer.Option(help="Part of the name of the place.")]
Error = Annotated[str, typer.Option(help="Part of the error's class or message.")]
Since = Annotated[str | None, typer.Option(help="Put aside then or later: 2026-11-25T10:00.")]
Until = Annotated[str | None, typer.Option(help="Put aside then or earlier.")]
All = Annotated[bool, typer.Option("--all", help="All letters of the stream.")]


@app.command("list")
def list_letters(
    pattern: Annotated[str, typer.Argument(help="A stream, or a tail regex over streams.")] = "/stream/",
    place: Place = "",
    error: Error = "",
    since: Since = None,
    until: Until = None,
    start: Start = 0,
    limit: Limit = 100,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """List dead letters, and how many each stream has and had."""
    which: dict[str, Any] = {"place": place, "error": error, "since": since, "until": until}
    found = ask(broker, lambda client: client.dead_letters(pattern, start, limit, **which))
    if as_json:
        show(found)
        return
    show_rows([_row(letter) for letter in found["letters"]], COLUMNS, as_json=False)
    show_rows([{"stream": stream} | counts for stream, counts in found["counts"].items()], COUNTS, as_json=False)
    if found["next"] is not None:
        typer.echo(f"There are more: add --start {found['next']}.")


@app.command("show")
def show_letter(stream: Stream, name: Id, as_json: AsJson = False, broker: Broker = None) -> None:
    """Show one letter with its record."""
    letter = ask(broker, lambda client: client.dead_letter(stream, name))
    if as_json:
        show(letter)
        return
    show_fields({field: value for field, value in _row(letter).items() if field != "record"}, as_json=False)
    show(letter["record"])


@app.command()
def edit(
    stream: Stream,
    name: Id,
    record: Annotated[str | None, typer.Argument(help="The record as JSON; `-` reads it from standard input.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read it from a file.", exists=True, dir_okay=False)
    ] = None,
    etag: Annotated[str | None, typer.Option("--etag", help="Only where the letter still has this tag.")] = None,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """Give a letter another record, in the form in which `show` prints it."""
    if (record is None) == (file is None):
        raise typer.BadParameter("Give the record either as an argument or with --file.")
    text = _read(file) if file else sys.stdin.read() if record == "-" else record or ""
    changed = _parse(text)
    letter = ask(broker, lambda client: client.edit_dead_letter(stream, name, changed, etag=etag))
    show(letter) if as_json else typer.echo(f"Edited {letter['id']}.")


@app.command()
def redrive(
    stream: Stream,
    ids: Ids = None,
    place: Place = "",
    error: Error = "",
    since: Since = None,
    until: Until = None,
    everything: All = False,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """Send letters through their stream again; what arrives is forgotten, the rest stays."""
    which: dict[str, Any] = {"place": place, "error": error, "since": since, "until": until}

    async def talk(client: Client) -> Any:
        total = len(ids) if ids else await _kept(client, stream) if everything else None
        with _bar(total) as advance:
            return await client.redrive(stream, ids or None, everything=everything, progress=advance, **which)

    done = ask(broker, talk)
    if as_json:
        show(done)
    else:
        typer.echo(f"{_letters(done['redriven'])} redriven.")
    _refuse(done["failed"])


@app.command()
def drop(
    stream: Stream,
    ids: Ids = None,
    place: Place = "",
    error: Error = "",
    since: Since = None,
    until: Until = None,
    everything: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """Throw letters away for good."""
    which: dict[str, Any] = {"place": place, "error": error, "since": since, "until": until}
    if not yes:
        typer.confirm("Their records are lost for good. Drop them?", abort=True, err=True)
    done = ask(broker, lambda client: client.drop_dead_letters(stream, ids or None, everything=everything, **which))
    if as_json:
        show(done)
        return
    typer.echo(f"{_letters(done['dropped'])} dropped.")
    if done["missing"]:
        typer.echo(f"Not there: {', '.join(done['missing'])}.")


async def _kept(client: Any, stream: str) -> int | None:
    counts = (await client.dead_letters(stream, limit=0))["counts"]
    return counts.get(stream, {}).get("kept")


@contextmanager
def _bar(total: int | None) -> Generator[Callable[[dict[str, Any]], None]]:
    """A progress bar on a terminal's error stream; it is called with each page of a redrive."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Redriving"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=total)
        yield lambda page: progress.advance(task, page["redriven"] + len(page["failed"]))


def _refuse(failed: list[dict[str, str]]) -> None:
    """End with an error where letters stayed, and say why."""
    if not failed:
        return
    lines = [f"  {each['id']}: {each['why']}" for each in failed[:REASONS]]
    if len(failed) > REASONS:
        lines.append(f"  and {len(failed) - REASONS:,} more")
    raise StreamError("\n".join([f"{_letters(len(failed))} not redriven:", *lines]))


def _letters(number: int) -> str:
    return "1 letter was" if number == 1 else f"{number:,} letters were"


def _row(letter: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = letter.get("error") or {}
    at = datetime.fromtimestamp(letter.get("at") or 0.0).astimezone().isoformat(" ", "seconds")
    return letter | {"at": at, "error": f"{error.get('type', '')}: {error.get('message', '')}"}


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}.") from error


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"The record is not JSON: {error}.") from error
