"""Error rules at every place of a running stream: what each action does to its records, and what is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.instance.conftest import STREAM
from tests.instance.seat import COPY

if TYPE_CHECKING:
    from teleporter_lab.instance.instance import Instance
    from tests.instance.conftest import Desk

FUSSY = """
class Seldom(Exception):
    pass

tries = {}

def fussy(row):
    tries[row["id"]] = tries.get(row["id"], 0) + 1
    if row["id"] % 100 == 50 and tries[row["id"]] < HEALS:
        raise Seldom(f"not {row['id']}")
    return row

@stream_logic
def copy(s):
    return s.source("rows").map(fussy)FLOW.to(s.sink("lines"))
"""
NEVER = "10**9"


def fussy(heals: str = NEVER, flow: str = "") -> str:
    """Every hundredth record fails, until it was tried `heals` times."""
    return FUSSY.replace("HEALS", heals).replace("FLOW", flow)


def written(desk: Desk) -> int:
    return len(desk.output.read_text().splitlines())


async def start_once(desk: Desk, rules: list[str], template: str = COPY) -> None:
    """Deployed as stopped, then started: a refresh behind a first start would start what has failed once more."""
    await desk.deploy(template, errorRules=rules, status="STOPPED")
    await desk.client.start(STREAM)


async def test_without_a_rule_a_function_fails_the_stream(desk: Desk, instance: Instance) -> None:
    await desk.deploy(fussy())
    state = await desk.status("FAILURE")
    assert "Seldom: not 50" in state["error"]


async def test_resume_leaves_the_record_out(desk: Desk, instance: Instance) -> None:
    await desk.deploy(fussy(), errorRules=["Seldom:INFO => resume"])
    state = await desk.status("COMPLETE")
    assert (state["counts"]["skipped"], written(desk)) == (10, 990)
    assert runner(instance).matched == {"INFO": 10}


@pytest.mark.parametrize("action", ["retry", "reload"])
async def test_retry_and_reload_try_the_record_again(action: str, desk: Desk, instance: Instance) -> None:
    await desk.deploy(fussy("3"), errorRules=[f"not \\d+:WARN => {action}(delay = 1.millis, retries = 2)"])
    await desk.status("COMPLETE")
    assert written(desk) == 1000
    assert runner(instance).matched == {"WARN": 20}


async def test_after_the_retries_comes_next(desk: Desk, instance: Instance) -> None:
    await desk.deploy(fussy(), errorRules=["Seldom => retry(retries = 2, next = resume)"])
    state = await desk.status("COMPLETE")
    assert (state["counts"]["skipped"], written(desk)) == (10, 990)
    assert runner(instance).matched == {"ERROR": 30}


async def test_stop_is_a_failure(desk: Desk, instance: Instance) -> None:
    await start_once(desk, ["Seldom => stop", ".* => resume"], fussy())
    await desk.status("FAILURE")
    assert runner(instance).matched == {"ERROR": 1}


async def test_restart_starts_the_stream_again_and_next_decides_at_the_record(desk: Desk, instance: Instance) -> None:
    rules = ["Seldom:DEBUG => restart(delay = 1.millis, retries = 2, next = resume)"]
    await desk.deploy(fussy(), errorRules=rules)
    state = await desk.status("COMPLETE")
    assert state["restarts"] >= 2
    assert state["counts"]["skipped"] >= 1
    assert written(desk) >= 990


async def test_a_flow_may_have_rules_of_its_own(desk: Desk, instance: Instance) -> None:
    own = fussy(
        flow='.with_attributes(supervisor=s.rules("Seldom:DEBUG => resume")).map(lambda r: {"n": 1 // r["id"]})'
    )
    await desk.deploy(own, errorRules=["Seldom => stop", "ZeroDivision:WARN => resume"])
    state = await desk.status("COMPLETE")
    assert (state["counts"]["skipped"], written(desk)) == (11, 989)
    assert runner(instance).matched == {"DEBUG": 10, "WARN": 1}


async def test_a_wrong_rule_in_the_code_fails_the_stream_with_a_sentence(desk: Desk, instance: Instance) -> None:
    await desk.deploy(fussy(flow='.with_attributes(supervisor=s.rules("Seldom => jump"))'))
    state = await desk.status("FAILURE")
    assert "wrong at character 11: there must be one of reload, retry, resume, stop, deadLetter" in state["error"]


async def test_a_source_without_rules_takes_those_of_the_stream(desk: Desk, instance: Instance) -> None:
    lines = desk.input.read_text().splitlines()
    lines[500] = "not a number,name"
    desk.input.write_text("\n".join(lines) + "\n")
    await desk.deploy(COPY, errorRules=["BadRecord:WARN => resume"])
    await desk.status("COMPLETE")
    assert written(desk) == 999
    assert runner(instance).matched == {"WARN": 1}


async def test_a_sink_without_rules_takes_those_of_the_stream(desk: Desk, instance: Instance) -> None:
    unfit = COPY.replace(".to(", ".map(lambda r: r if r['id'] % 100 != 50 else {'odd': {(1, 2): 3}}).to(")
    await desk.deploy(unfit, errorRules=[".* => resume"])
    state = await desk.status("COMPLETE")
    assert (state["counts"]["skipped"], written(desk)) == (10, 990)


def runner(instance: Instance) -> Any:
    """The runner of the stream."""
    return instance._runners[next(key for key in instance._runners if str(key) == STREAM)]


async def test_dead_letters_of_every_place_are_kept_with_all_that_is_known(desk: Desk, instance: Instance) -> None:
    lines = desk.input.read_text().splitlines()
    lines[301] = "not a number,name"
    desk.input.write_text("\n".join(lines) + "\n")
    unfit = fussy(flow=".map(lambda r: r if r['id'] != 700 else {'odd': {(1, 2): 3}})")
    await desk.deploy(unfit, errorRules=[".*:WARN => deadLetter"])
    state = await desk.status("COMPLETE")
    kept = (await desk.client.dead_letters(STREAM, whole=True))["letters"]
    assert (state["counts"]["dead_lettered"], len(kept), written(desk)) == (11, 12, 988)
    by_place = {letter["place"]: letter for letter in kept}
    assert set(by_place) == {"csv(rows)", "map(fussy)", "file(lines)"}
    source, function, sink = by_place["csv(rows)"], by_place["map(fussy)"], by_place["file(lines)"]
    assert (source["part"], source["redrivable"]) == ("/source/test/task/copy/rows", False)
    assert (sink["part"], sink["record"]) == (
        "/sink/test/task/copy/lines",
        {"odd": {"$map": [[{"$tuple": [1, 2]}, 3]]}},
    )
    assert (function["part"], function["record"]) == ("", {"id": 950, "name": "name 950"})
    assert function["error"]["type"] == "Seldom"
    assert all(letter["position"] and letter["stream"] == STREAM and letter["tries"] >= 1 for letter in kept)


async def gone(desk: Desk, end: str, rules: list[str]) -> None:
    """Takes away what the source reads, or the folder that the sink writes to."""
    key = {"source": "/source/test/task/copy/rows", "sink": "/sink/test/task/copy/lines"}[end]
    found = await desk.client.get(key)
    client = {**found["value"]["client"], "path": str(desk.folder / "gone" / "file")}
    await desk.client.save(key, {**found["value"], "client": client, "errorRules": rules}, etag=found["etag"])


@pytest.mark.parametrize(("action", "asked"), [("retry", 3), ("reload", 3), ("stop", 1)])
@pytest.mark.parametrize("of", ["itself", "the stream"])
@pytest.mark.parametrize("end", ["source", "sink"])
async def test_a_source_or_sink_that_is_not_there_goes_through_its_rules_and_those_of_the_stream(
    end: str, of: str, action: str, asked: int, desk: Desk, instance: Instance
) -> None:
    rules = [f"AddressUnreachable:WARN => {action}(delay = 1.millis, retries = 2)"]
    await gone(desk, end, rules if of == "itself" else ["KeyError => resume"])
    await start_once(desk, [] if of == "itself" else rules)
    state = await desk.status("FAILURE")
    assert "gone" in state["error"]
    assert (runner(instance).matched, state["restarts"]) == ({"WARN": asked}, 0)


@pytest.mark.parametrize("action", ["restart", "start"])
@pytest.mark.parametrize("end", ["source", "sink"])
async def test_the_stream_starts_again_when_a_source_or_sink_is_not_there(
    end: str, action: str, desk: Desk, instance: Instance
) -> None:
    await gone(desk, end, [])
    await start_once(desk, [f"Unreachable:INFO => {action}(delay = 1.millis, retries = 2)"])
    state = await desk.status("FAILURE")
    assert (runner(instance).matched, state["restarts"]) == ({"INFO": 3}, 2)
