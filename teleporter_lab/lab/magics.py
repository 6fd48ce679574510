"""`%teleport` and `%%teleport`: the verbs of the command line, in a notebook.

Owns the parsing of lines, the calls, and one-sentence errors. Every verb returns a value with a rich representation,
so `x = %teleport status` works. Refuses to do anything asynchronous itself: `bridge` has the loop.
"""

from __future__ import annotations

import argparse
import atexit
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import InvalidConfig, InvalidInput, Problem, TeleporterError
from teleporter_lab.lab import daemons, views
from teleporter_lab.lab.bridge import Bridge
from teleporter_lab.lab.deploy import Deployer, stream_view
from teleporter_lab.lab.live import LiveStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

HELP = """\
%teleport broker start|stop|status|list     a broker that outlives the notebook
%teleport instance start KEY|stop KEY|list  a process that runs streams
%teleport status [KEY]                      the streams, and how they are
%teleport config get|range|delete KEY       look at the tree, or delete from it
%%teleport config put KEY                   save the YAML or JSON of this cell under KEY
%%teleport config apply                     save many: the cell maps keys to values
%teleport start|stop|restart|refresh KEY    command a stream
broker = %teleport client                   the broker as an object, with every call of its REST interface
%%teleport deploy KEY [--to embedded|INSTANCE|GROUP] [--cron …] [--dry-run]   run this cell as a stream
Everywhere: --name N for a broker that is not called `default`."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. {self.format_usage().strip()}")


def _parser() -> _Parser:
    common = _Parser(add_help=False)
    common.add_argument("--name", default="default", help="the broker's name")
    parser = _Parser(prog="%teleport", add_help=False)
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=_Parser)

    def verb(name: str, *positional: str, optional: str = "") -> argparse.ArgumentParser:
        added = verbs.add_parser(name, add_help=False, parents=[common])
        for argument in positional:
            added.add_argument(argument)
        if optional:
            added.add_argument(optional, nargs="?")
        return added

    verb("help")
    verb("client")
    verb("broker", "action")
    verb("instance", "action", optional="key")
    verb("status", optional="key")
    verb("config", "action", optional="key")
    for command in ("start", "stop", "restart", "refresh"):
        verb(command, "key")
    deploy = verb("deploy", "key")
    deploy.add_argument("--to", default="")
    deploy.add_argument("--cron", default="")
    deploy.add_argument("--dry-run", action="store_true")
    return parser


@magics_class
class TeleportMagics(Magics):
    """One magic, verbs as in the command line."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.bridge = Bridge()
        self._parser = _parser()

    @no_var_expand
    @line_cell_magic
    def teleport(self, line: str, cell: str | None = None) -> Any:
        """See `%teleport help`."""
        arguments = self._parser.parse_args(self._split(line))
        verbs: dict[str, Callable[[argparse.Namespace, str | None], Any]] = {
            "help": lambda a, c: print(HELP),  # noqa: T201 - the answer of a magic
            "broker": self._broker,
            "instance": self._instance,
            "status": self._status,
            "config": self._config,
            "deploy": self._deploy,
            "client": lambda a, _: self.bridge.client(a.name),
        }
        try:
            return verbs.get(arguments.verb, self._command)(arguments, cell)
        except TeleporterError as error:
            raise UsageError(str(error)) from None

    def _split(self, line: str) -> list[str]:
        try:
            return shlex.split(line) or ["help"]
        except ValueError as error:
            raise UsageError(f"The line cannot be read: {error}.") from None

    def _broker(self, arguments: argparse.Namespace, _: str | None) -> Any:
        options = [] if arguments.action == "list" else ["--name", arguments.name]
        return daemons.daemon_verb("broker", arguments.action, options)

    def _instance(self, arguments: argparse.Namespace, _: str | None) -> Any:
        if arguments.action == "list":
            rows: list[dict[str, Any]] = self.bridge.client(arguments.name).instances()
            return views.Table("Instances", ("key", "status", "partitions", "ephemeral"), rows)
        if not arguments.key:
            raise InvalidInput("Say which instance, for example /instance/demo/one.")
        key = Key.parse(arguments.key)
        options = (
            ["--key", str(key), "--broker", arguments.name] if arguments.action == "start" else ["--key", str(key)]
        )
        return daemons.daemon_verb("instance", arguments.action, options)

    def _status(self, arguments: argparse.Namespace, _: str | None) -> Any:
        client = self.bridge.client(arguments.name)
        if arguments.key and not arguments.key.endswith(("/", "*")):
            key = Key.parse(arguments.key)
            if key.table is Table.STREAM:
                return LiveStream(client, key, stream_view(client, key))
        return views.stream_table(client.streams(arguments.key or "/stream/"))

    def _command(self, arguments: argparse.Namespace, _: str | None) -> Any:
        client = self.bridge.client(arguments.name)
        key = Key.parse(arguments.key)
        if arguments.verb == "refresh":
            answer = client.refresh(str(key))
            if answer["problems"]:
                sentences = "; ".join(str(p["message"]) for p in answer["problems"])
                raise InvalidInput(f"{key} was not applied, what ran before goes on: {sentences}")
            told = ", ".join(answer["notified"]) or "nobody, as no instance is concerned"
            return views.Note(f"{key} applied; told {told}.")
        return views.stream_table([client.command(arguments.verb, str(key))])

    def _config(self, arguments: argparse.Namespace, cell: str | None) -> Any:
        client = self.bridge.client(arguments.name)
        if arguments.action == "apply":
            return self._apply(client, _documents(cell))
        if not arguments.key:
            raise InvalidInput("Say which key, for example %teleport config get /stream/demo/flights/load.")
        if arguments.action == "put":
            return self._apply(client, {arguments.key: _yaml(cell)})
        if arguments.action == "get":
            return views.Document(client.get(str(Key.parse(arguments.key))))
        if arguments.action == "range":
            rows = [{"key": entry["key"], "value": entry["value"]} for entry in client.range(arguments.key)]
            return views.Table("Config", ("key", "value"), rows)
        if arguments.action == "delete":
            client.delete(str(Key.parse(arguments.key)))
            return views.Note(f"{arguments.key} deleted.")
        raise InvalidInput(f"There is no `config {arguments.action}`; there are get, range, put, delete and apply.")

    def _apply(self, client: Any, documents: dict[str, Any]) -> Any:
        """Saves all or nothing: every document is validated before the first is saved."""
        problems = [
            Problem(f"{key}: {p['path']}" if p["path"] else key, p["message"])
            for key, value in documents.items()
            for p in client.validate(key, value)
        ]
        if problems:
            raise InvalidConfig("Nothing was saved; there are mistakes.", tuple(problems))
        for key, value in documents.items():
            client.save(key, value)
        return views.Table("Saved", ("key",), [{"key": key} for key in documents])

    def _deploy(self, arguments: argparse.Namespace, cell: str | None) -> Any:
        if not (cell or "").strip():
            raise InvalidInput("Nothing to deploy: write the stream below the line %%teleport deploy.")
        client = self.bridge.client(arguments.name)
        key = Key.parse(arguments.key)
        target: Key | None = None
        if arguments.to == "embedded":
            target = Key.parse(self.bridge.embed(key.ns, arguments.name))
        elif arguments.to:
            target = Key.parse(arguments.to)
        deployment = Deployer(client).deploy(key, cell or "", target, arguments.dry_run, arguments.cron)
        if deployment.dry_run:
            rows = [{"would save": saved} for saved in deployment.saved]
            return views.Table(f"{key} {deployment.hash}: checked, nothing saved", ("would save",), rows)
        return LiveStream(client, key, deployment.view, deployment.hash)


def _yaml(cell: str | None) -> Any:
    try:
        return yaml.safe_load(cell or "") or {}
    except yaml.YAMLError as error:
        raise InvalidInput(f"The cell is not YAML: {str(error).replace(chr(10), ' ')}.") from error


def _documents(cell: str | None) -> dict[str, Any]:
    value = _yaml(cell)
    if not isinstance(value, dict) or not value:
        raise InvalidInput("Write the cell as a map from keys to values, for example `/namespace/demo: {}`.")
    return {str(key): {} if item is None else item for key, item in value.items()}


def register(shell: InteractiveShell) -> None:
    """`%load_ext teleporter_lab`: registers the magic; loading it twice changes nothing."""
    if "TeleportMagics" in shell.magics_manager.registry:
        return
    magics = TeleportMagics(shell)
    shell.register_magics(magics)
    atexit.register(magics.bridge.close)
