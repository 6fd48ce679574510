from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.blocking import LoopThread
from tests.broker.letters import STREAM, letter, letters

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def shelf(broker: Running, here: Run) -> Running:
    here("config", "put", STREAM, "{}")
    with LoopThread() as loop:
        loop.run(broker.service.letters.put(STREAM, [*letters(3), letter(9, place="csv(in)")]))
    return broker


def left(here: Run) -> int:
    return len(json.loads(here("deadletter", "list", STREAM, "--json").out)["letters"])


def test_letters_are_listed(here: Run) -> None:
    table = here("deadletter", "list")
    assert table.code == 0
    for part in (letter(2)[0], "ValueError: no number", '{"n":2}', "redriven", "There are more"):
        assert (part in table.out) is (part != "There are more")
    first = here("deadletter", "list", STREAM, "--place", "map", "--limit", "2")
    assert "There are more: add --start 2." in first.out
    found = json.loads(here("deadletter", "list", "--error", "nothing like it", "--json").out)
    assert (found["letters"], found["counts"][STREAM]["kept"]) == ([], 4)
    streams = here("streams", "list")
    assert "dead letters" in streams.out
    assert "alarms" not in streams.out


def test_streams_without_dead_letters_have_no_column_for_them(here: Run) -> None:
    here("deadletter", "drop", STREAM, "--all", "--yes")
    assert "dead letters" not in here("streams", "list").out


def test_one_letter_is_shown_and_edited(here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = letter(1)[0]
    assert '"n": 1' in here("deadletter", "show", STREAM, name).out
    seen = json.loads(here("deadletter", "show", STREAM, name, "--json").out)
    assert here("deadletter", "edit", STREAM, name, '{"n": 5}', "--etag", seen["etag"]).out == f"Edited {name}.\n"
    stale = here("deadletter", "edit", STREAM, name, '{"n": 6}', "--etag", seen["etag"])
    assert (stale.code, "another one by now" in stale.err) == (1, True)
    file = tmp_path / "record.json"
    file.write_text('{"n": "file"}')
    assert here("deadletter", "edit", STREAM, name, "--file", str(file)).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO('{"n": "stdin"}'))
    changed = json.loads(here("deadletter", "edit", STREAM, name, "-", "--json").out)
    assert (changed["record"], changed["edited"]) == ({"n": "stdin"}, True)


def test_drop_asks_first(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = here("deadletter", "drop", STREAM, "--all")
    assert (refused.code, left(here)) == (1, 4)
    assert "lost for good" in refused.err
    done = here("deadletter", "drop", STREAM, letter(0)[0], "gone", "--yes")
    assert done.out == "1 letter was dropped.\nNot there: gone.\n"
    assert json.loads(here("deadletter", "drop", STREAM, "--place", "map", "-y", "--json").out)["dropped"] == 2
    assert left(here) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["show", STREAM, "unknown"], 1, "has no dead letter 'unknown'"),
        (["edit", STREAM, letter(0)[0], "{"], 1, "The record is not JSON"),
        (["edit", STREAM, letter(0)[0]], 2, "either as an argument or with --file"),
        (["edit", STREAM, "unknown", "1"], 1, "has no dead letter"),
        (["drop", STREAM, "--yes"], 1, "Say which letters"),
        (["redrive", STREAM], 1, "Say which letters"),
        (["redrive", STREAM, "--all"], 1, "run by no instance that is connected"),
        (["list", "/task/"], 1, "begin it with /stream/"),
        (["list", "--since", "yesterday"], 1, "no date-time"),
    ],
)
def test_what_cannot_be_is_said(here: Run, arguments: list[str], code: int, why: str) -> None:
    failed = here("deadletter", *arguments)
    assert failed.code == code
    assert why in failed.err
    assert left(here) == 4


def test_a_redrive_says_what_arrived_and_why_the_rest_did_not(
    here: Run, shelf: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(stream: str, which: object, after: str, limit: int) -> dict[str, object]:
        failed = [{"id": f"{after or 'x'}{number}", "why": "no number"} for number in range(6)]
        return {"redriven": 1, "failed": failed, "next": None if after else "y"}

    monkeypatch.setattr(shelf.service.redriving, "page", page)
    done = here("deadletter", "redrive", STREAM, "--all")
    assert (done.code, done.out) == (1, "2 letters were redriven.\n")
    assert "12 letters were not redriven:\n  x0: no number\n" in done.err
    assert done.err.endswith("  and 2 more\n")
    monkeypatch.setattr(shelf.service.redriving, "page", lambda *_: _done())
    assert here("deadletter", "redrive", STREAM, "a", "b").out == "3 letters were redriven.\n"
    assert json.loads(here("deadletter", "redrive", STREAM, "--place", "x", "--json").out)["redriven"] == 3


async def _done() -> dict[str, object]:
    return {"redriven": 3, "failed": [], "next": None}
