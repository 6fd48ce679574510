"""The bridge: a loop of its own, so that streams run while a cell is busy, and end when the kernel does."""

from __future__ import annotations

import getpass
import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.client import TOKEN_VARIABLE, URL_VARIABLE
from teleporter_lab.config.key import Key
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.errors import Unauthorized, Unreachable
from teleporter_lab.lab.bridge import Bridge, embedded_key
from teleporter_lab.lab.deploy import Deployer
from tests.instance.seat import broker_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from tests.lab.conftest import Space


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    found = Bridge()
    yield found
    found.close()


def test_the_key_of_the_embedded_instance_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "Jörg@home x")
    assert embedded_key("demo") == f"/instance/demo/embedded-J-rg-home-x-{os.getpid()}"


@pytest.mark.parametrize("error", [KeyError, OSError, ImportError])
def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """As in a container that runs as an arbitrary user."""

    def nobody() -> str:
        raise error("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert embedded_key("demo") == f"/instance/demo/embedded-{os.getuid()}-{os.getpid()}"


# ---- clients


def test_a_client_is_found_once(shared_broker: Running, bridge: Bridge) -> None:
    first = bridge.client("default")
    assert bridge.client("default") is first
    assert first.url == shared_broker.url
    assert first.ready()["status"] == "ready"


def test_nobody_there_is_said_with_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path))
    bridge = Bridge()
    with pytest.raises(Unreachable, match=r"No broker other runs .* `teleporter-lab broker start --name other`"):
        bridge.client("other")
    with pytest.raises(Unreachable, match=r"No broker default runs .* %teleport broker start"):
        bridge.embed("demo", "default")
    bridge.close()


def test_a_broker_that_was_started_anew_is_found_anew(
    shared_broker: Running, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same address with another token, as after its files were deleted."""
    monkeypatch.setenv(URL_VARIABLE, shared_broker.url)
    monkeypatch.setenv(TOKEN_VARIABLE, "of-yesterday")
    with pytest.raises(Unauthorized):
        bridge.client("default").ready()
    monkeypatch.setenv(TOKEN_VARIABLE, shared_broker.token)
    assert bridge.client("default").ready()["status"] == "ready"


# ---- embedded instances


def test_an_embedded_instance_is_started_once_and_leaves_with_the_bridge(space: Space) -> None:
    key = space.bridge.embed(space.ns, "default")
    assert space.bridge.embed(space.ns, "default") == key == str(space.embedded)
    assert space.bridge.embedded == [key]
    seen = {view["key"]: view for view in space.client.instances()}
    assert (seen[key]["status"], seen[key]["ephemeral"]) == ("ONLINE", True)
    space.bridge.close()
    assert space.bridge.embedded == []
    fresh = Bridge()
    assert key not in {view["key"] for view in fresh.client("default").instances()}
    fresh.close()
    space.bridge.close()


def test_one_for_each_broker(space: Space, tmp_path: Path) -> None:
    """The same key at two brokers: each has an instance of its own."""
    key = space.bridge.embed(space.ns, "default")
    with broker_in_thread(tmp_path / "home", "second"):
        assert space.bridge.embed(space.ns, "second") == key
        (seen,) = space.bridge.client("second").instances()
        assert (seen["key"], seen["status"]) == (key, "ONLINE")
        assert space.bridge.embedded == [key, key]
        space.bridge.close()


def test_one_whose_broker_came_back_elsewhere_is_started_anew(bridge: Bridge, tmp_path: Path) -> None:
    for _ in range(2):
        with broker_in_thread(tmp_path / "home", "moving"):
            key = bridge.embed("moving", "moving")
            (seen,) = bridge.client("moving").instances()
            assert (seen["key"], seen["status"]) == (key, "ONLINE")
    assert bridge.embedded == [key]


def test_a_wrong_token_is_what_is_raised_and_leaves_nothing(
    shared_broker: Running, bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path))
    monkeypatch.setattr("teleporter_lab.lab.bridge.LINK_SECONDS", 0.3)
    wrong = {"url": shared_broker.url, "rpc": shared_broker.rpc, "token": "wrong"}
    ConnectionFile.new("broker", "default", **wrong, log="").write()
    with pytest.raises(Unauthorized):
        bridge.embed("demo", "default")
    assert bridge.embedded == []


def test_streams_run_while_the_cell_is_busy_and_drain_when_the_kernel_ends(space: Space) -> None:
    """This thread waits on an event that only the stream sets."""
    space.save_ends()
    target = Key.parse(space.bridge.embed(space.ns, "default"))
    passed = threading.Event()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            passed.set()

    listening = Listening()
    logging.getLogger("tests.bridge").addHandler(listening)
    cell = space.gated.replace("    return row", '    logging.getLogger("tests.bridge").error("a row")\n    return row')
    Deployer(space.client).deploy(space.stream, f"import logging\n{cell}", target)
    assert passed.wait(10)
    (space.folder / "gate").touch()
    space.bridge.close()
    ids = len(space.written)
    assert ids > 0
    logging.getLogger("tests.bridge").removeHandler(listening)
    after = Bridge()
    kept = after.client("default").runtime_get(f"/position/{space.ns}/task/copy/rows")["value"]
    assert kept["ledger"]["read"] == kept["ledger"]["written"] == kept["position"]["row"] == ids
    after.close()


def test_its_log_comes_through_the_broker(space: Space) -> None:
    key = space.bridge.embed(space.ns, "default")
    logging.getLogger("teleporter_lab.tests").warning("here I am")
    lines = space.client.log(key)
    assert any("WARNING teleporter_lab.tests: here I am" in line for line in next(lines))
    lines.close()


def test_closing_twice_is_closing_once(bridge: Bridge) -> None:
    bridge.close()
    bridge.close()
    assert not bridge.thread.loop.is_running()
