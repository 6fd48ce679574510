"""`%teleport` and `%%teleport`: the verbs of the command line, in a notebook.

Owns the parsing of lines, the calls, and one-sentence errors. Every verb returns a value with a rich representation,
so `x = %teleport status` works. Refuses to do anything asynchronous itself: `bridge` has the loop.
"""

from __future__ import annotations

import argparse
import atexit
import json
import shlex
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import yaml
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from teleporter_lab.config.key import Key, Table
from teleporter_lab.errors import InvalidConfig, InvalidInput, Problem, TeleporterError, Unreachable
from teleporter_lab.lab import daemons, views
from teleporter_lab.lab.bridge import Bridge, embedded_key
from teleporter_lab.lab.deploy import Deployer, check_cell, stream_view
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
%%teleport deploy KEY [--to embedded|INSTANCE|GROUP] [--dry-run]   run this cell as a stream
Everywhere: --name N for a broker that is not called `default`."""


START = "start one with `%teleport broker start`"


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
        except Unreachable as error:
            hint = "" if "broker start" in error.message else f" If none runs, {START}."
            raise UsageError(f"{error}{hint}") from None
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
            if not (cell or "").strip():
                raise InvalidInput("Write the value, YAML or JSON, below the line %%teleport config put KEY.")
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
        problems: list[Problem] = []
        for key, value in documents.items():
            problems += _problems(client, key, value)
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
        check_cell(cell or "")  # nothing is begun for a cell that cannot run
        target = Key.parse(arguments.to) if arguments.to not in {"", "embedded"} else None
        if arguments.to == "embedded":
            starts = not arguments.dry_run
            target = Key.parse(self.bridge.embed(key.ns, arguments.name) if starts else embedded_key(key.ns))
        deployment = Deployer(client).deploy(key, cell or "", target, arguments.dry_run)
        if deployment.dry_run:
            rows = [{"would save": saved} for saved in deployment.saved]
            return views.Table(f"{key} {deployment.hash}: checked, nothing saved", ("would save",), rows)
        return LiveStream(client, key, deployment.view, deployment.hash)


class _Yaml(yaml.SafeLoader):
    """YAML as far as JSON goes: what looks like a date is text."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _yaml(cell: str | None) -> Any:
    """What the cell says, as JSON could say it; an empty one is an empty object. Raises InvalidInput."""
    try:
        value = _parsed(cell or "")
        text = json.dumps({} if value is None else value, allow_nan=False, ensure_ascii=False)
        return json.loads(text.encode())
    except yaml.YAMLError as error:
        raise InvalidInput(f"The cell is not YAML: {' '.join(str(error).split())}.") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The cell holds what JSON cannot say: {error}.") from error


def _parsed(text: str) -> Any:
    """JSON is read as JSON: to YAML 1.1 a number like 1e-9 is text."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.load(text, _Yaml)


def _documents(cell: str | None) -> dict[str, Any]:
    value = _yaml(cell)
    if not isinstance(value, dict) or not value:
        raise InvalidInput("Write the cell as a map from keys to values, for example `/namespace/demo: {}`.")
    return {str(key): {} if item is None else item for key, item in value.items()}


def _problems(client: Any, key: str, value: Any) -> list[Problem]:
    """Every mistake of one document, its key included."""
    try:
        found = client.validate(key, value)
    except InvalidInput as error:
        return [Problem(key, error.message), *error.problems]
    return [Problem(f"{key}: {p['path']}" if p["path"] else key, p["message"]) for p in found]


def register(shell: InteractiveShell) -> None:
    """`%load_ext teleporter_lab`: registers the magic; loading it twice changes nothing."""
    if "TeleportMagics" in shell.magics_manager.registry:
        return
    magics = TeleportMagics(shell)
    shell.register_magics(magics)
    atexit.register(magics.bridge.close)
