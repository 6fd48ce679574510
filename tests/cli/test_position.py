from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.blocking import LoopThread

if TYPE_CHECKING:
    from teleporter_lab.broker.daemon import Running
    from tests.cli.conftest import Run

SOURCE = "/source/ns/t/s/in"
KEY = "/position/ns/t/s/in"


@pytest.fixture(autouse=True)
def kept(broker: Running, here: Run) -> None:
    """A history of three commits, ten minutes apart, and the last of them is where the source is."""
    here("config", "put", SOURCE, '{"category": "csv", "client": {"path": "in.csv"}}')
    service = broker.service

    async def write() -> None:
        for number in (1, 2, 3):
            entry = {"kind": "commit", "id": f"0-{number}", "at": 600.0 * number, "read": 100 * number}
            await service.history.add(KEY, entry | {"position": {"offset": 100 * number}})
        record: dict[str, Any] = {"position": {"offset": 300}, "ledger": {"read": 300, "written": 290}, "at": 1800.0}
        await service.runtime.write(KEY, record | {"epoch": 1})

    with LoopThread() as loop:
        loop.run(write())


def position(here: Run) -> Any:
    return json.loads(here("position", "show", SOURCE, "--json").out)["position"]


def test_positions_are_listed_and_shown(here: Run) -> None:
    table = here("position", "list")
    assert table.code == 0
    for part in (SOURCE, '{"offset": 300}', "290"):
        assert part in table.out
    assert json.loads(here("position", "list", "/stream/ns/", "--json").out)[0]["key"] == KEY
    assert json.loads(here("position", "list", "/source/other/", "--json").out) == []
    shown = here("position", "show", SOURCE)
    assert "1970-01-01" in shown.out
    unknown = here("position", "show", "/source/ns/t/s/unknown")
    assert (unknown.code, "There is no source" in unknown.err) == (1, True)


def test_set_shows_what_it_does(here: Run) -> None:
    done = here("position", "set", SOURCE, '{"offset": 100}', "--yes", "-m", "again")
    assert done.code == 0
    assert "200 records repeat." in done.err
    assert f'{SOURCE} goes on from {{"offset": 100}}.' in done.out
    assert "again" in here("position", "history", SOURCE).out
    newest = json.loads(here("position", "history", SOURCE, "--limit", "1", "--json").out)[0]
    assert (newest["kind"], newest["message"]) == ("set", "again")


@pytest.mark.parametrize(
    ("options", "offset"),
    [
        (["--records", "150"], 100),
        (["--records", "100"], 200),
        (["--entry", "0-1"], 100),
        (["--to", "1970-01-01T00:25:00Z"], 200),
        (['{"offset": 7}'], 7),
    ],
)
def test_rewind(here: Run, options: list[str], offset: int) -> None:
    done = here("position", "rewind", SOURCE, *options, "--yes", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["position"] == {"offset": offset}
    assert position(here) == {"offset": offset}


def test_reset(here: Run) -> None:
    done = here("position", "reset", SOURCE, "-y")
    assert "goes on from its start" in done.out
    assert "300 records repeat" in done.err
    assert position(here) is None


@pytest.mark.parametrize(("answer", "offset"), [("n\n", 300), ("y\n", 200), ("", 300)])
def test_it_asks_first(here: Run, monkeypatch: pytest.MonkeyPatch, answer: str, offset: int) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    done = here("position", "rewind", SOURCE, "--records", "100")
    assert "100 records repeat" in done.err
    assert done.code == (0 if offset == 200 else 1)
    assert position(here) == {"offset": offset}


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["set", SOURCE, "{", "-y"], 1, "The position is not JSON"),
        (["rewind", SOURCE], 2, "Say where to"),
        (["rewind", SOURCE, "--records", "5", "--entry", "0-1"], 2, "Say where to"),
        (["rewind", SOURCE, "--records", "0"], 2, "records"),
        (["rewind", SOURCE, "--to", "yesterday", "-y"], 1, "no date-time"),
        (["rewind", SOURCE, "--records", "5000", "-y"], 1, "reset goes to the start"),
        (["rewind", SOURCE, "--entry", "unknown", "-y"], 1, "The history has no entry"),
        (["set", "/task/ns/t", "1", "-y"], 1, "is no source"),
    ],
)
def test_what_cannot_be_is_said(here: Run, arguments: list[str], code: int, why: str) -> None:
    failed = here("position", *arguments)
    assert failed.code == code
    assert why in failed.err
    assert position(here) == {"offset": 300}
