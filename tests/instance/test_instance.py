"""An instance with a real broker: streams run, fail alone, change while they run, and end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.client import Client
from teleporter_lab.errors import InvalidConfig, NotFound
from tests.instance.conftest import INSTANCE, STREAM, Desk, instance_for

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.instance.log_tail import LogKeeper

COPY = """
@stream_logic
def copy(s):
    return s.source("rows").to(s.sink("lines"))
"""

SLOW = """
@stream_logic
def copy(s):
    return s.source("rows").map(lambda row: {**row, "version": VERSION}).throttle(10, per=0.02).to(s.sink("lines"))
"""


def written(desk: Desk) -> list[dict[str, object]]:
    return [json.loads(line) for line in desk.output.read_text().splitlines()]


async def test_a_stream_runs_to_the_end_of_its_source(desk: Desk) -> None:
    answer = await desk.deploy(COPY)
    assert answer["problems"] == []
    assert answer["notified"] == [INSTANCE]
    view = await desk.status("COMPLETE")
    assert view["counts"]["read"] == view["counts"]["written"] == 1000
    assert view["counts"]["in_flight"] == 0
    assert written(desk) == [{"id": i, "name": f"name {i}"} for i in range(1000)]


async def test_its_position_and_ledger_are_kept_under_their_own_key(desk: Desk) -> None:
    await desk.deploy(COPY)
    await desk.status("COMPLETE")
    kept = (await desk.client.runtime_get("/position/test/task/copy/rows"))["value"]
    assert kept["position"]["offset"] == desk.input.stat().st_size
    assert kept["ledger"]["read"] == kept["ledger"]["written"] == 1000
    assert "position" not in (await desk.client.get("/source/test/task/copy/rows"))["value"]


async def test_started_again_it_goes_on_where_it_was(desk: Desk) -> None:
    await desk.deploy(COPY)
    await desk.status("COMPLETE")
    with desk.input.open("a") as file:
        file.write("1000,late\n")
    await desk.client.start(STREAM)
    await desk.until(lambda view: view["counts"]["written"] == 1001)
    assert [row["id"] for row in written(desk)] == list(range(1001))


async def test_stop_drains_and_holds_and_start_goes_on(desk: Desk) -> None:
    await desk.deploy(SLOW.replace("VERSION", "1"))
    await desk.until(lambda view: view["counts"]["written"] > 0)
    view = await desk.client.stop(STREAM)
    assert (view["status"], view["wanted"]) == ("STOPPED", "STOPPED")
    stopped = await desk.view()
    assert stopped["counts"]["in_flight"] == 0
    assert len(written(desk)) == stopped["counts"]["written"] < 1000
    await desk.client.start(STREAM)
    await desk.status("COMPLETE")
    assert [row["id"] for row in written(desk)] == list(range(1000))


async def test_a_refresh_brings_new_code_and_loses_nothing(desk: Desk) -> None:
    await desk.deploy(SLOW.replace("VERSION", "1"))
    for version in (2, 3, 4):
        seen = (await desk.view())["counts"]["written"]
        await desk.until(lambda view, seen=seen: view["counts"]["written"] > seen)
        assert (await desk.deploy(SLOW.replace("VERSION", str(version))))["problems"] == []
    await desk.status("COMPLETE")
    rows = written(desk)
    assert [row["id"] for row in rows] == list(range(1000))
    versions = [row["version"] for row in rows]
    assert versions == sorted(versions)
    assert set(versions) == {1, 2, 3, 4}


async def test_a_refresh_of_what_runs_already_restarts_nothing(desk: Desk) -> None:
    await desk.deploy(SLOW.replace("VERSION", "1"))
    await desk.status("RUNNING")
    await desk.client.refresh(STREAM)
    await desk.client.refresh("/sink/test/task/copy/lines")
    assert (await desk.view())["restarts"] == 0
    await desk.client.restart(STREAM)
    assert (await desk.until(lambda view: view["restarts"] == 1))["status"] == "RUNNING"


async def test_names_may_hold_dots_and_dashes(desk: Desk, tmp_path: Path) -> None:
    """A dash begins the regex of a tail pattern: names with one must be found all the same."""
    stream = "/stream/test/task/my-2nd.copy"
    source = (await desk.client.get("/source/test/task/copy/rows"))["value"]
    sink = (await desk.client.get("/sink/test/task/copy/lines"))["value"]
    sink["client"]["path"] = str(tmp_path / "second.jsonl")
    await desk.client.save("/source/test/task/my-2nd.copy/rows", source)
    await desk.client.save("/sink/test/task/my-2nd.copy/lines", sink)
    await desk.client.save(stream, {"template": COPY})
    await desk.client.refresh(stream)
    async with asyncio.timeout(10):
        while (await desk.client.streams("/stream/test/task/my.*"))[0]["status"] != "COMPLETE":
            await asyncio.sleep(0.01)
    assert len((tmp_path / "second.jsonl").read_text().splitlines()) == 1000


async def test_a_bad_refresh_keeps_the_old_stream_running(desk: Desk) -> None:
    await desk.deploy(SLOW.replace("VERSION", "1"))
    await desk.until(lambda view: view["counts"]["written"] > 0)
    answer = await desk.deploy("def broken(:\n")
    assert len(answer["problems"]) == 1
    assert "does not compile" in answer["problems"][0]["message"]
    view = await desk.view()
    assert view["status"] == "RUNNING"
    await desk.until(lambda now: now["counts"]["written"] > view["counts"]["written"])


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("def broken(:\n", "does not compile: invalid syntax, line 1"),
        ("import no_such_module\n", "raised ModuleNotFoundError at line 1"),
        ("@stream_logic\ndef a(s):\n    raise ValueError('no luck')\n", "raised ValueError at line 3: no luck"),
        ("@stream_logic\ndef a(s):\n    s.source('rows').to(s.sink('lines'))\n", "returned nothing"),
        ("@stream_logic\ndef a(s):\n    return s.source('rows')\n", "flow without a sink"),
        ("@stream_logic\ndef a(s):\n    return 42\n", "returned a int"),
        ("x = 1\n", "must mark one function with @stream_logic; it marks none"),
        ("@stream_logic\ndef a(s):\n    return s.source('row').to(s.sink('lines'))\n", "has no source 'row'"),
        (
            "@stream_logic\ndef a(s):\n    return s.source('rows').map(lambda r: 1 / 0).to(s.sink('lines'))\n",
            "ZeroDivisionError: division by zero",
        ),
    ],
)
async def test_a_bad_template_fails_with_one_sentence_and_harms_nobody(
    desk: Desk, template: str, sentence: str
) -> None:
    await desk.deploy(template)
    view = await desk.status("FAILURE")
    assert sentence in view["error"]
    assert not desk.output.exists() or desk.output.read_text() == ""
    await desk.deploy(COPY)
    await desk.status("COMPLETE")
    assert len(written(desk)) == 1000


async def test_a_config_with_mistakes_in_several_documents_names_them_all(desk: Desk) -> None:
    await desk.client.save("/variable/test/v", {"arguments": {"size": "many"}})
    broken = {"category": "csv", "client": {"path": "x.csv", "rowNumber": 1, "delimiter": "${v.size}"}}
    await desk.client.save("/source/test/task/copy/rows", {**broken, "client": {"path": "${env:NOT_SET_ANYWHERE}"}})
    sink = {"category": "file", "client": {"path": "y", "batchSize": "${variable:/variable/test/v#size}"}}
    await desk.client.save("/sink/test/task/copy/lines", sink)
    await desk.deploy(COPY)
    error = (await desk.status("FAILURE"))["error"]
    assert "/source/test/task/copy/rows" in error
    assert "NOT_SET_ANYWHERE" in error
    assert "/sink/test/task/copy/lines: client.batchSize" in error


async def test_a_row_with_a_missing_column_stops_there_and_goes_on_when_mended(desk: Desk) -> None:
    good = desk.input.read_text().splitlines(keepends=True)
    desk.input.write_text("".join([*good[:501], "500\n", *good[502:]]))
    await desk.deploy(COPY)
    view = await desk.status("FAILURE")
    assert "in.csv" in view["error"]
    assert "Line 502" in view["error"]
    assert [row["id"] for row in written(desk)] == list(range(500))
    desk.input.write_text("".join(good))
    await desk.client.start(STREAM)
    await desk.status("COMPLETE")
    assert [row["id"] for row in written(desk)] == list(range(1000))


async def test_an_unreadable_file_is_one_sentence(desk: Desk, tmp_path: Path) -> None:
    desk.input.unlink()
    await desk.deploy(COPY)
    error = (await desk.status("FAILURE"))["error"]
    assert str(desk.input) in error
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1


async def test_streams_run_on_while_the_broker_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker goes and comes back on the same ports and store; the stream neither stops nor repeats."""
    from teleporter_lab.broker.daemon import Options, running

    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    store = f"sqlite:{tmp_path / 'store.sqlite'}"
    async with running(Options(port=0, rpc_port=0, store=store, drain=1.0)) as first:
        ports = {"port": int(first.url.rpartition(":")[2]), "rpc_port": int(first.rpc.rpartition(":")[2])}
        instance = instance_for(first)
        await instance.__aenter__()
        await instance.link.wait_ready(5.0)
        async with Client(first.url, first.token) as client:
            desk = Desk(client, tmp_path)
            await desk.prepare()
            await desk.deploy(SLOW.replace("VERSION", "1"))
            await desk.until(lambda view: view["counts"]["written"] > 0)
    before = len(written(desk))
    await asyncio.sleep(0.3)
    assert len(written(desk)) > before
    try:
        async with (
            running(Options(**ports, store=store, drain=1.0, token=first.token)) as second,
            Client(second.url, second.token) as client,
        ):
            desk.client = client
            await desk.status("COMPLETE")
            assert [row["id"] for row in written(desk)] == list(range(1000))
    finally:
        await instance.__aexit__(None, None, None)


async def test_a_stream_given_to_another_instance_stops_here_first(desk: Desk, broker: Running) -> None:
    await desk.deploy(SLOW.replace("VERSION", "1"))
    await desk.until(lambda view: view["counts"]["written"] > 0)
    async with instance_for(broker, "/instance/test/two") as other:
        await other.link.wait_ready(5.0)
        group = {"tasks": ["/task/test/task"], "instances": ["/instance/test/two"]}
        await desk.client.save("/group/test/all", group)
        await desk.client.refresh("/group/test/all")
        await desk.until(lambda view: view["instance"] == "/instance/test/two" and view["status"] == "RUNNING")
        await desk.status("COMPLETE")
    assert [row["id"] for row in written(desk)] == list(range(1000))


async def test_a_removed_stream_is_gone(desk: Desk) -> None:
    await desk.deploy(SLOW.replace("VERSION", "1"))
    await desk.until(lambda view: view["counts"]["written"] > 0)
    await desk.client.delete(STREAM)
    await desk.client.refresh(STREAM)
    with pytest.raises(NotFound):
        await desk.client.runtime_get(STREAM)
    count = len(written(desk))
    await asyncio.sleep(0.1)
    assert len(written(desk)) == count


async def test_the_log_of_an_instance_comes_through_the_broker(desk: Desk) -> None:
    await desk.deploy("def broken(:\n")
    await desk.status("FAILURE")
    async with asyncio.timeout(5):
        async for lines in desk.client.log(INSTANCE):
            if any("does not compile" in line for line in lines):
                break


FLAKY = """
from pathlib import Path

def flaky(row):
    if row["id"] == 500 and not Path(GATE).exists():
        Path(GATE).touch()
        raise OSError("the system is away")
    return row

@stream_logic
def copy(s):
    return s.source("rows").map(flaky).to(s.sink("lines"))
"""


async def test_a_rule_restarts_a_failed_stream_which_goes_on_where_it_was(desk: Desk, tmp_path: Path) -> None:
    template = FLAKY.replace("GATE", repr(str(tmp_path / "gate")))
    await desk.deploy(template, errorRules=["is away:WARN => restart(delay = 10.millis, retries = 2)"])
    view = await desk.status("COMPLETE", "FAILURE")
    assert (view["status"], view["restarts"]) == ("COMPLETE", 1)
    ids = [row["id"] for row in written(desk)]
    assert sorted(set(ids)) == list(range(1000))


async def test_when_the_tries_are_used_up_the_stream_fails(desk: Desk) -> None:
    always = '@stream_logic\ndef a(s):\n    return s.source("rows").map(lambda r: 1 / 0).to(s.sink("lines"))\n'
    await desk.deploy(always, errorRules=["ZeroDivision => restart(delay = 1.millis, retries = 3)"])
    view = await desk.status("FAILURE")
    assert view["restarts"] == 3


async def test_a_stream_that_waits_to_restart_can_be_stopped(desk: Desk) -> None:
    always = '@stream_logic\ndef a(s):\n    return s.source("rows").map(lambda r: 1 / 0).to(s.sink("lines"))\n'
    await desk.deploy(always, errorRules=["ZeroDivision => restart(delay = 1.hours)"])
    view = await desk.until(lambda view: "Restarts in 3600.0 s" in view["error"])
    assert view["status"] == "RUNNING"
    assert (await desk.client.stop(STREAM))["status"] == "STOPPED"


async def test_a_wrong_rule_is_a_problem_at_its_place(desk: Desk) -> None:
    with pytest.raises(InvalidConfig, match=r"errorRules\[0\]: .*one of start, stop, restart"):
        await desk.deploy(COPY, errorRules=["x => jump"])


async def test_a_drained_stream_is_never_called_complete(desk: Desk) -> None:
    """Whoever waits for COMPLETE must not be told so while a refresh or a stop drains the stream."""
    statuses: set[str] = set()

    async def watch() -> None:
        async for event in desk.client.events():
            statuses.add(event.get("status", event["type"]))

    watching = asyncio.create_task(watch())
    await desk.deploy(SLOW.replace("VERSION", "1"))
    await desk.until(lambda view: view["counts"]["written"] > 0)
    for version in (2, 3):
        await desk.deploy(SLOW.replace("VERSION", str(version)))
    await desk.client.stop(STREAM)
    await desk.status("STOPPED")
    watching.cancel()
    assert "RUNNING" in statuses
    assert "COMPLETE" not in statuses


async def test_what_is_set_and_not_carried_out_is_said_in_the_log(desk: Desk, logs: LogKeeper) -> None:
    await desk.deploy(COPY, cron="*/5 * * * *")
    await desk.status("COMPLETE")
    said = "\n".join(logs.tail(100))
    assert f"{STREAM}: cron is kept, but this version does not carry it out." in said
    assert "roller is kept" not in said
