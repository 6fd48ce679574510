"""`teleporter-lab config`: read, search, save, delete and apply the config tree."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from teleporter_lab.cli.options import AsJson, Broker, Limit, Start
from teleporter_lab.cli.session import ask
from teleporter_lab.cli.terminal import show, show_rows
from teleporter_lab.errors import InvalidConfig, InvalidInput, Problem

app = typer.Typer(no_args_is_help=True, help="Read and change the config tree.")

Key = Annotated[str, typer.Argument(help="A key, like /stream/ns/task/name.")]
Raw = Annotated[bool, typer.Option(help="Show references to secrets as they are written.")]
Tag = Annotated[str | None, typer.Option("--etag", help="Only where the value still has this tag.")]


@app.command()
def get(key: Key, raw: Raw = False, as_json: AsJson = False, broker: Broker = None) -> None:
    """Print the value under a key; with --json also its tag."""
    entry = ask(broker, lambda client: client.get(key, raw=raw))
    show(entry if as_json else entry["value"])


@app.command("range")
def page(
    pattern: Annotated[str, typer.Argument(help="A tail regex, like /stream/ns/task/orders.*")],
    start: Start = 0,
    limit: Limit = 100,
    raw: Raw = False,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """List the keys that match, sorted, with their values."""
    entries = ask(broker, lambda client: client.range(pattern, start, limit, raw=raw))
    show_rows(entries, ("key", "value"), as_json=as_json)


@app.command()
def put(
    key: Key,
    value: Annotated[str | None, typer.Argument(help="The value as JSON; `-` reads it from standard input.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read it from a JSON or YAML file.", exists=True, dir_okay=False)
    ] = None,
    etag: Tag = None,
    as_json: AsJson = False,
    broker: Broker = None,
) -> None:
    """Save a value. It is applied by `refresh`, not before."""
    if (value is None) == (file is None):
        raise typer.BadParameter("Give the value either as an argument or with --file.")
    document = _read_file(file) if file else _parse(sys.stdin.read() if value == "-" else value or "")
    entry = ask(broker, lambda client: client.save(key, document, etag=etag))
    show(entry) if as_json else typer.echo(f"Saved {entry['key']}.")


@app.command()
def delete(key: Key, etag: Tag = None, broker: Broker = None) -> None:
    """Forget a key. It is applied by `refresh`, not before."""
    ask(broker, lambda client: client.delete(key, etag=etag))
    typer.echo(f"Deleted {key}.")


@app.command()
def refresh(key: Key, as_json: AsJson = False, broker: Broker = None) -> None:
    """Apply what is saved under a key, at the instances that it concerns."""
    result = ask(broker, lambda client: client.refresh(key))
    if as_json:
        show(result)
    else:
        told = ", ".join(result["notified"]) or "no instance that is online"
        typer.echo(f"{result['key']} concerns {told}.")
    if result["problems"]:
        problems = tuple(Problem(found["path"], found["message"]) for found in result["problems"])
        raise InvalidConfig(f"{result['key']} was not applied everywhere; what ran before goes on.", problems)


def _read_file(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}.") from error
    return _parse(text) if file.suffix.lower() not in {".yaml", ".yml"} else _parse_yaml(text, file)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"The value is not JSON: {error}.") from error


def _parse_yaml(text: str, file: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{file} is not YAML: {error}.") from error
