"""The contract of sinks whose system refuses single records finds writers that break a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import BadRecord, RecordsRefused
from teleporter_lab.testing.refusing_sink_contract import RefusingCase, RefusingSinkContract
from tests.testing.promises import broken

if TYPE_CHECKING:
    from collections.abc import Sequence


class Writer:
    """Keeps every promise; the classes below break one each."""

    def __init__(self, target: list[int]) -> None:
        self.target = target

    async def open(self) -> None: ...

    async def write(self, records: Sequence[int]) -> None:
        refused = {i: BadRecord(f"{x} is below 0.") for i, x in enumerate(records) if x < 0}
        self.keep(records, set(refused))
        if refused:
            raise self.error(refused)

    def keep(self, records: Sequence[int], refused: set[int]) -> None:
        self.target += [x for i, x in enumerate(records) if i not in refused]

    def error(self, refused: dict[int, Exception]) -> Exception:
        return RecordsRefused.of(refused, "The list")

    async def close(self) -> None: ...


class StoresNone(Writer):
    """Does not store the others."""

    def keep(self, records: Sequence[int], refused: set[int]) -> None:
        self.target += [] if refused else records


class StopsAtTheFirst(Writer):
    """Stores what stands before the first one that is refused."""

    def keep(self, records: Sequence[int], refused: set[int]) -> None:
        self.target += records[: min(refused, default=len(records))]


class CountsFromOne(Writer):
    def error(self, refused: dict[int, Exception]) -> Exception:
        return RecordsRefused.of({i + 1: error for i, error in refused.items()}, "The list")


class NamesOne(Writer):
    """Names the first of them, and drops the others."""

    def error(self, refused: dict[int, Exception]) -> Exception:
        first = min(refused)
        return RecordsRefused.of({first: refused[first]}, "The list")


class Wordy(Writer):
    def error(self, refused: dict[int, Exception]) -> Exception:
        return RecordsRefused("a\nwall of text", refused=refused)


class Silent(Writer):
    """Confirms all."""

    async def write(self, records: Sequence[int]) -> None:
        self.keep(records, {i for i, x in enumerate(records) if x < 0})


def case(kind: type[Writer]) -> RefusingCase:
    target: list[Any] = []
    return RefusingCase(lambda: kind(target), lambda: target, [1, 2, 3, 4], [-1, -2])


async def test_a_writer_that_keeps_its_promises_breaks_none() -> None:
    assert await broken(RefusingSinkContract, lambda: case(Writer)) == set()


@pytest.mark.parametrize("liar", [StoresNone, StopsAtTheFirst, CountsFromOne, NamesOne, Wordy, Silent])
async def test_a_writer_that_breaks_one_is_found(liar: type[Writer]) -> None:
    assert await broken(RefusingSinkContract, lambda: case(liar))
