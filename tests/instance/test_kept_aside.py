"""What is put aside, and where a source is, from end to end: a real broker, a real instance, a person with a client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.dead_letters import LetterBounds
from teleporter_lab.errors import Conflict
from tests.instance.conftest import INSTANCE, STREAM

if TYPE_CHECKING:
    from teleporter_lab.broker.daemon import Running
    from tests.instance.conftest import Desk

SOURCE = "/source/test/task/copy/rows"

NUMBERS = """
def to_event(row):
    return {"id": row["id"], "n": int(row["name"].removeprefix("name "))}

@stream_logic
def copy(s):
    return s.source("rows").map(to_event).to(s.sink("lines"))
"""

SLOWLY = """
@stream_logic
def copy(s):
    return s.source("rows").throttle(20, per=0.02).to(s.sink("lines"))
"""


def written(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(line) for line in desk.output.read_text().splitlines()]


async def test_a_bad_record_is_put_aside_listed_edited_redriven_and_arrives(desk: Desk) -> None:
    rows = [f"{number},name {number if number % 10 else 'x'}" for number in range(1, 101)]
    desk.input.write_text("\n".join(["id,name", *rows]) + "\n")
    await desk.deploy(NUMBERS, errorRules=["ValueError => deadLetter"])
    view = await desk.status("COMPLETE")
    assert (view["counts"]["written"], view["counts"]["dead_lettered"], view["dead_letters"]) == (90, 10, 10)

    page = await desk.client.dead_letters(STREAM)
    assert len(page["letters"]) == 10
    seen = await desk.client.dead_letter(STREAM, page["letters"][0]["id"])
    assert seen["record"] == {"id": 10, "name": "name x"}
    assert (seen["error"]["type"], seen["tries"], seen["redrivable"]) == ("ValueError", 1, True)
    assert "to_event" in seen["place"]

    refused = await desk.client.redrive(STREAM, everything=True)
    assert (refused["redriven"], len(refused["failed"])) == (0, 10)
    assert "name x" in refused["failed"][0]["why"] or "invalid literal" in refused["failed"][0]["why"]

    for letter in page["letters"][:4]:
        whole = await desk.client.dead_letter(STREAM, letter["id"])
        record = whole["record"] | {"name": f"name {whole['record']['id']}"}
        await desk.client.edit_dead_letter(STREAM, letter["id"], record, etag=whole["etag"])
    done = await desk.client.redrive(STREAM, everything=True)
    assert (done["redriven"], len(done["failed"])) == (4, 6)
    assert sorted(row["n"] for row in written(desk) if row["id"] % 10 == 0) == [10, 20, 30, 40]
    assert len(written(desk)) == 94

    counts = (await desk.client.dead_letters(STREAM))["counts"][STREAM]
    assert counts == {"kept": 6, "expired": 0, "dropped": 0, "redriven": 4}
    assert (await desk.view())["dead_letters"] == 6


async def test_a_full_place_stops_the_stream_and_loses_nothing(broker: Running, desk: Desk) -> None:
    broker.service.letters._bounds = LetterBounds(count=3)
    rows = [f"{number},name {'x' if number > 90 else number}" for number in range(1, 101)]
    desk.input.write_text("\n".join(["id,name", *rows]) + "\n")
    await desk.deploy(NUMBERS, errorRules=["ValueError => deadLetter"])
    view = await desk.status("FAILURE")
    assert "redrive or drop some" in view["error"]
    broker.service.letters._bounds = LetterBounds()
    await desk.client.start(STREAM)
    view = await desk.status("COMPLETE")
    ids = {letter["record.id"] for letter in await desk.client.dead_letter_rows(STREAM)}
    assert ids | {row["id"] for row in written(desk)} == set(range(1, 101))


async def test_a_stream_that_runs_is_set_back_only_with_a_restart(desk: Desk) -> None:
    await desk.deploy(SLOWLY)
    await desk.until(lambda view: view["counts"]["written"] >= 100)
    async with asyncio.timeout(10):
        while not await desk.client.positions(SOURCE):
            await asyncio.sleep(0.01)
    seen = await desk.client.preview_position(SOURCE, start=True)
    assert (seen["status"], seen["instance"]) == ("RUNNING", INSTANCE)
    with pytest.raises(Conflict, match=f"runs on {INSTANCE}"):
        await desk.client.reset_position(SOURCE, etag=seen["etag"])
    done = await desk.client.reset_position(SOURCE, etag=seen["etag"], restart=True)
    repeated = done["preview"]["records"]
    assert repeated >= seen["preview"]["records"] > 0
    await desk.status("COMPLETE")
    ids = [row["id"] for row in written(desk)]
    assert set(ids) == set(range(1000))
    assert len(ids) == 1000 + repeated, "exactly as many as was said are there twice"


async def test_a_rewind_to_the_history_repeats_exactly_what_was_said(desk: Desk) -> None:
    await desk.deploy(SLOWLY)
    await desk.until(lambda view: view["counts"]["written"] >= 40)
    async with asyncio.timeout(10):
        while not await desk.client.position_history(SOURCE):
            await asyncio.sleep(0.01)
    await desk.status("COMPLETE")
    first = (await desk.client.position_history(SOURCE))[-1]
    async with asyncio.timeout(10):
        while (await desk.client.position(SOURCE))["ledger"]["read"] < 1000:
            await asyncio.sleep(0.01)
    done = await desk.client.rewind_position(SOURCE, entry=first["id"], restart=True)
    assert done["preview"]["records"] == 1000 - first["read"]
    await desk.until(lambda view: view["status"] == "COMPLETE" and view["counts"]["read"] == 2000 - first["read"])
    assert len(written(desk)) == 2000 - first["read"]
    kept = await desk.client.position(SOURCE)
    assert kept["ledger"]["read"] == 2000 - first["read"], "the ledger counts on"
    assert kept["set"] == done["id"], "later commits carry the change on"
