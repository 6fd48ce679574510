"""Decisions about deliveries that came to no good end: too many of them, or given back by a stage below."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.stages.sinks import ignore
from teleporter_lab.engine.supervision import Action, Decision
from teleporter_lab.engine.turnstile import MAX_CHUNK
from teleporter_lab.errors import NotConfirmed
from teleporter_lab.testing.clock import FakeClock
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe
from tests.engine.ack_bench import AGE, Rule, Shelf, bench

# ---- deliveries that are not wanted any more


async def test_after_the_last_delivery_the_supervision_is_asked_and_stops_by_default() -> None:
    async with bench([[1, 2]], most=3) as b:
        await b.pull()
        for _ in range(2):
            await b.clock.advance(AGE)
            await b.pull()
        waiting = await b.waiting()
        await b.clock.advance(AGE)
        for pull in (waiting, b.stage.pull(5)):
            with pytest.raises(
                NotConfirmed, match=r"^2 records were delivered 3 times, up to position 2, .* within 60 s: see what"
            ):
                await pull


@pytest.mark.parametrize(("action", "account"), [(Action.RESUME, "skipped"), (Action.DEAD_LETTER, "dead_lettered")])
async def test_what_was_delivered_too_often_is_left_out_or_put_aside(action: Action, account: str) -> None:
    rule, shelf = Rule(action), Shelf()
    async with bench([[1, 2], [3]], most=1, rule=rule, shelf=shelf) as b:
        late = await b.pull()
        await b.clock.advance(AGE)
        assert (await b.pull()).data == [3]
        assert b.window.progress is not None
        assert b.window.progress.ledger.as_dict() | {"read": 2, account: 2} == b.window.progress.ledger.as_dict()
        assert [letter.element for letter in shelf.letters] == ([1, 2] if action is Action.DEAD_LETTER else [])
        late.written()
        assert (b.window.late, b.written) == (1, 2)
        assert [(failure.tries, failure.position, failure.stage) for failure in rule.asked] == [(1, 2, "source_ack")]


async def test_a_rule_may_allow_more_deliveries() -> None:
    rule = Rule(Decision(Action.RETRY, 5.0))
    async with bench([[1]], most=1, rule=rule) as b:
        await b.pull()
        for tries in (1, 2):
            waiting = await b.waiting()
            await b.clock.advance(AGE)
            assert not waiting.done()
            await b.clock.advance(5.0)
            assert (await waiting).data == [1]
            assert len(rule.asked) == tries
        assert [failure.tries for failure in rule.asked] == [1, 2]


# ---- given back


async def test_what_is_given_back_is_asked_about_at_once_and_goes_out_again_after_the_delay() -> None:
    rule = Rule(Decision(Action.RETRY, 5.0))
    async with bench([[1, 2], [3]], rule=rule) as b:
        first = await b.pull()
        error = OSError("the disk is full")
        first.nack(error)
        assert (await b.pull()).data == [3], "the others go on while it waits"
        assert [(failure.error, failure.tries, failure.element) for failure in rule.asked] == [(error, 1, [1, 2])]
        waiting = await b.waiting()
        await b.clock.advance(4.9)
        assert not waiting.done()
        await b.clock.advance(0.1)
        assert (await waiting).data == [1, 2]


async def test_a_pull_that_waits_is_woken_by_what_is_given_back() -> None:
    async with bench([[1]], rule=Rule(Action.RELOAD), age=float("inf")) as b:
        chunk = await b.pull()
        for _ in range(3):
            waiting = await b.waiting()
            chunk.nack(OSError("no"))
            await b.clock.settle()
            chunk = await waiting
            assert chunk.data == [1]


async def test_pieces_that_are_given_back_are_one_failure() -> None:
    rule = Rule(Action.RETRY)
    async with bench([[1, 2]], rule=rule) as b:
        first, second = (await b.pull()).split(1)
        first.nack(OSError("no"))
        second.nack(OSError("no"))
        again = await b.pull()
        again.written()
        assert (len(rule.asked), b.written) == (1, 2)


async def test_stop_fails_the_stream_with_the_error_itself_and_stays() -> None:
    error = OSError("no")
    async with bench([[1], [2]]) as b:
        (await b.pull()).nack(error)
        for _ in range(3):
            with pytest.raises(OSError, match="no") as caught:
                await b.pull()
            assert caught.value is error
        assert b.written == 0


async def test_a_nack_that_a_rule_skips_or_puts_aside_confirms() -> None:
    for action, account in ((Action.RESUME, "skipped"), (Action.DEAD_LETTER, "dead_lettered")):
        async with bench([[1, 2], [3]], rule=Rule(action), shelf=Shelf()) as b:
            first, second = (await b.pull()).split(1)
            first.written()
            second.nack(OSError("no"))
            await b.pull()
            assert b.window.progress is not None
            assert getattr(b.window.progress.ledger, account) == 2
            assert b.window.progress.ledger.in_flight == 0


async def test_records_are_confirmed_when_all_of_them_are_stored_as_dead_letters() -> None:
    shelf = Shelf(closed=True)
    async with bench([list(range(MAX_CHUNK)), [0]], Witness(10_000), rule=Rule(Action.DEAD_LETTER), shelf=shelf) as b:
        (await b.pull(10_000)).nack(OSError("no"))
        for _ in range(2):
            waiting = await b.waiting()
            waiting.cancel()
            await asyncio.wait((waiting,))
        assert b.written == 0
        shelf.open()
        assert (await b.pull()).data == [0]
        assert [letter.element for letter in shelf.letters] == list(range(MAX_CHUNK))
        assert b.written == MAX_CHUNK


# ---- stages that fail the stream


@pytest.mark.parametrize("boundary", [False, True])
async def test_a_stage_that_fails_is_not_overruled_by_the_rules_of_the_source(boundary: bool) -> None:
    rule, window = Rule(Action.RESUME), Witness(100)
    source = SourceProbe([[1], [2], [3]]).as_source().source_ack(window, AGE).with_attributes(supervisor=rule)
    if boundary:
        source = source.buffer(1)

    def check(x: int) -> int:
        if x == 2:
            raise ValueError(x)
        return x

    with pytest.raises(ValueError, match="2"):
        await source.map(check).to(ignore()).run(Runtime(FakeClock()))
    assert rule.asked == []
    assert window.progress is None or window.progress.position == 1


async def test_a_nack_after_the_end_is_decided_about_when_the_stream_is_closed() -> None:
    for action in (Action.RESUME, Action.DEAD_LETTER):
        async with bench([[1]], rule=Rule(action), shelf=Shelf(), wait=False) as b:
            chunk = await b.pull()
            assert await b.stage.pull(1) is None
            chunk.nack(OSError("no"))
        assert b.written == 1
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(bench([[1]], rule=Rule(Action.RETRY), wait=False))
        chunk = await b.pull()
        assert await b.stage.pull(1) is None
        chunk.nack(OSError("too late"))
        with pytest.raises(OSError, match="too late"):
            await b.stage.close()
    assert b.source.closes == 1


async def test_deliveries_with_impossible_limits_are_refused() -> None:
    impossible: list[dict[str, Any]] = [
        {"max_age": 0},
        {"max_age": float("nan")},
        {"max_deliveries": 0},
        {"max_deliveries": -2},
    ]
    for options in impossible:
        with pytest.raises(ValueError, match="source_ack needs"):
            SourceProbe([]).as_source().source_ack(Witness(1), **options)
