"""Where a stream begins: whom of the store, the sink and the system of the source is believed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.config.key import Key
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.supervision import Action, Decision
from teleporter_lab.errors import AddressUnreachable, ConnectorError
from teleporter_lab.instance.beginning import Beginning, further, later
from teleporter_lab.instance.positions import Committed, parse_record
from teleporter_lab.testing.clock import FakeClock

if TYPE_CHECKING:
    from teleporter_lab.engine.supervision import Failure

SOURCE = Key.parse("/source/ns/task/stream/in")
KEY = "/position/ns/task/stream/in"
OTHER = "/position/ns/task/stream-2/in"


def record(position: Any, read: int | None = None, **more: Any) -> str:
    count = position if read is None else read
    return json.dumps({"position": position, "ledger": {"read": count, "written": count}, **more})


def kept(position: Any, read: int | None = None, **more: Any) -> Committed:
    return parse_record(record(position, read, **more), KEY)


def note(read: int, key: str = KEY, **more: Any) -> str:
    return record(None, read, key=key, **more)


# ---- the sink


def test_the_sink_is_believed_as_its_position_is_that_of_the_data() -> None:
    store = kept(10)
    found = later(store, record(25), KEY)
    assert (found.position, found.ledger.read, found.text) == (25, 25, store.text)


def test_a_sink_that_has_kept_nothing_yet_begins_where_the_stream_was() -> None:
    store = kept(10)
    assert later(store, None, KEY) is store


def test_a_position_that_a_person_has_set_wins_until_the_sink_has_gone_on_from_it() -> None:
    store = kept(3, set="a")
    assert later(store, record(25), KEY).position == 3
    assert later(store, record(25, set="older"), KEY).position == 3
    assert later(store, record(7, set="a"), KEY).position == 7


def test_a_mark_that_is_none_is_a_sentence() -> None:
    with pytest.raises(ConnectorError, match="is no position"):
        later(kept(3), "nonsense", KEY)


# ---- the group


@pytest.mark.parametrize(
    ("store", "notes", "read"),
    [
        (kept(10), [], 10),
        (kept(10), [note(25)], 25),
        (kept(10), [note(10)], 10),
        (kept(10), [note(5)], 10),  # a partition that was committed last long ago
        (kept(10), [note(30), note(25), note(5)], 30),
        (kept(10), [note(99, OTHER)], 10),  # another member of the group
        (kept(10), [note(99, OTHER), note(12)], 12),
        (kept(10, set="a"), [note(25)], 10),  # of before a person has set the position
        (kept(10, set="b"), [note(25, set="a")], 10),
        (kept(10, set="a"), [note(25, set="a")], 25),
        (kept(10, set="b", by="me"), [note(40), note(30, set="a"), note(12, set="b")], 12),
        (parse_record('{"position": null}', KEY), [note(25, set="a")], 25),  # the record was deleted, the group goes on
        (kept(10), ["", "{", "[]", "1", "null", '{"key": 1}', "[" * 3000], 10),  # of other programs
        (kept(10), [json.dumps({"key": KEY, "ledger": {"read": "many"}}), note(11)], 11),
    ],
)
def test_the_ledger_that_has_come_furthest_goes_on(store: Committed, notes: list[str], read: int) -> None:
    found = further(store, notes, KEY)
    assert (found.ledger.read, found.ledger.written) == (read, read)
    assert (found.text, found.position) == (store.text, store.position)


def test_a_position_that_a_person_has_set_is_taken_up_once() -> None:
    """The group stands behind it as soon as something was committed since, even if the store never heard of that."""
    store = kept({"t": {"0": 7}}, 10, set="a", by="me")
    assert store.fresh
    assert further(store, [note(10, set="a"), note(25)], KEY).fresh
    found = further(store, [note(11, set="a")], KEY)
    assert (found.fresh, found.set_by) == (False, "a")


SETS = st.sampled_from([None, "a", "b"])
NOTES = st.lists(st.tuples(st.integers(0, 50), st.sampled_from([KEY, OTHER]), SETS))


@given(st.integers(0, 50), SETS, NOTES)
def test_it_is_never_less_than_the_store_and_never_that_of_another_line(
    read: int, marker: str | None, notes: list[tuple[int, str, str | None]]
) -> None:
    store = replace(kept(1, read), set_by=marker)
    texts = [note(count, key, **({} if by is None else {"set": by})) for count, key, by in notes]
    own = [count for count, key, by in notes if key == KEY and (marker is None or by == marker)]
    found = further(store, texts, KEY)
    assert found.ledger.read == max([read, *own])
    assert found.set_by == marker or marker is None


# ---- asking


class Rules:
    """Decides the same each time."""

    def __init__(self, action: Action, delay: float = 0.0) -> None:
        self.decision = Decision(action, delay)
        self.seen: list[Failure] = []

    def decide(self, failure: Failure) -> Decision:
        self.seen.append(failure)
        return self.decision


class Sink:
    """An `ExactlyOnce` that has kept a mark."""

    key = Key.parse("/sink/ns/task/stream/out")

    def __init__(self, said: list[str], mark: str | None) -> None:
        self.said = said
        self.mark = mark

    async def recall(self, *_: object) -> str | None:
        self.said.append("sink")
        return self.mark


async def test_the_sink_is_asked_before_the_group() -> None:
    said: list[str] = []

    async def noted() -> list[str]:
        said.append("group")
        return [note(25)]

    async with Runtime() as runtime:
        sink: Any = Sink(said, None)
        found = await Beginning(runtime, sink, lambda _: Rules(Action.STOP)).of("in", SOURCE, kept(10), noted)
        assert (found.ledger.read, said) == (25, ["sink", "group"])
        sink = Sink(said, record(30))
        found = await Beginning(runtime, sink, lambda _: Rules(Action.STOP)).of("in", SOURCE, kept(10), None)
        assert found.position == 30
        assert await Beginning(runtime, None, lambda _: Rules(Action.STOP)).of("in", SOURCE, kept(1), None) == kept(1)


@pytest.mark.parametrize("action", [Action.RETRY, Action.RELOAD, Action.RESUME])
async def test_a_cluster_that_is_away_is_asked_again_as_the_rules_of_the_source_say(action: Action) -> None:
    clock, rules, asked = FakeClock(), Rules(action, 2.0), 0

    async def noted() -> list[str]:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise AddressUnreachable("away")
        return [note(25)]

    async with Runtime(clock) as runtime:
        beginning = Beginning(runtime, None, lambda key: rules if key == SOURCE else Rules(Action.STOP))
        asking = asyncio.ensure_future(beginning.of("in", SOURCE, kept(10), noted))
        await clock.advance(1.9)
        assert asked == 1
        await clock.advance(2.2)
        assert (await asking).ledger.read == 25
    assert [(failure.tries, failure.stage) for failure in rules.seen] == [(1, str(SOURCE)), (2, str(SOURCE))]


async def test_what_the_rules_stop_at_is_raised() -> None:
    async def noted() -> list[str]:
        raise AddressUnreachable("away")

    async with Runtime() as runtime:
        with pytest.raises(AddressUnreachable, match="away"):
            await Beginning(runtime, None, lambda _: Rules(Action.STOP)).of("in", SOURCE, kept(10), noted)
