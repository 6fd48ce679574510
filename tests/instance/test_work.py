"""What was begun is finished: by itself, and in an instance whose broker leaves in the middle of it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.daemon import Options, running
from teleporter_lab.client import Client
from teleporter_lab.errors import NotFound, Unreachable
from teleporter_lab.instance.work import Work
from teleporter_lab.rpc.messages import ConfigChangeNotify, StreamCommand, TaskState
from tests.instance.conftest import STREAM, Desk, instance_for
from tests.instance.test_runner import GATED

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.instance.instance import Instance


async def give(value: Any, after: asyncio.Event) -> Any:
    await after.wait()
    if isinstance(value, BaseException):
        raise value
    return value


@pytest.fixture
def go() -> asyncio.Event:
    return asyncio.Event()


async def test_who_waits_gets_the_result_or_the_error(go: asyncio.Event) -> None:
    work = Work()
    go.set()
    assert await work.finish(give(7, go), "seven") == 7
    with pytest.raises(NotFound, match="Gone"):
        await work.finish(give(NotFound("Gone."), go), "gone")
    await work.close()


async def test_it_goes_on_when_nobody_waits_any_more(go: asyncio.Event) -> None:
    work = Work()
    done: list[int] = []

    async def do() -> None:
        await go.wait()
        done.append(1)

    waiting = asyncio.create_task(work.finish(do(), "it"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (done, work.statistics()) == ([], {"running": 1})
    go.set()
    while work.statistics()["running"]:
        await asyncio.sleep(0)
    assert done == [1]


async def test_a_failure_that_nobody_waits_for_is_in_the_log(
    go: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    work = Work()
    work.start(give(NotFound("Gone."), go), "the one")
    work.start(give(ValueError("no luck"), go), "the other")
    third = work.start(give(3, go), "the third")
    go.set()
    assert await third == 3
    while work.statistics()["running"]:
        await asyncio.sleep(0)
    assert "the one failed: Gone." in caplog.text
    assert "the other failed." in caplog.text
    assert "ValueError: no luck" in caplog.text


async def test_closing_ends_what_is_left_and_begins_nothing(go: asyncio.Event) -> None:
    work = Work()
    ended: list[str] = []

    async def slow() -> None:
        try:
            await go.wait()
        finally:
            await asyncio.sleep(0)
            ended.append("slow")

    work.start(slow(), "slow")
    await asyncio.sleep(0)
    work.start(give(1, go), "never begun")
    await work.close()
    assert (ended, work.statistics()) == (["slow"], {"running": 0})
    with pytest.raises(Unreachable, match="The instance stops"):
        work.start(give(1, go), "late")
    await work.close()


# ---- in an instance


def gated(desk: Desk) -> str:
    return GATED.replace("GATE", repr(str(desk.folder / "gate")))


def ids(desk: Desk) -> list[int]:
    return [json.loads(line)["id"] for line in desk.output.read_text().splitlines()]


async def test_a_refresh_is_finished_though_its_broker_leaves_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the stop of the old stream and the start of the new one there is a drain, and then the broker is away."""
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    store = f"sqlite:{tmp_path / 'store.sqlite'}"
    async with running(Options(port=0, rpc_port=0, store=store, drain=0.1)) as first:
        ports = {"port": int(first.url.rpartition(":")[2]), "rpc_port": int(first.rpc.rpartition(":")[2])}
        instance = instance_for(first)
        await instance.__aenter__()
        await instance.link.wait_ready(5.0)
        async with Client(first.url, first.token) as client:
            desk = Desk(client, tmp_path)
            await desk.prepare(200)
            await desk.deploy(gated(desk))
            await desk.until(lambda view: view["counts"]["written"] == 50)
            await client.save(STREAM, {"template": gated(desk) + "\n"})
            refreshing = asyncio.create_task(client.refresh(STREAM))
            (runner,) = instance._runners.values()
            while runner._running is None or not runner._running.stopping:
                await asyncio.sleep(0.005)
            refreshing.cancel()
            await asyncio.wait([refreshing])
    (tmp_path / "gate").touch()
    try:
        async with (
            running(Options(**ports, store=store, drain=1.0, token=first.token)) as second,
            Client(second.url, second.token) as client,
        ):
            desk.client = client
            view = await desk.status("COMPLETE")
            assert view["restarts"] == 1
            assert ids(desk) == list(range(200))
    finally:
        await instance.__aexit__(None, None, None)


async def test_an_end_in_the_middle_of_a_start_is_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start waits for its documents, and the broker is gone for good."""
    monkeypatch.setenv("TELEPORTER_HOME", str(tmp_path / "home"))
    async with running(Options(port=0, rpc_port=0, store="memory:", drain=0.1)) as broker:
        instance = instance_for(broker)
        await instance.__aenter__()
        await instance.link.wait_ready(5.0)
        async with Client(broker.url, broker.token) as client:
            await client.save("/partition/test/task/all", {"keys": ["/stream/test/task/.*"]})
            await client.save(STREAM, {"template": "x = 1"})
    taking = asyncio.create_task(instance.handle(TaskState("/task/test/task", ["/partition/test/task/all"], 1)))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await instance.__aexit__(None, None, None)
    await asyncio.wait([taking])
    assert taking.cancelled()


async def test_a_command_for_later_does_not_hold_up_the_end(broker: Running, tmp_path: Path, client: Client) -> None:
    instance = instance_for(broker)
    await instance.__aenter__()
    await instance.link.wait_ready(5.0)
    desk = Desk(client, tmp_path)
    await desk.prepare(10)
    await desk.deploy(gated(desk))
    await desk.status("COMPLETE")
    await instance.handle(StreamCommand(STREAM, "restart", 3600.0))
    async with asyncio.timeout(5):
        await instance.__aexit__(None, None, None)
    with pytest.raises(Unreachable, match="stops"):
        await instance.handle(ConfigChangeNotify(STREAM, "UPSERT"))


async def test_a_stream_that_is_given_away_is_not_started_by_a_refresh_that_waited(
    desk: Desk, instance: Instance
) -> None:
    await desk.deploy(gated(desk))
    await desk.until(lambda view: view["counts"]["written"] == 50)
    (runner,) = instance._runners.values()
    revoking = asyncio.create_task(instance.handle(TaskState("/task/test/task", [], 2)))
    while runner._running is not None and not runner._running.stopping:
        await asyncio.sleep(0)
    refreshing = asyncio.create_task(instance.handle(ConfigChangeNotify(STREAM, "UPSERT")))
    for _ in range(20):
        await asyncio.sleep(0.005)
    (desk.folder / "gate").touch()
    await asyncio.gather(revoking, refreshing)
    assert (runner.alive, instance.statistics()) == (False, {})


async def test_a_sink_that_is_mended_starts_the_stream_that_failed_of_it(desk: Desk) -> None:
    sink = (await desk.client.get("/sink/test/task/copy/lines"))["value"]
    await desk.client.save("/sink/test/task/copy/lines", {**sink, "client": {"path": "${env:NOT_SET_ANYWHERE}"}})
    (desk.folder / "gate").touch()
    await desk.deploy(gated(desk))
    await desk.status("FAILURE")
    await desk.client.save("/sink/test/task/copy/lines", sink)
    answer = await desk.client.refresh("/sink/test/task/copy/lines")
    assert answer["problems"] == []
    await desk.until(lambda view: view["counts"]["written"] == 1000)


async def test_all_streams_say_what_they_have_against_a_change(desk: Desk) -> None:
    (desk.folder / "gate").touch()
    source = (await desk.client.get("/source/test/task/copy/rows"))["value"]
    sink = (await desk.client.get("/sink/test/task/copy/lines"))["value"]
    await desk.client.save("/variable/test/v", {"arguments": {"n": 5}})
    for name in ("a", "b"):
        below = f"test/task/{name}"
        await desk.client.save(f"/source/{below}/rows", source)
        path = str(desk.folder / name)
        client = {**sink["client"], "path": path, "batchSize": "${variable:/variable/test/v#n}"}
        await desk.client.save(f"/sink/{below}/lines", {**sink, "client": client})
        slow = gated(desk).replace("per=0.001", "per=1.0")
        await desk.client.save(f"/stream/{below}", {"template": slow})
        await desk.client.refresh(f"/stream/{below}")
    async with asyncio.timeout(10):
        while {v["status"] for v in await desk.client.streams("/stream/test/task/[ab]")} != {"RUNNING"}:
            await asyncio.sleep(0.01)
    await desk.client.save("/variable/test/v", {"arguments": {"n": "many"}})
    answer = await desk.client.refresh("/variable/test/v")
    paths = {problem["path"] for problem in answer["problems"]}
    assert paths == {f"/sink/test/task/{name}/lines: client.batchSize" for name in ("a", "b")}
    for view in await desk.client.streams("/stream/test/task/[ab]"):
        assert view["status"] == "RUNNING"
