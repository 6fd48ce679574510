"""`teleporter-lab broker` with real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.broker.dead_letters import LetterBounds
from teleporter_lab.client import Client
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.daemon.process import running
from teleporter_lab.errors import NotFound
from tests.cli.conftest import Run, command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from teleporter_lab.broker.daemon import Options

FREE = ("--port", "0", "--rpc-port", "0")


def start(process: Run, ends: Callable[[int], None], *arguments: str) -> ConnectionFile:
    outcome = process("broker", "start", *FREE, "--json", *arguments)
    assert outcome.code == 0, outcome.err
    shown = json.loads(outcome.out)
    ends(shown["pid"])
    assert "token" not in shown
    file = ConnectionFile.read("broker", shown["name"])
    assert file is not None
    assert file.token not in outcome.out
    return file


def ended(pid: int) -> None:
    """Returns when the process is gone: whoever adopted it takes note."""
    while running(pid):
        os.sched_yield()


async def saved(file: ConnectionFile, key: str) -> bool:
    async with Client(file.url, file.token) as client:
        try:
            await client.get(key)
        except NotFound:
            return False
        return True


async def save(file: ConnectionFile, key: str) -> None:
    async with Client(file.url, file.token) as client:
        await client.save(key, {})


def test_a_life(process: Run, here: Run, ends: Callable[[int], None]) -> None:
    file = start(process, ends)
    assert here("config", "put", "/namespace/ns", "{}").code == 0
    status = here("broker", "status", "--json")
    assert (status.code, json.loads(status.out)["alive"]) == (0, True)
    assert json.loads(here("broker", "list", "--json").out) == [json.loads(status.out)]
    assert file.url in here("broker", "list").out
    again = here("broker", "start", *FREE)
    assert (again.code, f"runs already, at {file.url}" in again.err) == (1, True)
    logs = here("broker", "logs", "-n", "5")
    assert "serves at" in logs.out
    assert file.token not in logs.out
    assert here("broker", "stop").code == 0
    assert not running(file.pid)
    assert here("broker", "stop").code == 3
    assert here("broker", "status").code == 3
    assert json.loads(here("broker", "list", "--json").out) == []


def test_what_was_confirmed_survives_a_kill_and_a_stale_file_is_replaced(
    process: Run, here: Run, ends: Callable[[int], None]
) -> None:
    first = start(process, ends)
    asyncio.run(save(first, "/namespace/ns"))
    os.kill(first.pid, signal.SIGKILL)
    ended(first.pid)
    assert ConnectionFile.read("broker", "default") is not None
    status = here("broker", "status", "--json")
    assert (status.code, json.loads(status.out)["alive"]) == (3, False)
    assert here("config", "get", "/namespace/ns").code == 3
    second = start(process, ends)
    assert (second.id, second.pid) != (first.id, first.pid)
    assert asyncio.run(saved(second, "/namespace/ns"))
    assert here("broker", "stop").code == 0


def test_the_stop_of_a_killed_one_removes_its_file(process: Run, here: Run, ends: Callable[[int], None]) -> None:
    file = start(process, ends)
    os.kill(file.pid, signal.SIGKILL)
    ended(file.pid)
    outcome = here("broker", "stop")
    assert (outcome.code, "left behind" in outcome.err) == (3, True)
    assert ConnectionFile.read("broker", "default") is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_a_signal_ends_it_with_0(number: signal.Signals, ends: Callable[[int], None]) -> None:
    with subprocess.Popen(command("broker", *FREE), stderr=subprocess.PIPE, text=True) as foreground:
        ends(foreground.pid)
        assert foreground.stderr is not None
        assert "serves at" in foreground.stderr.readline()
        file = ConnectionFile.read("broker", "default")
        assert file is not None
        foreground.send_signal(number)
        rest = foreground.stderr.read()
        assert foreground.wait(30) == 0, rest
    assert "Traceback" not in rest
    assert file.token not in rest
    assert ConnectionFile.read("broker", "default") is None


def test_of_several_starts_at_once_one_wins_and_all_find_it(process: Run, ends: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(3) as threads:
        outcomes = list(threads.map(lambda _: process("broker", "start", *FREE, "--json"), range(3)))
    shown = [json.loads(outcome.out) for outcome in outcomes if outcome.code == 0]
    for one in shown:
        ends(one["pid"])
    refused = [outcome.err for outcome in outcomes if outcome.code != 0]
    assert len({one["id"] for one in shown}) == 1
    assert all("runs already" in sentence for sentence in refused)
    assert process("broker", "stop").code == 0


def test_a_second_of_the_same_name_in_the_foreground_is_3(process: Run, ends: Callable[[int], None]) -> None:
    start(process, ends)
    outcome = process("broker", *FREE)
    assert (outcome.code, outcome.err) == (3, "Error: A broker named default runs already.\n")
    assert process("broker", "stop").code == 0


def test_a_second_on_the_same_store_is_told_what_to_do(
    process: Run, ends: Callable[[int], None], tmp_path: Path
) -> None:
    store = ("--store", f"sqlite:{tmp_path / 'shared'}")
    start(process, ends, *store)
    foreground = process("broker", *FREE, "--name", "other", *store)
    assert foreground.code == 1
    assert "belongs to another broker that is running: stop that one" in foreground.err
    detached = process("broker", "start", *FREE, "--name", "other", *store)
    assert detached.code == 1
    assert "belongs to another broker that is running" in detached.err
    assert process("broker", "stop").code == 0


def test_a_port_in_use_is_one_sentence(process: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        outcome = process("broker", "--port", port, "--rpc-port", "0")
    assert outcome.code == 1
    assert outcome.err == (
        f"Error: Another program listens on 127.0.0.1:{port}: choose another port with --port, or 0 for a free one.\n"
    )


def test_a_remote_host_needs_a_flag(here: Run) -> None:
    outcome = here("broker", "--host", "0.0.0.0")
    assert outcome.code == 2
    assert "--allow-remote" in outcome.err


def test_the_token_comes_from_a_file_or_the_environment(
    process: Run, ends: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("TELEPORTER_TOKEN", "from-the-environment")
    assert start(process, ends, "--name", "a", "--token-file", str(tmp_path / "token")).token == "from-a-file"
    assert start(process, ends, "--name", "b").token == "from-the-environment"
    for name in ("a", "b"):
        assert process("broker", "stop", "--name", name).code == 0


@pytest.mark.parametrize("content", [b"", b"  \n", b"two words", b"\xff"])
def test_a_token_file_without_a_token_is_wrong_usage(here: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert here("broker", "--token-file", str(tmp_path / "token")).code == 2


def test_settings_come_from_the_command_line_then_the_environment_then_the_file(
    process: Run, ends: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd" / "teleporter.toml").write_text(
        f'[broker]\nname = "toml"\nstore = "sqlite:{tmp_path / "toml"}"\nport = 0\nrpc_port = 0\nlog_json = true\n'
    )
    monkeypatch.setenv("TELEPORTER_BROKER_NAME", "environment")
    file = start(process, ends)
    assert file.name == "environment"
    assert (tmp_path / "toml").is_dir()
    assert json.loads(process("broker", "logs").out.splitlines()[0])["level"] == "INFO"
    named = start(process, ends, "--name", "line", "--store", "memory:")
    assert named.name == "line"
    for name in ("environment", "line"):
        assert process("broker", "stop", "--name", name).code == 0


def test_the_bounds_of_dead_letters_are_settings(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []
    monkeypatch.setattr("teleporter_lab.cli.broker._run", lambda options, **_: seen.append(options))
    here("broker", *FREE)
    monkeypatch.setenv("TELEPORTER_DEAD_LETTER_AGE", "2h")
    here("broker", *FREE, "--dead-letters", "5")
    assert [options.letters for options in seen] == [LetterBounds(10_000, 30 * 86_400.0), LetterBounds(5, 7200.0)]
    for wrong in (("--dead-letters", "-1"), ("--dead-letter-age", "soon")):
        assert here("broker", *FREE, *wrong).code == 2


def test_a_log_that_is_not_there(here: Run) -> None:
    outcome = here("broker", "logs", "--name", "nobody")
    assert (outcome.code, outcome.err) == (3, "Error: There is no log of a broker named nobody.\n")


def test_options_before_a_subcommand_are_not_lost_silently(here: Run) -> None:
    outcome = here("broker", "--name", "x", "status")
    assert outcome.code == 2
    assert "after" in outcome.err
