"""The generator repeats itself exactly and keeps its pace, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.generator import GeneratorOptions, GeneratorSource
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.source_contract import AsyncSourceContract, SourceCase

if TYPE_CHECKING:
    from collections.abc import Iterable


class TestGeneratorSource(AsyncSourceContract):
    @pytest.fixture
    def case(self) -> SourceCase:
        make = Registry.load().get("generator").spec("source").make
        options = GeneratorOptions(count=60, start=990)
        return SourceCase(lambda: make(options, None), [{"id": n, "value": n % 1000} for n in range(990, 1050)])


class Hand:
    """A clock that is moved by hand: sleeping moves it at once."""

    def __init__(self) -> None:
        self.time = 100.0
        self.slept = 0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept += 1
        self.time += seconds
        await asyncio.sleep(0)

    async def wait(self, futures: Iterable[asyncio.Future[Any]], timeout: float | None = None) -> bool:
        raise AssertionError("the generator waits for nothing but time")


async def made(clock: Hand, rate: float, seconds: float) -> list[dict[str, Any]]:
    source = GeneratorSource(GeneratorOptions(rate=rate), clock)
    await source.open(None)
    start, records = clock.time, list[dict[str, Any]]()
    while clock.time < start + seconds:
        records += await source.read(1000) or []
    return records


@pytest.mark.parametrize("rate", [0.5, 3, 1000, 100_000])
async def test_the_rate_is_kept(rate: float) -> None:
    clock = Hand()
    records = await made(clock, rate, 20)
    expected = rate * (clock.time - 100)
    assert abs(len(records) - expected) <= max(2, expected * 0.01)
    assert [record["id"] for record in records] == list(range(len(records)))


async def test_a_high_rate_costs_few_wake_ups_and_a_low_one_one_each() -> None:
    clock = Hand()
    await made(clock, 10_000, 1)
    assert clock.slept <= 201
    clock = Hand()
    records = await made(clock, 2, 10)
    assert clock.slept <= len(records)


async def test_a_pause_is_made_up_for_by_one_second_at_most() -> None:
    clock = Hand()
    source = GeneratorSource(GeneratorOptions(rate=100), clock)
    await source.open(None)
    clock.time += 3600
    assert len(await source.read(10_000) or []) == 100


async def test_a_cancelled_wait_takes_nothing() -> None:
    clock = Hand()
    source = GeneratorSource(GeneratorOptions(rate=1), clock)
    await source.open(None)
    assert [r["id"] for r in await source.read(5) or []] == [0]
    waiting = asyncio.ensure_future(source.read(5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert source.position == {"next": 1}
    assert [r["id"] for r in await source.read(5) or []] == [1]


async def test_records_have_the_constant_fields_and_a_payload() -> None:
    source = GeneratorSource(GeneratorOptions(count=1, payload_size=3, fields={"city": "Köln"}))
    await source.open(None)
    assert await source.read(9) == [{"id": 0, "value": 0, "city": "Köln", "payload": "xxx"}]
    assert source.statistics() == {"next": 1}


async def test_count_is_counted_from_the_start_and_not_from_the_position() -> None:
    source = GeneratorSource(GeneratorOptions(count=3, start=10))
    await source.open({"next": 12})
    assert [r["id"] for r in await source.read(9) or []] == [12]
    assert await source.read(9) is None


async def test_nothing_to_make_is_the_end() -> None:
    source = GeneratorSource(GeneratorOptions(count=0))
    await source.open(None)
    assert await source.read(1) is None


@pytest.mark.parametrize("position", [{"index": 1}, {"next": "ten"}, {"next": -5}, 5])
async def test_a_position_of_something_else_is_refused(position: Any) -> None:
    with pytest.raises(ConnectorError, match="is no position of a generator: next is missing or no whole number"):
        await GeneratorSource(GeneratorOptions()).open(position)
    with pytest.raises(ConnectorError, match="is no position of a generator"):
        Registry.load().distance("generator", position, position)


def test_how_many_records_lie_between_two_positions() -> None:
    assert Registry.load().distance("generator", {"next": 10}, {"next": 25}) == 15
    assert Registry.load().distance("generator", {"next": 25}, {"next": 10}) == -15
