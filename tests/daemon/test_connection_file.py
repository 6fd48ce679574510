from __future__ import annotations

import json
import os
import socket
import stat
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab._version import __version__
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.errors import DaemonError, InvalidInput
from teleporter_lab.settings import runtime_dir

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_written_is_read(made: Any) -> None:
    file = made()
    file.write()
    assert ConnectionFile.read("broker", "main") == file


def test_it_says_who_and_where(made: Any) -> None:
    file = made()
    assert (file.pid, file.host, file.package) == (os.getpid(), socket.gethostname(), __version__)
    assert datetime.fromisoformat(file.started).tzinfo is not None
    assert file.id != made().id
    assert file.here
    assert not replace(file, host="elsewhere").here


def test_only_its_user_may_read_it(made: Any) -> None:
    old = os.umask(0)
    try:
        file = made()
        file.write()
        file.write()
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.path.parent.iterdir()] == ["broker-main.json"]


def test_the_home_moves_it(made: Any, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert made().path == home / "runtime" / "broker-main.json"
    monkeypatch.setenv("TELEPORTER_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    assert made().path == tmp_path / "elsewhere" / "broker-main.json"


def test_the_token_is_not_shown(made: Any) -> None:
    assert "very-secret" not in f"{made()} {made()!r}"


def test_a_file_that_is_not_there() -> None:
    assert ConnectionFile.read("broker", "none") is None
    assert ConnectionFile.all("broker") == []


def test_it_is_removed_only_by_its_owner(made: Any) -> None:
    first, second = made(), made()
    first.write()
    second.write()
    assert not first.remove()
    assert second.path.exists()
    assert second.remove()
    assert not second.remove()
    assert not second.path.exists()


GARBAGE = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "bytes": b"\xff\xfe\x00",
    "nested": b"[" * 100_000,
    "fields missing": b"{}",
    "wrong type": b'{"kind": "broker", "name": 5}',
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_names_the_file_to_delete(made: Any, data: bytes) -> None:
    file = made()
    file.write()
    file.path.write_bytes(data)
    with pytest.raises(DaemonError, match=r"broker-main\.json is not a connection file; delete it"):
        ConnectionFile.read("broker", "main")
    with pytest.raises(DaemonError, match="delete it"):
        ConnectionFile.all("broker")


def test_the_file_of_another_name(made: Any) -> None:
    file = made("other")
    file.write()
    file.path.rename(runtime_dir() / "broker-main.json")
    with pytest.raises(DaemonError, match="of another daemon; delete it"):
        ConnectionFile.read("broker", "main")


def test_a_later_form_and_fields_of_one(made: Any) -> None:
    file = made()
    file.write()
    plain = json.loads(file.path.read_bytes())
    file.path.write_text(json.dumps({**plain, "added": True}))
    assert ConnectionFile.read("broker", "main") == file
    file.path.write_text(json.dumps({**plain, "format": 2, "package": "9.0"}))
    with pytest.raises(DaemonError, match=r"later version \(9\.0\)"):
        ConnectionFile.read("broker", "main")


def test_all_of_a_kind_by_name(made: Any) -> None:
    for name in ("b", "a-1", "c.x"):
        made(name).write()
    replace(made("i"), kind="instance").write()
    assert [file.name for file in ConnectionFile.all("broker")] == ["a-1", "b", "c.x"]
    assert [file.name for file in ConnectionFile.all("instance")] == ["i"]


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "ü", "x" * 101, "a\n"])
def test_what_is_no_name(made: Any, name: str) -> None:
    with pytest.raises(InvalidInput, match="no name of a daemon"):
        made(name).write()
    with pytest.raises(InvalidInput):
        ConnectionFile.read("broker", name)


def test_what_is_no_kind() -> None:
    with pytest.raises(InvalidInput, match="no kind"):
        ConnectionFile.path_of("waiter", "a")


def test_a_folder_that_cannot_be_written(made: Any, home: Path) -> None:
    home.mkdir()
    (home / "runtime").write_text("a file where the folder should be")
    with pytest.raises(DaemonError, match="Cannot write"):
        made().write()


def test_a_file_that_cannot_be_read(made: Any) -> None:
    made().path.mkdir(parents=True)
    with pytest.raises(DaemonError, match="Cannot read"):
        ConnectionFile.read("broker", "main")
