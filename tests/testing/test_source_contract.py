"""The contract of sources finds readers that break a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.testing.source_contract import AsyncSourceContract, SourceCase, SourceContract, read_in_steps

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = list(range(9))


class Reader:
    """Keeps every promise; the classes below break one each."""

    def __init__(self) -> None:
        self.at = 0

    async def open(self, position: Any) -> None:
        self.at = 0 if position is None else position["at"]

    async def read(self, n: int) -> list[int] | None:
        records = RECORDS[self.at : self.at + n]
        self.at += len(records)
        return records or None

    @property
    def position(self) -> Any:
        return {"at": self.at}

    async def close(self) -> None:
        """Nothing to let go of."""


class Greedy(Reader):
    async def read(self, n: int) -> list[int] | None:
        return await super().read(n + 1)


class Empty(Reader):
    async def read(self, n: int) -> list[int] | None:
        return await super().read(n) or []


class Forgetful(Reader):
    @property
    def position(self) -> Any:
        return {"at": self.at + (self.at == 5)}


class Repeating(Reader):
    @property
    def position(self) -> Any:
        return {"at": self.at - self.at % 2}


class NotJson(Reader):
    @property
    def position(self) -> Any:
        return {"at": (self.at,)}


class Endless(Reader):
    async def read(self, n: int) -> list[int] | None:
        records = await super().read(n)
        if records is None:
            self.at = 0
        return records


def case(make: Callable[[], Reader]) -> SourceCase:
    return SourceCase(make, RECORDS)


class TestReader(AsyncSourceContract):
    @pytest.fixture
    def case(self) -> SourceCase:
        return case(Reader)


@pytest.mark.parametrize("broken", [Greedy, Empty])
async def test_a_chunk_of_the_wrong_size_is_found(broken: type[Reader]) -> None:
    with pytest.raises(AssertionError, match="records"):
        await SourceContract().test_gives_every_record_in_order_and_never_more_than_asked(case(broken), 2)


@pytest.mark.parametrize("broken", [Forgetful, Repeating])
async def test_a_position_that_loses_or_repeats_a_record_is_found(broken: type[Reader]) -> None:
    with pytest.raises(AssertionError):
        await SourceContract().test_position_of_every_single_record_is_exact(case(broken))
    assert await read_in_steps(case(broken), [(5, True)]) != RECORDS


async def test_a_position_that_the_store_would_change_is_found() -> None:
    with pytest.raises(AssertionError, match="comes back from the store as"):
        await SourceContract().test_a_reader_at_the_last_position_gives_nothing(case(NotJson))


async def test_an_end_that_is_none_is_found() -> None:
    with pytest.raises(AssertionError):
        await SourceContract().test_the_end_stays_the_end(case(Endless))
