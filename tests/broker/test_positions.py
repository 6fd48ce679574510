from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.positions import Change, Target, position_key
from teleporter_lab.broker.values import canonical
from teleporter_lab.errors import Conflict, InvalidInput, InvalidKey, NotFound, TemplateError
from teleporter_lab.rpc.messages import Done, Message, StreamCommand, StreamState
from tests.broker.conftest import Remote, World, group, partitions, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

A = "/instance/ns/a"
STREAM = "/stream/ns/t/s0"
SOURCE = "/source/ns/t/s0/in"
KEY = "/position/ns/t/s0/in"


def record(offset: int, read: int | None = None, **more: Any) -> dict[str, Any]:
    ledger = {"read": offset if read is None else read, "written": offset}
    return {"at": 5.0, "epoch": 1, "ledger": ledger, "position": {"offset": offset}} | more


class Source:
    """A stream on an instance, and commits as its run makes them."""

    def __init__(self, world: World, remote: Remote) -> None:
        self.world = world
        self.remote = remote
        self.service = world.service
        self.positions = world.service.positions
        self.kept: dict[str, Any] | None = None
        self.minutes = 0

    async def commit(self, offset: int, read: int | None = None, **more: Any) -> None:
        update = record(offset, read, **more)
        await self.service.commit(self.world.sessions[A], KEY, self.kept, update, 1)
        self.kept = update
        await settled()

    async def sampled(self, *offsets: int) -> None:
        """Commits which all get an entry in the history."""
        for offset in offsets:
            await self.commit(offset)
            self.service.history._due.clear()
            self.service.history._counts[KEY] = 1

    async def runs(self, status: str = "RUNNING") -> None:
        state = StreamState(STREAM, A, status, 1.0, 0, "", {}, 0.0)
        await self.service.streams.changed(A, state)

    async def set(self, offset: int, **how: Any) -> dict[str, Any]:
        return await self.positions.change(KEY, Target({"offset": offset}), Change(**how))

    def commands(self) -> list[str]:
        return [message.action for message in self.remote.asked if isinstance(message, StreamCommand)]


@pytest.fixture
async def source(world: World) -> Source:
    await world.put({"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(1), STREAM: {}})
    await world.put({SOURCE: {"category": "kafka", "client": {"topics": "t"}}})
    await world.service.refresh("/group/ns/g")
    return Source(world, await world.come(A))


async def test_a_source_that_never_committed_is_at_its_start(source: Source) -> None:
    found = await source.positions.get(SOURCE)
    assert (found["key"], found["source"], found["stream"]) == (KEY, SOURCE, STREAM)
    assert (found["position"], found["ledger"], found["problem"]) == (None, None, "")
    assert found["instance"] == A
    assert await source.positions.range() == []


async def test_a_position_is_shown_with_its_ledger_and_its_stream(source: Source) -> None:
    await source.commit(10)
    await source.runs()
    found = await source.positions.get(KEY)
    assert (found["position"], found["epoch"], found["at"]) == ({"offset": 10}, 1, 5.0)
    assert found["ledger"] == {"read": 10, "written": 10}
    assert (found["status"], found["instance"]) == ("RUNNING", A)
    for pattern in ("/position/", "/source/ns/t/", "/stream/ns/t/s0/i.*"):
        assert await source.positions.range(pattern) == [found]
    assert await source.positions.range("/source/ns/other/") == []


async def test_what_is_no_source_is_said(source: Source) -> None:
    for key in ("/stream/ns/t/s0", "/position/ns/t", "nonsense"):
        with pytest.raises(InvalidKey):
            await source.positions.get(key)
    with pytest.raises(NotFound, match="no source /source/ns/t/s0/other"):
        await source.positions.get("/source/ns/t/s0/other")
    with pytest.raises(InvalidInput, match="begin it with"):
        await source.positions.range("/address/")


async def test_what_is_kept_and_no_position_can_be_seen_and_replaced(source: Source) -> None:
    await source.service.runtime.write(KEY, ["no", "record"])
    found = await source.positions.get(KEY)
    assert (found["position"], found["problem"]) == (None, "What is kept here is no position: set or reset it.")
    assert (await source.set(5))["position"] == {"offset": 5}


async def test_a_position_outlives_its_config(source: Source) -> None:
    await source.commit(10)
    for key in (SOURCE, STREAM):
        await source.service.tree.delete(key)
    assert (await source.positions.get(KEY))["status"] == ""
    assert (await source.positions.change(KEY, Target(start=True), Change()))["id"]


async def test_set_writes_what_a_stream_can_go_on_from(source: Source) -> None:
    await source.commit(10)
    done = await source.set(4, by="ada", message="twice, please")
    assert done["preview"]["records"] == 6
    assert (done["position"], done["set"], done["by"]) == ({"offset": 4}, done["id"], "ada")
    kept = (await source.service.runtime.get(KEY)).value
    assert kept["ledger"] == {"read": 10, "written": 10}, "what was read was read"
    newest, before = await source.positions.history(KEY)
    assert (newest["kind"], newest["by"], newest["message"]) == ("set", "ada", "twice, please")
    assert (newest["old"], newest["position"], newest["preview"]["records"]) == ({"offset": 10}, {"offset": 4}, 6)
    assert (before["kind"], before["position"]) == ("commit", {"offset": 10})


async def test_reset_goes_to_the_start_and_keeps_the_history_and_the_ledger(source: Source) -> None:
    await source.commit(10)
    preview = await source.positions.preview(KEY, Target(start=True))
    assert (preview["target"], preview["preview"]["records"]) == (None, 10)
    done = await source.positions.change(KEY, Target(start=True), Change(message="again"))
    assert (done["position"], done["preview"]["records"]) == (None, 10)
    kept = (await source.service.runtime.get(KEY)).value
    assert (kept["position"], kept["ledger"]["read"], kept["set"]) == (None, 10, done["id"])
    assert [entry["kind"] for entry in await source.positions.history(KEY)] == ["reset", "commit"]
    nothing = await source.positions.change(KEY, Target(start=True), Change())
    assert (nothing["id"], nothing["preview"]["records"]) == (None, 0)


async def test_rewind_goes_to_a_place_of_the_history(source: Source) -> None:
    await source.sampled(100, 200, 300)
    await source.commit(350)
    entries = {entry["read"]: entry["id"] for entry in await source.positions.history(KEY)}
    seen = await source.positions.preview(KEY, Target(records=100))
    assert (seen["target"], seen["entry"], seen["preview"]["records"]) == ({"offset": 200}, entries[200], 150)
    done = await source.positions.change(KEY, Target(entry=entries[100]), Change())
    assert (done["position"], done["preview"]["records"]) == ({"offset": 100}, 250)
    back = await source.positions.preview(KEY, Target({"offset": 350}))
    assert back["preview"]["records"] == -250
    assert (await source.positions.history(KEY, limit=1))[0]["kind"] == "rewind"
    for target in (Target(records=9000), Target(entry="unknown"), Target(moment=1.0)):
        with pytest.raises(NotFound, match="history"):
            await source.positions.preview(KEY, target)


async def test_rewind_to_a_moment_takes_the_newest_entry_before(source: Source) -> None:
    await source.commit(10)
    for at, read in ((100.0, 1), (200.0, 2), (300.0, 3)):
        entry = {"id": f"0-{read}", "kind": "commit", "at": at, "position": {"offset": read}, "read": read}
        await source.service.history.add(KEY, entry)
    assert (await source.positions.preview(KEY, Target(moment=250.0)))["target"] == {"offset": 2}
    reset = {"id": "0-4", "kind": "reset", "at": 400.0, "position": None, "read": 3}
    await source.service.history.add(KEY, reset)
    seen = await source.positions.preview(KEY, Target(moment=450.0))
    assert (seen["target"], seen["entry"]) == (None, "0-4")
    assert (await source.positions.change(KEY, Target(entry="0-4"), Change()))["position"] is None


@pytest.mark.parametrize(
    "fields", [{}, {"position": 1, "start": True}, {"records": 1, "moment": 2.0}, {"records": 0}, {"records": -3}]
)
def test_a_target_is_one_thing(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Target(**fields)


@pytest.mark.parametrize(
    ("position", "why"),
    [
        ("no object", "A position of kafka is an object"),
        ({"x": float("nan")}, "cannot be written as JSON"),
        ({"x": "y" * 2_000_000}, "at most 1,048,576 bytes"),
    ],
)
async def test_a_position_that_cannot_be_is_refused(source: Source, position: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        await source.positions.change(KEY, Target(position), Change())
    assert await source.positions.history(KEY) == []


async def test_a_connector_that_is_not_installed_here_judges_nothing(source: Source) -> None:
    await source.commit(10)
    value: dict[str, Any] = {"category": "elsewhere"}
    await source.service.runtime.delete(KEY)
    await source.world.stores.config.write(SOURCE, canonical(value))
    assert (await source.positions.change(KEY, Target("any"), Change()))["position"] == "any"


async def test_a_stream_that_runs_is_not_changed_under_its_feet(source: Source) -> None:
    await source.commit(10)
    await source.runs()
    with pytest.raises(Conflict, match=rf"{STREAM} runs on {A}: stop it before"):
        await source.set(5)
    assert source.commands() == []
    done = await source.set(5, restart=True)
    assert (source.commands(), done["position"]) == (["stop", "restart"], {"offset": 5})
    assert (await source.service.streams.get(STREAM))["wanted"] == "NORMAL"


async def test_what_is_committed_while_a_stream_drains_counts(source: Source) -> None:
    await source.commit(10)
    await source.runs()

    async def answer(message: Message) -> Message:
        if isinstance(message, StreamCommand) and message.action == "stop":
            await source.commit(12)
            await source.runs("STOPPED")
        return Done()

    source.remote.answer = answer
    seen = await source.positions.preview(KEY, Target({"offset": 5}))
    done = await source.set(5, restart=True, etag=seen["etag"])
    assert (seen["preview"]["records"], done["preview"]["records"]) == (5, 7)


async def test_a_stream_that_will_not_stop_is_started_again_and_nothing_changed(source: Source) -> None:
    await source.commit(10)
    await source.runs()

    async def answer(message: Message) -> Message:
        if isinstance(message, StreamCommand) and message.action == "stop":
            raise TemplateError("It hangs.")
        return Done()

    source.remote.answer = answer
    with pytest.raises(TemplateError, match="It hangs"):
        await source.set(5, restart=True)
    assert source.commands() == ["stop", "restart"]
    assert (await source.positions.get(KEY))["position"] == {"offset": 10}


@pytest.mark.parametrize(("wanted", "told"), [("NORMAL", ["restart"]), ("STOPPED", [])])
async def test_a_stream_that_has_ended_starts_where_that_is_wanted(
    source: Source, wanted: str, told: list[str]
) -> None:
    await source.commit(10)
    await source.runs("COMPLETE")
    await source.service.tree.save(STREAM, {"status": wanted})
    await source.set(5)
    assert source.commands() == []
    await source.set(4, restart=True)
    assert source.commands() == told


async def test_late_commits_of_a_run_that_began_before_are_refused(source: Source) -> None:
    await source.commit(10)
    await source.set(4)
    before = source.kept
    with pytest.raises(Conflict):
        await source.commit(20)
    source.kept = None
    with pytest.raises(Conflict):
        await source.commit(20)
    source.kept = (await source.service.runtime.get(KEY)).value
    marker = source.kept["set"]
    await source.commit(6, 12, set=marker)
    assert before is not None
    assert (await source.positions.get(KEY))["set"] == marker
    assert (await source.positions.preview(KEY, Target({"offset": 10})))["preview"]["records"] == -4


async def test_a_late_commit_does_not_undo_a_reset(source: Source) -> None:
    await source.commit(10)
    await source.positions.change(KEY, Target(start=True), Change())
    with pytest.raises(Conflict):
        await source.commit(20)
    assert (await source.positions.get(KEY))["position"] is None


async def test_a_stale_tag_is_refused(source: Source) -> None:
    await source.commit(10)
    tag = (await source.positions.get(KEY))["etag"]
    await source.commit(11)
    with pytest.raises(Conflict, match="another one by now"):
        await source.set(5, etag=tag)
    assert (await source.set(5, etag=(await source.positions.get(KEY))["etag"]))["position"] == {"offset": 5}


@pytest.mark.parametrize(("running", "tagged"), [(False, True), (True, False), (True, True)])
async def test_of_two_at_once_one_wins(source: Source, running: bool, tagged: bool) -> None:
    await source.commit(10)
    if running:
        await source.runs()

        async def answer(message: Message) -> Message:
            await settled()
            return Done()

        source.remote.answer = answer
    how = {"restart": running, "etag": (await source.positions.get(KEY))["etag"] if tagged else None}
    outcomes = await asyncio.gather(source.set(5, **how), source.set(7, **how), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert len(won) == 1
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, dict)] == [Conflict]
    assert (await source.positions.get(KEY))["position"] == won[0]["position"]
    changes = [entry["position"] for entry in await source.positions.history(KEY) if entry["kind"] == "set"]
    assert changes == [won[0]["position"]], "what did not happen is not in the history"


async def test_the_history_survives_a_restart_of_the_broker(
    source: Source, open_world: Callable[[], Awaitable[World]]
) -> None:
    await source.sampled(100, 200)
    await source.set(100, message="why")
    again = (await open_world()).service.positions
    assert await again.history(KEY) == await source.positions.history(KEY)
    assert (await again.preview(KEY, Target({"offset": 200})))["preview"]["records"] == -100


def test_a_position_is_named_by_its_source_too() -> None:
    assert position_key(SOURCE) == position_key(KEY) == KEY
