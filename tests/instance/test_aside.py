"""Letters on their way to the broker: together where they come together, again while it is away, once in the store."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from teleporter_lab.engine.supervision import Failure
from teleporter_lab.errors import ConnectionLost, DeadLettersFull, ElementError, InvalidInput, StoreError, Unreachable
from teleporter_lab.instance.aside import BATCH, LARGEST, Aside
from teleporter_lab.rpc.messages import Done
from teleporter_lab.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.instance.link import Link
    from teleporter_lab.rpc.messages import Message, PutAside

STREAM = "/stream/a/b/c"
ERROR = ValueError("bad")


class Broker:
    """Keeps letters by id, as the real one does. `answers` is what it says first; `gate` holds up every answer."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.requests: list[list[str]] = []
        self.kept: dict[str, dict[str, Any]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuses: Callable[[str], Exception | None] = lambda _: None

    async def request(self, message: PutAside) -> Message:
        assert message.stream == STREAM
        self.requests.append([name for name, _ in message.letters])
        await self.gate.wait()
        for _, text in message.letters:
            refused = self.refuses(text)
            if refused is not None:
                raise refused
        answer = self.answers.pop(0) if self.answers else None
        if answer is None or isinstance(answer, ConnectionLost):  # which was lost with the answer
            self.kept |= {name: json.loads(text) for name, text in message.letters}
        if answer is not None:
            raise answer
        return Done()

    def aside(self, clock: FakeClock | None = None) -> Aside:
        return Aside(STREAM, cast("Link", self), clock or FakeClock(), {"csv(rows)": "/source/a/b/c/rows"})

    @property
    def records(self) -> list[Any]:
        return [self.kept[name]["record"] for name in sorted(self.kept)]


def failure(record: Any, stage: str = "map(f)", error: Exception = ERROR) -> Failure:
    return Failure(error, stage, record, 1)


async def test_a_letter_is_put_when_the_broker_has_kept_it() -> None:
    broker = Broker()
    broker.gate.clear()
    async with broker.aside() as aside:
        putting = asyncio.create_task(aside.put(failure({"id": 1})))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not putting.done()
        broker.gate.set()
        await putting
    [letter] = broker.kept.values()
    assert (letter["record"], letter["place"], letter["part"], letter["stream"]) == ({"id": 1}, "map(f)", "", STREAM)


async def test_each_part_has_its_key() -> None:
    broker = Broker()
    async with broker.aside() as aside:
        await aside.put(failure(1, "csv(rows)"))
        await aside.of("/sink/a/b/c/out").put(failure(2, "csv(rows)"))
    assert [letter["part"] for letter in broker.kept.values()] == ["/source/a/b/c/rows", "/sink/a/b/c/out"]


async def test_what_fails_together_and_while_a_request_is_under_way_goes_in_one() -> None:
    broker = Broker()
    broker.gate.clear()
    async with broker.aside() as aside, asyncio.TaskGroup() as group:
        for i in range(10):
            group.create_task(aside.put(failure(i)))
        while not broker.requests:
            await asyncio.sleep(0)
        for i in range(10, BATCH + 20):
            group.create_task(aside.put(failure(i)))
        await asyncio.sleep(0)
        broker.gate.set()
    assert [len(names) for names in broker.requests] == [10, BATCH, 10]
    assert broker.records == list(range(BATCH + 20)), "ids sort as the letters were put"


async def test_long_letters_share_no_request() -> None:
    broker = Broker()
    async with broker.aside() as aside:
        await asyncio.gather(*(aside.put(failure("x" * 600_000)) for _ in range(3)))
    assert [len(names) for names in broker.requests] == [1, 1, 1]


@pytest.mark.parametrize("away", [Unreachable("gone"), ConnectionLost("cut"), StoreError("the store is gone")], ids=str)
async def test_while_the_broker_is_away_a_letter_waits_and_is_kept_once(away: Exception) -> None:
    broker, clock = Broker(*[away] * 8), FakeClock()
    async with broker.aside(clock) as aside:
        await clock.run(asyncio.gather(aside.put(failure(1)), aside.put(failure(2))))
    assert len(broker.requests) == 9
    assert len({tuple(names) for names in broker.requests}) == 1, "the same letters with the same ids"
    assert broker.records == [1, 2]
    assert 7 < clock.now() < 25


async def test_a_full_place_raises_from_the_errors_of_the_letters() -> None:
    broker = Broker(DeadLettersFull("at most 10"))
    errors = [KeyError("a"), OSError("b")]
    async with broker.aside() as aside:
        outcomes = await asyncio.gather(
            *(aside.put(failure(i, error=error)) for i, error in enumerate(errors)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [DeadLettersFull] * 2
        assert [cast("Exception", outcome).__cause__ for outcome in outcomes] == errors
        await aside.put(failure(3))
    assert broker.records == [3]


async def test_a_letter_that_is_refused_takes_no_other_with_it() -> None:
    broker = Broker()
    broker.refuses = lambda text: InvalidInput("odd") if json.loads(text)["record"] % 2 else None
    async with broker.aside() as aside:
        outcomes = await asyncio.gather(*(aside.put(failure(i)) for i in range(6)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), InvalidInput] * 3
    assert broker.records == [0, 2, 4]


async def test_a_record_that_no_frame_could_bring_back_is_refused_at_once() -> None:
    broker = Broker()
    async with broker.aside() as aside:
        with pytest.raises(ElementError, match="at most 8,323,072 bytes") as caught:
            await aside.put(failure("x" * LARGEST))
    assert caught.value.__cause__ is ERROR
    assert broker.requests == []


async def test_putting_that_was_cancelled_goes_on_with_the_same_letter() -> None:
    broker, letter = Broker(), failure({"id": 1})
    broker.gate.clear()
    async with broker.aside() as aside:
        first = [asyncio.create_task(aside.put(letter)) for _ in range(2)]
        while not broker.requests:
            await asyncio.sleep(0)
        for putting in first:
            putting.cancel()
        await asyncio.wait(first)
        again = asyncio.create_task(aside.put(failure({"id": 1}, error=KeyError("another"))))
        await asyncio.sleep(0)
        broker.gate.set()
        await asyncio.gather(aside.put(letter), aside.put(letter), again)
        assert len(broker.kept) == 3
        await aside.put(letter)
        assert len(broker.kept) == 4, "a later failure is another letter"


async def test_leaving_stops_what_is_still_being_sent() -> None:
    broker = Broker()
    broker.gate.clear()
    async with broker.aside() as aside:
        putting = asyncio.create_task(aside.put(failure(1)))
        while not broker.requests:
            await asyncio.sleep(0)
        putting.cancel()
        await asyncio.wait((putting,))
        assert aside.statistics() == {"waiting": 0}
    assert broker.kept == {}


async def test_a_broken_link_is_not_waited_for_for_ever() -> None:
    broker = Broker(RuntimeError("a bug"))
    async with broker.aside() as aside:
        with pytest.raises(RuntimeError, match="a bug"):
            await aside.put(failure(1))
