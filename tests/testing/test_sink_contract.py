"""The contract of sinks finds writers that break a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import BadRecord
from teleporter_lab.testing.sink_contract import SinkCase, SinkContract
from tests.testing.promises import broken

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


class DropsTheLast(Writer):
    """Says of every batch that it is stored, and leaves out its last record."""

    async def write(self, records: Sequence[Any]) -> None:
        await super().write(records)
        del self.target[len(self.target) - (len(records) > 0) :]


class DropsEverySecond(Writer):
    """A batch that meets another one is gone."""

    def __init__(self, target: list[Any]) -> None:
        super().__init__(target)
        self.writes = 0

    async def write(self, records: Sequence[Any]) -> None:
        self.writes += len(records) > 0
        if self.writes % 2 or "bad" in records:
            await super().write(records)


class DropsOnClose(Writer):
    """Takes back what was not flushed when it is closed."""

    async def close(self) -> None:
        del self.target[3:]


class DropsTwins(Writer):
    """Takes records that are alike for one, and promises nothing of the kind."""

    async def write(self, records: Sequence[Any]) -> None:
        await super().write(list(dict.fromkeys(records)))


class DropsUnderway(Writer):
    """Loses what it is given in small batches, as a full queue would."""

    async def write(self, records: Sequence[Any]) -> None:
        await super().write(records if len(records) != 1 else [])


class Swallows(Writer):
    """Says that a batch is stored which was not taken."""

    async def write(self, records: Sequence[Any]) -> None:
        if "bad" not in records:
            await super().write(records)


LIARS = [DropsTheLast, DropsEverySecond, DropsOnClose, DropsTwins, DropsUnderway, Swallows]


def case(kind: type[Writer], *, idempotent: bool = False) -> SinkCase:
    target: list[Any] = []
    return SinkCase(lambda: kind(target), lambda: target, RECORDS, BAD, idempotent)


class TestWriter(SinkContract):
    @pytest.fixture
    def case(self) -> SinkCase:
        return case(Writer)


async def test_a_writer_that_keeps_its_promises_breaks_none() -> None:
    assert await broken(SinkContract, lambda: case(Writer)) == set()


@pytest.mark.parametrize("liar", LIARS)
async def test_a_sink_that_confirms_and_drops_is_caught(liar: type[Writer]) -> None:
    assert await broken(SinkContract, lambda: case(liar))


@pytest.mark.parametrize("liar", [DropsTheLast, DropsEverySecond, DropsOnClose])
async def test_it_is_caught_by_the_ledger_of_a_stream_alone(liar: type[Writer]) -> None:
    with pytest.raises(
        AssertionError, match=r"The ledger says 4 written, and [23] are stored: [12] confirmed and drop"
    ):
        await SinkContract().test_what_a_stream_counts_as_written_is_stored(case(liar), 2)


async def test_a_batch_that_was_not_taken_and_is_confirmed_is_caught_by_the_ledger_of_a_stream() -> None:
    contract = SinkContract()
    with pytest.raises(AssertionError, match="The ledger says 3 written, and 0 are stored: 3 confirmed and dropped"):
        await contract.test_a_stream_that_leaves_out_what_fails_stores_all_that_it_counts_as_written(case(Swallows))


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
