"""The command line: one file a noun. Owns exit codes and how an error looks; refuses to do anything itself.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nobody there (a broker that is not running or does not answer).
A value comes from the command line, else from `TELEPORTER_*`, else from `teleporter.toml`, else it is the default.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from teleporter_lab._version import __version__
from teleporter_lab.cli import broker, config, deadletter, instance, position, streams
from teleporter_lab.cli.defaults import default_map
from teleporter_lab.cli.demo import demo
from teleporter_lab.errors import NotRunning, TeleporterError, Unreachable
from teleporter_lab.settings import read_toml

FAILED = 1
NOBODY = 3

app = typer.Typer(
    name="teleporter-lab",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(broker.app, name="broker")
app.add_typer(instance.app, name="instance")
app.add_typer(config.app, name="config")
app.add_typer(streams.app, name="streams")
app.add_typer(position.app, name="position")
app.add_typer(deadletter.app, name="deadletter")
app.command()(demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Real-time data streams between systems, kept running by a broker."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        app(arguments, prog_name="teleporter-lab", default_map=default_map(app, read_toml()))
    except TeleporterError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(exit_code(error))


def exit_code(error: TeleporterError) -> int:
    """3 where nobody is there to answer, else 1."""
    return NOBODY if isinstance(error, (Unreachable, NotRunning)) else FAILED
