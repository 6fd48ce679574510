"""`teleporter-lab broker`: run one in the foreground, or start, stop, find and read the log of detached ones."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from teleporter_lab import settings
from teleporter_lab.cli.options import (
    AllowRemote,
    AsJson,
    Drain,
    Host,
    LetterAge,
    Letters,
    LogJson,
    Name,
    Port,
    RpcPort,
    StoreUrl,
    TokenFile,
)
from teleporter_lab.cli.terminal import show, show_fields, show_log, show_rows
from teleporter_lab.errors import AlreadyRunning, DaemonError, InvalidInput, NotRunning, Unreachable

TOKEN_VARIABLE = "TELEPORTER_TOKEN"
COLUMNS = ("name", "alive", "url", "rpc", "pid", "started", "package")

app = typer.Typer(invoke_without_command=True, help="Run, start, stop and find brokers.")


@app.callback()
def run(
    context: typer.Context,
    name: Name = "default",
    host: Host = settings.LOOPBACK,
    port: Port = settings.HTTP_PORT,
    rpc_port: RpcPort = settings.RPC_PORT,
    store: StoreUrl = "",
    drain: Drain = "30s",
    log_json: LogJson = False,
    allow_remote: AllowRemote = False,
    token_file: TokenFile = None,
    dead_letters: Letters = 10_000,
    dead_letter_age: LetterAge = "30d",
    detached: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run a broker in the foreground until it is told to stop (SIGTERM, Ctrl-C)."""
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    from teleporter_lab.broker.daemon import Options
    from teleporter_lab.broker.dead_letters import LetterBounds
    from teleporter_lab.config.duration import parse_duration
    from teleporter_lab.daemon.token_file import kept_token

    try:
        options = Options(
            name=name,
            host=host,
            port=port,
            rpc_port=rpc_port,
            store=store,
            drain=parse_duration(drain),
            allow_remote=allow_remote,
            token=read_token(token_file) or kept_token("broker", name),
            letters=LetterBounds(dead_letters, parse_duration(dead_letter_age)),
        )
    except InvalidInput as error:
        raise typer.BadParameter(error.message) from error
    _run(options, log_json=log_json, detached=detached)


def _refuse_options(context: typer.Context) -> None:
    """Options of the foreground broker before a subcommand would do nothing: say so."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"Write {option} after `{context.invoked_subcommand}`.")


def _run(options: Any, *, log_json: bool, detached: bool) -> None:
    from teleporter_lab.broker import daemon
    from teleporter_lab.daemon import loop
    from teleporter_lab.daemon.detach import LOST_RACE
    from teleporter_lab.daemon.logs import configure, log_path

    log = log_path("broker", options.name)
    try:
        configure(file=log, detached=detached, json_lines=log_json, secrets=[options.token])
    except OSError as error:
        raise DaemonError(f"The log {log} cannot be written: {error}.") from error
    try:
        loop.run(daemon.run(options, log))
    except AlreadyRunning as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(LOST_RACE) from error


@app.command()
def start(
    name: Name = "default",
    host: Host = settings.LOOPBACK,
    port: Port = settings.HTTP_PORT,
    rpc_port: RpcPort = settings.RPC_PORT,
    store: StoreUrl = "",
    drain: Drain = "30s",
    log_json: LogJson = False,
    allow_remote: AllowRemote = False,
    token_file: TokenFile = None,
    dead_letters: Letters = 10_000,
    dead_letter_age: LetterAge = "30d",
    as_json: AsJson = False,
) -> None:
    """Start a detached broker, which outlives this terminal, and wait until it answers."""
    from teleporter_lab.broker.command import command_line
    from teleporter_lab.client import probe
    from teleporter_lab.daemon import lifecycle

    more = ["--drain", drain, "--dead-letters", str(dead_letters), "--dead-letter-age", dead_letter_age]
    more += ["--log-json"] * log_json + ["--allow-remote"] * allow_remote
    if token_file is not None:
        more += ["--token-file", str(token_file.absolute())]
    line = command_line(name, host=host, port=port, rpc_port=rpc_port, store=store, more=tuple(more))
    file = asyncio.run(lifecycle.start("broker", name, line, probe))
    if as_json:
        show(_row(file, alive=True))
    else:
        typer.echo(f"The broker {file.name} runs at {file.url} (pid {file.pid}).")


@app.command()
def stop(name: Name = "default") -> None:
    """Stop a broker: it finishes open requests and ends."""
    from teleporter_lab.client import shutdown
    from teleporter_lab.daemon import lifecycle
    from teleporter_lab.daemon.connection_file import ConnectionFile

    file = ConnectionFile.read("broker", name)
    if file is None:
        raise NotRunning(f"No broker named {name} runs.")
    asyncio.run(lifecycle.stop(file, shutdown))
    typer.echo(f"The broker {name} has stopped.")


@app.command()
def status(name: Name = "default", as_json: AsJson = False) -> None:
    """Show a broker, and whether it answers; exit code 3 when it does not."""
    from teleporter_lab.client import probe
    from teleporter_lab.daemon import lifecycle

    found = asyncio.run(lifecycle.status("broker", name, probe))
    show_fields(_row(found.file, alive=found.alive), as_json=as_json)
    if not found.alive:
        raise Unreachable(f"The broker {name} does not answer at {found.file.url}.")


@app.command("list")
def list_brokers(as_json: AsJson = False) -> None:
    """Show all brokers of this user on this machine."""
    from teleporter_lab.client import probe
    from teleporter_lab.daemon import lifecycle

    found = asyncio.run(lifecycle.listing("broker", probe))
    show_rows([_row(each.file, alive=each.alive) for each in found], COLUMNS, as_json=as_json)


@app.command()
def logs(
    name: Name = "default",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the end of a broker's log."""
    show_log("broker", name, lines, as_json=as_json)


def read_token(file: Path | None) -> str | None:
    """The token in `file`, else in the environment, else None. Raises InvalidInput for a file without one."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE)
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The token cannot be read from {file}: {error}.") from error
    if not token:
        raise InvalidInput(f"There is no token in {file}.")
    return token


def _row(file: Any, *, alive: bool) -> dict[str, Any]:
    """A broker as it is shown: without its token."""
    names = ("name", "url", "rpc", "pid", "id", "started", "package", "host", "log")
    return {"name": file.name, "alive": alive} | {name: getattr(file, name) for name in names}
