"""Every verb of `%teleport` in a shell, at a real broker; `test_bad_input` has the mistakes of a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from teleporter_lab.blocking import BlockingClient
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.lab.live import LiveStream
from teleporter_lab.lab.magics import TeleportMagics, register
from teleporter_lab.lab.views import Document, Note, Table
from tests.instance.seat import COPY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.conftest import Space


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell that has loaded the extension, and forgets it."""
    found = InteractiveShell.instance()
    found.run_line_magic("load_ext", "teleporter_lab")
    yield found
    magics_of(found).bridge.close()
    del found.magics_manager.registry["TeleportMagics"]
    found.extension_manager.loaded.discard("teleporter_lab")


def magics_of(shell: InteractiveShell) -> TeleportMagics:
    return shell.magics_manager.registry["TeleportMagics"]


class Desk:
    """The magic as it is written in a notebook, in a namespace of its own."""

    def __init__(self, shell: InteractiveShell, space: Space) -> None:
        self.shell = shell
        self.space = space
        space.bridge.close()
        space.bridge = magics_of(shell).bridge

    def __call__(self, line: str, cell: str | None = None) -> Any:
        if cell is None:
            return self.shell.run_line_magic("teleport", line)
        return self.shell.run_cell_magic("teleport", line, cell)

    def refused(self, line: str, cell: str | None = None) -> str:
        with pytest.raises(UsageError) as caught:
            self(line, cell)
        assert "Traceback" not in str(caught.value)
        return str(caught.value)

    def apply_ends(self) -> None:
        self("config apply", "\n".join(f"{key}: {value!r}" for key, value in self.space.ends.items()))


@pytest.fixture
def teleport(shell: InteractiveShell, space: Space) -> Desk:
    return Desk(shell, space)


# ---- the extension


def test_loaded_twice_it_is_there_once(shell: InteractiveShell) -> None:
    first = magics_of(shell)
    shell.run_line_magic("load_ext", "teleporter_lab")
    register(shell)
    assert magics_of(shell) is first
    assert first.bridge.thread.loop.is_running()


def test_a_result_is_a_value_and_a_mistake_is_one_line(
    teleport: Desk, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("found = %teleport status /stream/nowhere/", store_history=False).raise_error()
    assert shell.user_ns["found"].rows == []
    capsys.readouterr()
    assert not shell.run_cell("%teleport fly", store_history=False).success
    said = capsys.readouterr()
    assert "UsageError: argument verb: invalid choice: 'fly'" in said.err
    assert "Traceback" not in said.err + said.out


def test_braces_and_dollars_in_a_line_are_not_python(teleport: Desk, shell: InteractiveShell) -> None:
    shell.user_ns["key"] = "oops"
    assert "{key}" in teleport.refused("config get /stream/{key}/b/c")


@pytest.mark.parametrize("line", ["", "help"])
def test_help_says_every_verb(teleport: Desk, capsys: pytest.CaptureFixture[str], line: str) -> None:
    teleport(line)
    said = capsys.readouterr().out
    for verb in ("broker", "instance", "status", "config", "start", "stop", "restart", "refresh", "client", "deploy"):
        assert verb in said


# ---- brokers


def test_the_client_is_the_broker_with_every_call(teleport: Desk) -> None:
    client = teleport("client")
    assert isinstance(client, BlockingClient)
    assert client.ready()["status"] == "ready"
    assert teleport("client --name default") is client


def test_brokers_are_listed_as_the_command_line_does(teleport: Desk) -> None:
    table = teleport("broker list")
    assert isinstance(table, Table)
    assert [row["name"] for row in table.rows] == ["default"]
    assert "token" not in repr(table.rows)


def test_a_broker_that_is_not_there_is_said_with_how_to_start_it(teleport: Desk) -> None:
    said = teleport.refused("status --name other")
    assert said == "No broker other runs on this machine: start it with `teleporter-lab broker start --name other`."


def test_a_broker_that_has_died_is_said_with_how_to_start_one(
    teleport: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection file is still there."""
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "dead"))
    ConnectionFile.new("broker", "default", url="http://127.0.0.1:9", rpc="127.0.0.1:9", token="t", log="").write()
    said = teleport.refused("status")
    assert said.startswith("No broker answers at http://127.0.0.1:9: is it running?")
    assert "%teleport broker start" in said


# ---- the tree


def test_config_is_put_looked_at_and_deleted(teleport: Desk) -> None:
    key = f"/variable/{teleport.space.ns}/v"
    saved = teleport(f"config put {key}", "arguments:\n  size: 7\n  day: 2024-02-29\n  none: null\n")
    assert [row["key"] for row in saved.rows] == [key]
    document = teleport(f"config get {key}")
    assert isinstance(document, Document)
    assert document.value["arguments"] == {"size": 7, "day": "2024-02-29", "none": None}
    assert [row["key"] for row in teleport(f"config range /variable/{teleport.space.ns}/").rows] == [key]
    note = teleport(f"config delete {key}")
    assert isinstance(note, Note)
    assert repr(note) == f"{key} deleted."
    assert "Nothing is kept under" in teleport.refused(f"config get {key}")


def test_an_empty_document_has_to_be_written(teleport: Desk) -> None:
    """A `put` without a cell must not replace what is there by nothing."""
    key = f"/namespace/{teleport.space.ns}"
    teleport(f"config put {key}", "name: Shop")
    for cell in (None, " \n"):
        assert "Write the value" in teleport.refused(f"config put {key}", cell)
    assert teleport(f"config get {key}").value["name"] == "Shop"
    teleport(f"config put {key}", "{}")
    assert "name" not in teleport(f"config get {key}").value


def test_json_is_yaml_too(teleport: Desk) -> None:
    key = f"/variable/{teleport.space.ns}/v"
    teleport(f"config put {key}", '{"arguments": {"t": "\\u00e4", "f": 1e-9, "l": [true, {}]}}')
    assert teleport(f"config get {key}").value["arguments"] == {"t": "ä", "f": 1e-9, "l": [True, {}]}


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("arguments: {a: .nan}", "holds what JSON cannot say"),
        ("arguments: &a {b: *a}", "holds what JSON cannot say"),
        ("arguments: !!set {a}", "holds what JSON cannot say"),
        ("arguments: !!binary aGVsbG8=", "holds what JSON cannot say"),
        ('arguments: {a: "\\uD800"}', "holds what JSON cannot say"),
        ("arguments: {[a]: 1}", "not YAML"),
        ("arguments: !!python/object:os.system {}", "not YAML"),
        ("a: b: c", "not YAML"),
        ("\tx", "not YAML"),
        ("a: 'open", "not YAML"),
        ("[]", "A config is an object"),
        ("0", "A config is an object"),
        ("false", "A config is an object"),
        ("just text", "A config is an object"),
    ],
)
def test_a_cell_that_is_no_document_is_one_sentence(teleport: Desk, cell: str, sentence: str) -> None:
    said = teleport.refused(f"config put /variable/{teleport.space.ns}/v", cell)
    assert sentence in said
    assert len(said.splitlines()) <= 2
    assert teleport.space.keys() == []


def test_keys_that_are_none_are_among_the_mistakes(teleport: Desk) -> None:
    ns = teleport.space.ns
    cell = (
        f"/strem/{ns}/a: {{}}\n/namespace/{ns}: {{}}\n7: {{}}\n/sink/{ns}/a/b/c: {{category: none}}\n/task/{ns}/t: 5\n"
    )
    said = teleport.refused("config apply", cell)
    for line in (f"  /strem/{ns}/a: ", "  7: ", f"  /sink/{ns}/a/b/c: category: ", f"  /task/{ns}/t: "):
        assert line in said
    assert teleport.space.keys() == []


# ---- streams


def test_a_stream_is_deployed_watched_and_commanded(teleport: Desk) -> None:
    space = teleport.space
    key, task = str(space.stream), f"/stream/{space.ns}/task/"
    teleport.apply_ends()
    live = teleport(f"deploy {key} --to embedded", space.gated)
    assert isinstance(live, LiveStream)
    assert live.view["instance"] == str(space.embedded)
    assert [row["key"] for row in teleport("instance list").rows if space.ns in row["key"]] == [str(space.embedded)]
    for line in ("status", f"status {task}", f"status {task}.*"):
        assert {"stream": key, "status": "RUNNING"}.items() <= teleport(line).rows[-1].items()
    assert repr(teleport(f"status {key}")).startswith(f"{key} RUNNING on {space.embedded}: read ")
    (space.folder / "gate").touch()
    assert teleport(f"stop {key}").rows[0]["status"] in {"STOPPED", "COMPLETE"}
    assert teleport(f"start {key}").rows[0]["stream"] == key
    assert repr(teleport(f"refresh {key}")) == f"{key} applied; told {space.embedded}."
    assert teleport(f"restart {key}").rows[0]["restarts"] >= 0
    assert space.until("COMPLETE")["counts"]["written"] == 200
    assert len(space.written) == 200


def test_a_refresh_that_concerns_nobody_says_so(teleport: Desk) -> None:
    key = str(teleport.space.stream)
    teleport(f"config put {key}", "template: x = 1")
    assert repr(teleport(f"refresh {key}")) == f"{key} applied; told nobody, as no instance is concerned."


def test_a_refresh_that_is_refused_says_why(teleport: Desk) -> None:
    space = teleport.space
    teleport.apply_ends()
    teleport(f"deploy {space.stream} --to embedded", space.gated)
    teleport(f"config put {space.stream}", "template: 1 / 0")
    said = teleport.refused(f"refresh {space.stream}")
    assert said.startswith(f"{space.stream} was not applied, what ran before goes on: ")
    assert "raised ZeroDivisionError at line 1" in said


def test_a_deployment_that_fails_says_why(teleport: Desk) -> None:
    said = teleport.refused(f"deploy {teleport.space.stream} --to embedded", COPY)
    assert "was deployed and failed on /instance/" in said
    assert "has no source 'rows'" in said


def test_nothing_begins_for_a_cell_that_cannot_run_or_is_only_tried(teleport: Desk) -> None:
    """No instance is started in the kernel for it."""
    space = teleport.space
    assert "does not compile" in teleport.refused(f"deploy {space.stream} --to embedded", "def")
    assert "uses `frame`" in teleport.refused(f"deploy {space.stream} --to embedded", COPY + "frame")
    table = teleport(f"deploy {space.stream} --to embedded --dry-run", COPY)
    assert {"would save": str(space.embedded)} in table.rows
    assert space.bridge.embedded == []
    assert space.keys() == []


def test_a_card_shows_the_stream_and_stands_still_when_told(teleport: Desk) -> None:
    space = teleport.space
    teleport.apply_ends()
    live = teleport(f"deploy {space.stream} --to embedded", space.gated)
    shown = live._repr_mimebundle_()
    assert set(shown) >= {"text/html", "text/plain"}
    assert f"<b>{space.stream}</b>" in shown["text/html"]
    assert live.hash in shown["text/html"]
    live.close()
