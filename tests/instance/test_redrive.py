"""Redriving: letters arrive from their place on, once the code, the config or the letter was mended."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import NotFound
from teleporter_lab.rpc.messages import Redrive, Redriven
from tests.instance.conftest import STREAM

if TYPE_CHECKING:
    from teleporter_lab.instance.instance import Instance
    from tests.instance.conftest import Desk

SINK = "/sink/test/task/copy/lines"
SOURCE = "/source/test/task/copy/rows"

CODE = """
def check(row):
    if BAD:
        raise ValueError(f"no {row['id']}")
    return row

def tell(row):
    return {**row, "told": True}

@stream_logic
def copy(s):
    return s.source("rows").map(check).map(tell){below}.to(s.sink("lines"))
"""


def code(bad: str = "row['id'] % 100 == 50", below: str = "") -> str:
    return CODE.replace("{below}", below).replace("BAD", bad)


RULE = {"errorRules": ["ValueError|Bad|Refused|Error:WARN => deadLetter"]}


def records(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(line) for line in desk.output.read_text().splitlines()]


async def kept(desk: Desk) -> list[dict[str, Any]]:
    return (await desk.client.dead_letters(STREAM, whole=True))["letters"]


async def put_aside(desk: Desk, template: str, **fields: Any) -> list[dict[str, Any]]:
    """The letters of a stream that has run to its end."""
    await desk.deploy(template, **{**RULE, **fields})
    state = await desk.status("COMPLETE", "FAILURE")
    assert state["status"] == "COMPLETE", state["error"]
    return await kept(desk)


async def mend(desk: Desk, template: str) -> None:
    """Deploys another template over the first one, and waits until nothing is read any more."""
    found = await desk.client.get(STREAM)
    await desk.client.save(STREAM, {**found["value"], "template": template}, etag=found["etag"])
    await desk.client.refresh(STREAM)
    await desk.status("COMPLETE")


async def test_letters_of_a_function_go_through_it_and_what_is_below_when_it_is_mended(
    desk: Desk, instance: Instance
) -> None:
    letters = await put_aside(desk, code())
    assert len(letters) == 10
    before = len(records(desk))
    await mend(desk, code(bad="False"))
    answer = await desk.client.redrive(STREAM, everything=True)
    assert answer == {"redriven": 10, "failed": []}
    assert records(desk)[before:] == [
        {"id": i * 100 + 50, "name": f"name {i * 100 + 50}", "told": True} for i in range(10)
    ]
    assert await kept(desk) == []
    state = await desk.view()
    assert (state["status"], state["counts"]["dead_lettered"]) == ("COMPLETE", 10), "the stream has not run for it"


async def test_what_fails_again_says_why_and_stays_and_its_neighbours_arrive(desk: Desk, instance: Instance) -> None:
    await put_aside(desk, code())
    before = len(records(desk))
    await mend(desk, code(bad="row['id'] in (150, 850)"))
    answer = await desk.client.redrive(STREAM, everything=True)
    assert answer["redriven"] == 8
    assert sorted(each["why"] for each in answer["failed"]) == ["ValueError: no 150", "ValueError: no 850"]
    assert len(records(desk)) == before + 8
    assert sorted(letter["record"]["id"] for letter in await kept(desk)) == [150, 850]


@pytest.mark.parametrize("rules", [["ValueError => stop"], ["ValueError => resume"], ["ValueError => restart"], []])
async def test_whatever_the_rules_say_a_letter_that_fails_stays(
    rules: list[str], desk: Desk, instance: Instance
) -> None:
    await put_aside(desk, code())
    found = await desk.client.get(STREAM)
    await desk.client.save(STREAM, {**found["value"], "template": code(bad="row['id'] == 50"), "errorRules": rules})
    await desk.client.refresh(STREAM)
    await desk.status("COMPLETE", "FAILURE")
    answer = await desk.client.redrive(STREAM, everything=True)
    assert (answer["redriven"], [each["why"] for each in answer["failed"]]) == (9, ["ValueError: no 50"])


async def test_an_edited_letter_goes_on_as_it_was_edited(desk: Desk, instance: Instance) -> None:
    letter = (await put_aside(desk, code(bad="row['id'] == 50")))[0]
    await desk.client.edit_dead_letter(STREAM, letter["id"], {"id": 51, "name": "mended"})
    assert await desk.client.redrive(STREAM, [letter["id"]]) == {"redriven": 1, "failed": []}
    assert records(desk)[-1] == {"id": 51, "name": "mended", "told": True}


async def test_letters_of_a_sink_go_to_that_sink_alone(desk: Desk, instance: Instance) -> None:
    odd = ".map(lambda r: r if r['id'] % 100 != 50 else {'id': r['id'], 'odd': {(1, 2): 3}})"
    letters = await put_aside(desk, code(bad="False", below=odd))
    assert {letter["part"] for letter in letters} == {SINK}
    await desk.client.edit_dead_letter(STREAM, letters[3]["id"], {"id": 1, "odd": "no more"})
    answer = await desk.client.redrive(STREAM, everything=True)
    assert (answer["redriven"], len(answer["failed"])) == (1, 9)
    assert "cannot be written as" in answer["failed"][0]["why"]
    assert records(desk)[-1] == {"id": 1, "odd": "no more"}


async def test_letters_of_a_source_go_to_what_is_below_it_when_they_were_edited(desk: Desk, instance: Instance) -> None:
    lines = desk.input.read_text().splitlines()
    lines[301] = "not a number,name"
    desk.input.write_text("\n".join(lines) + "\n")
    (letter,) = await put_aside(desk, code(bad="False"))
    assert (letter["part"], letter["record"]) == (SOURCE, ["not a number", "name"])
    answer = await desk.client.redrive(STREAM, everything=True)
    assert answer["redriven"] == 0
    assert "edit it" in answer["failed"][0]["why"]
    await desk.client.edit_dead_letter(STREAM, letter["id"], {"id": 300, "name": "mended"})
    assert await desk.client.redrive(STREAM, everything=True) == {"redriven": 1, "failed": []}
    assert records(desk)[-1] == {"id": 300, "name": "mended", "told": True}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("def check(row):\n    return row\n", "There are 2 operators 'map(check)'"),
        ("def gone(row):\n    return row\n", "There is no operator 'map(check)' in the stream"),
    ],
)
async def test_a_place_that_is_gone_or_twice_says_what_to_do(
    after: str, said: str, desk: Desk, instance: Instance
) -> None:
    await put_aside(desk, code(bad="row['id'] == 50"))
    name = after.split("(")[0].removeprefix("def ")
    logic = f"@stream_logic\ndef copy(s):\n    return s.source('rows').map({name}).map({name}).to(s.sink('lines'))\n"
    await mend(desk, f"{after}\n{logic}")
    answer = await desk.client.redrive(STREAM, everything=True)
    assert (answer["redriven"], len(answer["failed"])) == (0, 1)
    assert said in answer["failed"][0]["why"]
    assert "with_attributes(name=" in answer["failed"][0]["why"]


async def test_a_letter_in_a_group_that_fails_stays_with_all_of_the_group(desk: Desk, instance: Instance) -> None:
    """Who joins records answers for them together."""
    fails = "1/0 if any(r['id'] == 250 for r in rows) else rows"
    below = ".grouped(4).map_concat(lambda rows: FAILS)".replace("FAILS", "rows")
    await put_aside(desk, code(below=below))
    found = await desk.client.get(STREAM)
    again = code(bad="False", below=below.replace(": rows)", f": {fails})"))
    await desk.client.save(STREAM, {**found["value"], "template": again, "errorRules": ["ZeroDivision => stop"]})
    await desk.client.refresh(STREAM)
    await desk.status("COMPLETE")
    answer = await desk.client.redrive(STREAM, everything=True)
    assert answer["redriven"] == 6
    assert {each["why"].split(":")[0] for each in answer["failed"]} == {"ZeroDivisionError"}
    assert sorted(letter["record"]["id"] for letter in await kept(desk)) == [50, 150, 250, 350]


async def test_a_sink_that_cannot_be_opened_stops_the_redrive_and_nothing_is_done(
    desk: Desk, instance: Instance
) -> None:
    await put_aside(desk, code(bad="row['id'] % 100 == 50"))
    found = await desk.client.get(SINK)
    client = {**found["value"]["client"], "path": str(desk.folder / "gone" / "out.jsonl")}
    await desk.client.save(SINK, {**found["value"], "client": client}, etag=found["etag"])
    await desk.client.stop(STREAM)
    await desk.status("STOPPED")
    answer = await desk.client.redrive(STREAM, everything=True)
    assert answer["redriven"] == 0
    assert all("gone" in each["why"] for each in answer["failed"])
    assert len(await kept(desk)) == 10


async def test_other_sources_give_nothing_meanwhile(desk: Desk, instance: Instance) -> None:
    more = desk.folder / "more.csv"
    more.write_text("id,name\n1,more\n")
    await desk.client.save("/source/test/task/copy/more", {"category": "csv", "client": {"path": str(more)}})
    below = ".merge(s.source('more'))"
    await put_aside(desk, code(below=below))
    before = len(records(desk))
    await mend(desk, code(bad="False", below=below))
    assert (await desk.client.redrive(STREAM, everything=True))["redriven"] == 10
    assert len(records(desk)) == before + 10


async def test_two_redrives_at_once_send_no_letter_twice(desk: Desk, instance: Instance) -> None:
    await put_aside(desk, code())
    before = len(records(desk))
    await mend(desk, code(bad="False"))
    answers = await asyncio.gather(*(desk.client.redrive(STREAM, everything=True) for _ in range(2)))
    assert sum(answer["redriven"] for answer in answers) == 10
    assert len(records(desk)) == before + 10


BATCHES = """
import pyarrow.compute as pc

def check(batch):
    if BAD and 50 in pc.subtract(batch["id"], pc.multiply(pc.divide(batch["id"], 100), 100)).to_pylist():
        raise ValueError("a bad batch")
    return batch.append_column("told", pc.greater(batch["id"], -1))

@stream_logic
def copy(s):
    return s.source("rows", columnar=True).map_batches(check).to(s.sink("lines"))
"""


async def test_single_rows_of_columns_are_put_aside_and_go_on_as_columns(desk: Desk, instance: Instance) -> None:
    letters = await put_aside(desk, BATCHES.replace("BAD", "True"))
    assert [letter["record"]["id"] for letter in letters] == [i * 100 + 50 for i in range(10)]
    await mend(desk, BATCHES.replace("BAD", "False"))
    assert await desk.client.redrive(STREAM, everything=True) == {"redriven": 10, "failed": []}
    assert records(desk)[-1] == {"id": 950, "name": "name 950", "told": True}


async def test_the_letters_of_a_stream_that_is_not_here_cannot_be_redriven_here(instance: Instance) -> None:
    with pytest.raises(NotFound, match="does not run on"):
        await instance.handle(Redrive("/stream/test/task/other", []))


async def test_a_sink_or_source_that_is_gone_is_said(desk: Desk, instance: Instance) -> None:
    await put_aside(desk, code(bad="False"))
    letter = {"place": "x", "record": {"id": 1}, "redrivable": True}
    texts = [json.dumps(letter | {"part": f"/{kind}/test/task/copy/gone"}) for kind in ("sink", "source")]
    texts += [json.dumps(letter | {"part": SOURCE})]
    answer = await instance.handle(Redrive(STREAM, list(zip("abc", texts, strict=True))))
    assert isinstance(answer, Redriven)
    assert answer.done == ["c"]
    assert dict(answer.failed) == {
        "a": f"NotFound: {STREAM} has no /sink/test/task/copy/gone any more.",
        "b": f"NotFound: {STREAM} has no /source/test/task/copy/gone any more.",
    }
