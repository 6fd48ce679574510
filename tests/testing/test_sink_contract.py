"""The contract of sinks finds writers that break a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import BadRecord
from teleporter_lab.testing.sink_contract import SinkCase, SinkContract

if TYPE_CHECKING:
    from collections.abc import Sequence

RECORDS = [1, 2, 3, 4]
BAD = [5, 6, "bad"]


class Writer:
    """Keeps every promise; the classes below break one each."""

    def __init__(self, target: list[Any]) -> None:
        self.target = target

    async def open(self) -> None:
        """Nothing to get ready."""

    async def write(self, records: Sequence[Any]) -> None:
        if "bad" in records:
            raise BadRecord("A record is bad.")
        self.target.extend(records)

    async def close(self) -> None:
        """Nothing to let go of."""


class Late(Writer):
    def __init__(self, target: list[Any]) -> None:
        super().__init__(target)
        self.kept: list[Any] = []

    async def write(self, records: Sequence[Any]) -> None:
        self.kept.extend(records)

    async def close(self) -> None:
        self.target.extend(self.kept)
        self.kept.clear()


class Partial(Writer):
    async def write(self, records: Sequence[Any]) -> None:
        for record in records:
            await super().write([record])


class Wordy(Writer):
    async def write(self, records: Sequence[Any]) -> None:
        if "bad" in records:
            raise BadRecord("bad\nand a wall of text")
        await super().write(records)


def case(kind: type[Writer], *, idempotent: bool = False) -> SinkCase:
    target: list[Any] = []
    return SinkCase(lambda: kind(target), lambda: target, RECORDS, BAD, idempotent)


class TestWriter(SinkContract):
    @pytest.fixture
    def case(self) -> SinkCase:
        return case(Writer)


async def test_a_write_that_returns_before_it_stored_is_found() -> None:
    with pytest.raises(AssertionError):
        await SinkContract().test_everything_is_stored_when_write_returns(case(Late), 2)


@pytest.mark.parametrize("broken", [Partial, Wordy])
async def test_a_batch_that_is_stored_in_part_and_a_wall_of_text_are_found(broken: type[Writer]) -> None:
    with pytest.raises(AssertionError):
        await SinkContract().test_a_failed_batch_stores_nothing_and_says_why_in_a_sentence(case(broken))


async def test_a_sink_that_only_claims_to_be_idempotent_is_found() -> None:
    contract = SinkContract()
    with pytest.raises(AssertionError):
        await contract.test_a_batch_written_again_is_there_once_or_twice_as_promised(case(Writer, idempotent=True))
