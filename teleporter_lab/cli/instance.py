"""`teleporter-lab instance`: run one in the foreground, or start, stop, find and read the log of detached ones."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from teleporter_lab.cli.broker import read_token
from teleporter_lab.cli.options import AsJson, Drain, LogJson, TokenFile
from teleporter_lab.cli.terminal import show, show_fields, show_log, show_rows
from teleporter_lab.errors import AlreadyRunning, DaemonError, InvalidInput, NotRunning, Unauthorized, Unreachable

LINK_SECONDS = 10.0
"""How long a start waits for a broker to take the instance in."""

PAUSE = 0.05

COLUMNS = ("key", "alive", "url", "pid", "started", "package")

Key = Annotated[str, typer.Option("--key", help="Key of the instance: /instance/NAMESPACE/NAME.")]
Brokers = Annotated[
    str, typer.Option(help="RPC addresses, host:port,host:port; else those of --broker.", envvar="TELEPORTER_BROKERS")
]
BrokerName = Annotated[
    str, typer.Option("--broker", help="A broker on this machine, by name.", envvar="TELEPORTER_BROKER_NAME")
]

app = typer.Typer(invoke_without_command=True, help="Run, start, stop and find instances.")


@app.callback()
def run(
    context: typer.Context,
    key: Annotated[str, typer.Option("--key", help="Key of the instance: /instance/NAMESPACE/NAME.")] = "",
    brokers: Brokers = "",
    broker: BrokerName = "default",
    token_file: TokenFile = None,
    drain: Drain = "30s",
    log_json: LogJson = False,
    detached: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run an instance in the foreground until it is told to stop (SIGTERM, Ctrl-C)."""
    if context.invoked_subcommand is not None:
        return
    if not key:
        raise typer.BadParameter("Say which instance: --key /instance/NAMESPACE/NAME.")
    from teleporter_lab.config.duration import parse_duration
    from teleporter_lab.instance.daemon import Options

    addresses, token = _brokers(brokers, broker, token_file)
    try:
        options = Options(key, addresses, token, drain=parse_duration(drain))
        _run(options, log_json=log_json, detached=detached)
    except InvalidInput as error:
        raise typer.BadParameter(error.message) from error


def _run(options: Any, *, log_json: bool, detached: bool) -> None:
    import logging

    from teleporter_lab.daemon import loop
    from teleporter_lab.daemon.detach import LOST_RACE
    from teleporter_lab.daemon.logs import configure, log_path
    from teleporter_lab.instance import daemon
    from teleporter_lab.instance.log_tail import LogKeeper

    log = log_path("instance", options.name)
    try:
        configure(file=log, detached=detached, json_lines=log_json, secrets=[options.token])
    except OSError as error:
        raise DaemonError(f"The log {log} cannot be written: {error}.") from error
    root = logging.getLogger()
    keeper = LogKeeper()
    keeper.setFormatter(root.handlers[0].formatter)
    root.addHandler(keeper)
    try:
        loop.run(daemon.run(options, log, keeper))
    except AlreadyRunning as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(LOST_RACE) from error


def _brokers(brokers: str, name: str, token_file: Path | None) -> tuple[list[tuple[str, int]], str]:
    """Where the brokers are, and their token. Raises Unreachable, Unauthorized, BadParameter."""
    from teleporter_lab.daemon.connection_file import ConnectionFile
    from teleporter_lab.instance.link import parse_brokers

    token = read_token(token_file)
    if not brokers:
        file = ConnectionFile.read("broker", name)
        if file is None:
            raise Unreachable(f"No broker named {name} runs here; start it, or name its address with --brokers.")
        brokers, token = file.rpc, token or file.token
    if not token:
        raise Unauthorized("The brokers want a token: give it with --token-file or in TELEPORTER_TOKEN.")
    try:
        return parse_brokers(brokers), token
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def start(
    key: Key,
    brokers: Brokers = "",
    broker: BrokerName = "default",
    token_file: TokenFile = None,
    drain: Drain = "30s",
    log_json: LogJson = False,
    as_json: AsJson = False,
) -> None:
    """Start a detached instance, which outlives this terminal, and wait until a broker takes it in."""
    from teleporter_lab.client import probe
    from teleporter_lab.daemon import lifecycle
    from teleporter_lab.instance.daemon import daemon_name

    addresses, token = _brokers(brokers, broker, token_file)
    line = [sys.executable, "-m", "teleporter_lab", "instance", "--detached", "--key", key, "--drain", drain]
    line += ["--brokers", ",".join(f"{host}:{port}" for host, port in addresses)] + ["--log-json"] * log_json
    started = lifecycle.start("instance", daemon_name(key), line, probe, env={"TELEPORTER_TOKEN": token})
    file = asyncio.run(started)
    linked = asyncio.run(_linked(file))
    if as_json:
        show(_row(file, alive=True) | {"linked": linked})
    else:
        waits = "" if linked else f", but no broker has taken it in yet: see `instance logs --key {key}`"
        typer.echo(f"The instance {key} runs (pid {file.pid}){waits}.")


async def _linked(file: Any) -> bool:
    """Whether a broker takes the instance in within `LINK_SECONDS`."""
    from teleporter_lab.client import Client

    async with Client(file.url, file.token) as client:
        for _ in range(int(LINK_SECONDS / PAUSE)):
            try:
                await client.ready()
            except Unreachable:
                await asyncio.sleep(PAUSE)
            else:
                return True
    return False


@app.command()
def stop(key: Key) -> None:
    """Stop an instance: its streams drain and commit, then it ends."""
    from teleporter_lab.client import shutdown
    from teleporter_lab.daemon import lifecycle
    from teleporter_lab.daemon.connection_file import ConnectionFile
    from teleporter_lab.instance.daemon import daemon_name

    file = ConnectionFile.read("instance", daemon_name(key))
    if file is None:
        raise NotRunning(f"No instance {key} runs here.")
    asyncio.run(lifecycle.stop(file, shutdown))
    typer.echo(f"The instance {key} has stopped.")


@app.command()
def status(key: Key, as_json: AsJson = False) -> None:
    """Show an instance, and whether it answers; exit code 3 when it does not."""
    from teleporter_lab.client import probe
    from teleporter_lab.daemon import lifecycle
    from teleporter_lab.instance.daemon import daemon_name

    found = asyncio.run(lifecycle.status("instance", daemon_name(key), probe))
    show_fields(_row(found.file, alive=found.alive), as_json=as_json)
    if not found.alive:
        raise Unreachable(f"The instance {key} does not answer at {found.file.url}.")


@app.command("list")
def list_instances(as_json: AsJson = False) -> None:
    """Show all instances of this user on this machine."""
    from teleporter_lab.client import probe
    from teleporter_lab.daemon import lifecycle

    found = asyncio.run(lifecycle.listing("instance", probe))
    show_rows([_row(each.file, alive=each.alive) for each in found], COLUMNS, as_json=as_json)


@app.command()
def logs(
    key: Key,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the end of an instance's log."""
    from teleporter_lab.instance.daemon import daemon_name

    show_log("instance", daemon_name(key), lines, as_json=as_json)


def _row(file: Any, *, alive: bool) -> dict[str, Any]:
    """An instance as it is shown: without its token."""
    names = ("name", "url", "pid", "id", "started", "package", "host", "log")
    key = "/instance/" + "/".join(file.name.split("--", 1))
    return {"key": key, "alive": alive} | {name: getattr(file, name) for name in names}
