"""What a person gets who makes a mistake in a notebook: one clear sentence, nothing saved, the broker alive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from teleporter_lab.blocking import LoopThread
from teleporter_lab.broker.daemon import Options, running
from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.lab.magics import TeleportMagics
from tests.instance.seat import COPY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STREAM = "/stream/test/task/copy"


@pytest.fixture
def magics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TeleportMagics]:
    """The magic of a shell, and a real broker that a connection file leads to."""
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    stop = asyncio.Event()
    ready = asyncio.Event()

    async def broker() -> None:
        async with running(Options(port=0, rpc_port=0, store="memory:", drain=1.0)) as found:
            ConnectionFile.new("broker", "default", url=found.url, rpc=found.rpc, token=found.token, log="").write()
            ready.set()
            await stop.wait()

    with LoopThread() as thread:
        task = asyncio.run_coroutine_threadsafe(broker(), thread.loop)
        thread.run(asyncio.wait_for(ready.wait(), 10))
        found = TeleportMagics(InteractiveShell.instance())
        yield found
        found.bridge.close()
        thread.loop.call_soon_threadsafe(stop.set)
        task.result(10)


def refused(magics: TeleportMagics, line: str, cell: str | None = None) -> str:
    """The sentence of a refusal; no traceback, no class name."""
    with pytest.raises(UsageError) as caught:
        magics.teleport(line, cell)
    text = str(caught.value)
    assert "Traceback" not in text
    return text


def keys(magics: TeleportMagics) -> list[str]:
    return [entry["key"] for entry in magics.bridge.client("default").range("/")]


@pytest.mark.parametrize(
    ("line", "cell", "sentence"),
    [
        (f"deploy {STREAM} --cron 5", COPY, "unrecognized arguments: --cron 5"),
        ("fly", None, "invalid choice: 'fly'"),
        ("status --loud", None, "unrecognized arguments: --loud"),
        ("config get 'open", None, "cannot be read"),
        ("config get stream/a", None, "stream/a"),
        ("config get /strem/a/b/c", None, "strem"),
        ("config get /stream/a/b", None, "/stream/"),
        ("config get /stream/a/b/c", None, "Nothing is kept"),
        ("config jump /stream/a/b/c", None, "there are get, range, put, delete and apply"),
        ("config apply", "- a\n- b\n", "map from keys to values"),
        ("config apply", "a: [\n", "not YAML"),
        ("config apply", "", "map from keys to values"),
        ("start /stream/a/b/c", None, "Nothing is kept"),
        ("broker jump", None, "there are start, stop, status, list"),
        ("instance start", None, "Say which instance"),
        (f"deploy {STREAM}", "", "Nothing to deploy"),
        (f"deploy {STREAM}", "def broken(:\n", "does not compile: invalid syntax, line 1"),
        (f"deploy {STREAM}", COPY + "print(frame)\n", "uses `frame` without defining it"),
        ("deploy /source/test/task/copy/x", COPY, "is no stream"),
        (f"deploy {STREAM} --to /task/test/task", COPY, "an instance or a group"),
        (f"deploy {STREAM} --to nowhere", COPY, "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_saved(
    magics: TeleportMagics, line: str, cell: str | None, sentence: str
) -> None:
    assert sentence in refused(magics, line, cell)
    assert keys(magics) == []


def test_five_mistakes_are_all_shown_each_with_its_path(magics: TeleportMagics) -> None:
    cell = """
/namespace/test: {}
/sink/test/task/copy/lines:
  category: csv
  colour: red
  address: {key: /stream/a/b/c}
  client: {path: "", batchSize: many, delimiter: ";;"}
"""
    text = refused(magics, "config apply", cell)
    for path in ("colour", "address.key", "client.path", "client.batchSize", "client.delimiter"):
        assert f"/sink/test/task/copy/lines: {path}: " in text
    assert keys(magics) == []


def test_a_broker_that_is_down_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "empty"))
    found = TeleportMagics(InteractiveShell.instance())
    try:
        assert "start it with `teleporter-lab broker start`" in refused(found, f"deploy {STREAM}", COPY)
    finally:
        found.bridge.close()


def test_a_dry_run_says_what_would_be_saved_and_saves_nothing(magics: TeleportMagics) -> None:
    table: Any = magics.teleport(f"deploy {STREAM} --to /instance/test/one --dry-run", COPY)
    would = [row["would save"] for row in table.rows]
    assert would[0] == STREAM
    assert {"/group/test/one", "/task/test/task", "/partition/test/task/all", "/instance/test/one"} < set(would)
    assert keys(magics) == []


def test_deployed_to_the_kernel_it_runs_while_the_cell_is_busy(magics: TeleportMagics, tmp_path: Path) -> None:
    """The embedded instance has a thread of its own: this test blocks, and the stream comes to its end."""
    (tmp_path / "in.csv").write_text("id\n" + "".join(f"{i}\n" for i in range(100)))
    cell = f"""
/source/test/task/copy/rows: {{category: csv, client: {{path: "{tmp_path / "in.csv"}"}}}}
/sink/test/task/copy/lines: {{category: file, client: {{path: "{tmp_path / "out.jsonl"}", format: jsonl}}}}
"""
    magics.teleport("config apply", cell)
    live = magics.teleport(f"deploy {STREAM} --to embedded", COPY)
    while live.refresh()["status"] not in {"COMPLETE", "FAILURE"}:
        pass
    assert live.view["counts"]["written"] == 100
    assert "read 100, written 100" in repr(live)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 100
    assert STREAM in repr(magics.teleport("status"))
