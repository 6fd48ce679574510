"""Sinks that take the dead letters of others: letters arrive before their record is confirmed, by their own rules."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from teleporter_lab.config.key import Key
from teleporter_lab.config.nodes import SinkNode
from teleporter_lab.engine.dead_letters import LetterBoxClosed
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import foreach, ignore
from teleporter_lab.engine.stages.writing import write_to
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume
from teleporter_lab.instance.letter_sinks import LetterSinks, circles
from teleporter_lab.testing.probes import SinkProbe
from tests.instance.seat import COPY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from teleporter_lab.engine.graph import Sink
    from teleporter_lab.instance.instance import Instance
    from tests.instance.conftest import Desk

ERROR = ValueError("bad")


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    async with Runtime() as found:
        yield found


class Shelf:
    """The place of a run for letters that have no other."""

    def __init__(self) -> None:
        self.elements: list[Any] = []

    async def put(self, failure: Failure) -> None:
        self.elements.append(failure.element)


def sinks(runtime: Runtime, made: dict[str, Sink[Any, Any]], shelf: Shelf | None = None) -> LetterSinks:
    return LetterSinks("/stream/a/b/c", runtime, made.__getitem__, cast("Any", shelf or Shelf()))


def failure(record: Any) -> Failure:
    return Failure(ERROR, "csv(out)", record, 2)


async def test_letters_of_several_sinks_go_to_one_and_have_their_records_as_they_are(runtime: Runtime) -> None:
    letters: list[dict[str, Any]] = []
    record = object()
    async with sinks(runtime, {"/sink/a/b/c/bad": foreach(letters.append)}) as found:
        await found.place("/sink/a/b/c/one", "/sink/a/b/c/bad").put(failure(record))
        await found.place("/sink/a/b/c/two", "/sink/a/b/c/bad").put(failure(2))
    assert [(letter["part"], letter["record"]) for letter in letters] == [
        ("/sink/a/b/c/one", record),
        ("/sink/a/b/c/two", 2),
    ]
    assert letters[0]["error"] == {"type": "ValueError", "message": "bad"}
    assert letters[0]["id"] < letters[1]["id"]


async def test_no_sink_is_made_before_the_first_letter(runtime: Runtime) -> None:
    async with sinks(runtime, {}) as found:
        found.place("/sink/a/b/c/one", "/sink/a/b/c/bad")


async def test_a_letter_is_put_when_the_sink_has_confirmed_it(runtime: Runtime) -> None:
    probe = SinkProbe()
    async with sinks(runtime, {"x": probe.as_sink()}) as found:
        putting = asyncio.create_task(found.place("o", "x").put(failure(1)))
        chunk = await probe.chunk(5)
        assert chunk is not None
        assert not putting.done()
        chunk.written()
        await putting
        ending = asyncio.create_task(probe.pull(1))
        await asyncio.sleep(0)
    assert await ending is None


def refuse(_: Any) -> None:
    raise OSError("disk full")


async def test_what_the_sink_fails_with_is_raised_and_its_own_rules_come_first(runtime: Runtime) -> None:
    bad = foreach(refuse)
    with pytest.raises(OSError, match="disk full"):
        async with sinks(runtime, {"x": bad}) as found:
            await found.place("o", "x").put(failure(1))
    async with sinks(runtime, {"x": bad.supervised_by(Resume())}) as found:
        await found.place("o", "x").put(failure(1))


class Writing:
    async def open(self) -> None: ...
    async def write(self, records: Any) -> None: ...
    async def close(self) -> None: ...


class PutAside:
    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.DEAD_LETTER)


async def test_letters_that_the_sink_puts_aside_go_to_the_place_of_the_run(runtime: Runtime) -> None:
    shelf = Shelf()
    async with sinks(runtime, {"x": foreach(refuse).supervised_by(PutAside())}, shelf) as found:
        await found.place("o", "x").put(failure(1))
    assert [letter["record"] for letter in shelf.elements] == [1]


async def test_a_sink_that_has_left_takes_no_more(runtime: Runtime) -> None:
    async with sinks(runtime, {"x": flow().take(1).to(ignore())}) as found:
        place = found.place("o", "x")
        outcomes = await asyncio.gather(*(place.put(failure(i)) for i in range(3)), return_exceptions=True)
    assert LetterBoxClosed in {type(outcome) for outcome in outcomes}
    assert {type(outcome) for outcome in outcomes} <= {LetterBoxClosed, type(None)}


async def test_after_a_failure_the_sink_is_stopped(runtime: Runtime) -> None:
    probe = SinkProbe()
    found = sinks(runtime, {"x": probe.as_sink()})
    putting = asyncio.create_task(found.place("o", "x").put(failure(1)))
    assert await probe.chunk(5) is not None
    putting.cancel()
    await asyncio.wait((putting,))
    await found.__aexit__(KeyError, KeyError(), None)
    assert probe.ended


class Unclosable(Writing):
    async def close(self) -> None:
        raise OSError("disk full")


async def test_one_that_does_not_close_leaves_no_other_behind(runtime: Runtime) -> None:
    probe, before = SinkProbe(), asyncio.all_tasks()
    found = sinks(runtime, {"x": write_to("x", Unclosable), "y": probe.as_sink()})
    await found.place("o", "x").put(failure(1))
    putting = asyncio.create_task(found.place("o", "y").put(failure(2)))
    chunk = await probe.chunk(5)
    assert chunk is not None
    chunk.written()
    await putting
    with pytest.raises(OSError, match="disk full"):
        await found.__aexit__(None, None, None)
    assert probe.ended
    assert asyncio.all_tasks() == before


def test_circles_are_found_and_shown() -> None:
    def node(to: str | None) -> SinkNode:
        return SinkNode.model_validate({"category": "file", "deadLetter": to and f"/sink/a/b/c/{to}"})

    ways = {"self": "self", "one": "two", "two": "three", "three": "one", "into": "one", "out": "end", "end": None}
    made = {f"/sink/a/b/c/{name}": (Key.parse(f"/sink/a/b/c/{name}"), node(to)) for name, to in ways.items()}
    problems = {problem.path: problem.message for problem in circles(made)}
    assert sorted(path.split("/")[-1] for path in problems) == [
        f"{n}: deadLetter" for n in ("one", "self", "three", "two")
    ]
    way = "/sink/a/b/c/one → /sink/a/b/c/two → /sink/a/b/c/three → /sink/a/b/c/one"
    assert way in problems["/sink/a/b/c/one: deadLetter"]


BAD = "/sink/test/task/copy/bad"
UNFIT = COPY.replace(
    "s.source('rows')", "s.source('rows').map(lambda r: r if r['id'] % 100 != 50 else {'odd': r['id']})"
)
"""Every hundredth record has not the columns of the others."""


async def lines_with(desk: Desk, **fields: Any) -> None:
    found = await desk.client.get("/sink/test/task/copy/lines")
    await desk.client.save("/sink/test/task/copy/lines", {**found["value"], **fields}, etag=found["etag"])


async def test_records_that_a_sink_refuses_go_to_the_sink_that_it_names(desk: Desk, instance: Instance) -> None:
    bad = desk.folder / "bad.jsonl"
    options = {"path": str(bad), "format": "jsonl", "batchTime": "10.millis"}
    await desk.client.save(BAD, {"category": "file", "client": options})
    client = {"path": str(desk.output), "batchTime": "10.millis"}
    await lines_with(desk, category="csv", client=client, deadLetter=BAD, errorRules=[".*:WARN => deadLetter"])
    await desk.deploy(UNFIT)
    state = await desk.status("COMPLETE", "FAILURE")
    assert state["status"] == "COMPLETE", state["error"]
    assert (state["counts"]["dead_lettered"], state["counts"]["written"]) == (10, 990)
    letters = [json.loads(line) for line in bad.read_text().splitlines()]
    assert [letter["record"] for letter in letters] == [{"odd": i * 100 + 50} for i in range(10)]
    assert {letter["part"] for letter in letters} == {"/sink/test/task/copy/lines"}
    assert {letter["place"] for letter in letters} == {"csv(lines)"}
    assert all(letter["position"] for letter in letters)
    assert len(desk.output.read_text().splitlines()) == 991


async def test_the_sink_may_be_one_of_another_stream_with_what_that_one_refers_to(
    desk: Desk, instance: Instance
) -> None:
    bad = desk.folder / "bad.jsonl"
    other = "/stream/test/task/other"
    await desk.client.save("/variable/test/places", {"arguments": {"bad": str(bad)}})
    keys = {"places": "/variable/test/places"}
    await desk.client.save(other, {"template": COPY, "status": "STOPPED", "extraKeys": keys})
    to = "/sink/test/task/other/bad"
    await desk.client.save(to, {"category": "file", "client": {"path": "${places.bad}", "format": "jsonl"}})
    client = {"path": str(desk.output), "batchTime": "10.millis"}
    await lines_with(desk, category="csv", client=client, deadLetter=to, errorRules=[".*:WARN => deadLetter"])
    await desk.deploy(UNFIT)
    state = await desk.status("COMPLETE", "FAILURE")
    assert state["status"] == "COMPLETE", state["error"]
    assert len(bad.read_text().splitlines()) == 10


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("/sink/test/task/copy/lines", "Leads back to where it came from"),
        ("/sink/test/task/copy/none", "There is no sink at /sink/test/task/copy/none; save one."),
    ],
)
async def test_a_way_that_leads_nowhere_is_refused(to: str, said: str, desk: Desk, instance: Instance) -> None:
    await lines_with(desk, deadLetter=to)
    await desk.deploy(COPY)
    state = await desk.status("FAILURE")
    assert "/sink/test/task/copy/lines: deadLetter" in state["error"]
    assert said in state["error"]
    assert json.dumps(state)
