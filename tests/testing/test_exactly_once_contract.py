"""The contract of sinks that are exactly once finds writers that break a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.errors import BadRecord, Conflict
from teleporter_lab.testing.exactly_once_contract import ExactlyOnceCase, ExactlyOnceSinkContract
from tests.testing.promises import broken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from teleporter_lab.engine.endpoints import Mark

RECORDS = [1, 2, 3, 4, 5]
BAD = [6, 7, "bad"]


class Target:
    def __init__(self) -> None:
        self.records: list[Any] = []
        self.marks: dict[str, str] = {}


class Writer:
    """Keeps every promise; the classes below break one each."""

    def __init__(self, target: Target) -> None:
        self.target = target

    async def open(self) -> None: ...

    async def write(self, records: Sequence[Any]) -> None:
        self.check(records)
        self.target.records += records

    async def marked(self, key: str) -> str | None:
        return self.target.marks.get(key)

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        if self.target.marks.get(mark.key) != mark.expect:
            raise Conflict("Another run has gone on.")
        await self.write(records)
        self.target.marks[mark.key] = mark.text

    def check(self, records: Sequence[Any]) -> None:
        if "bad" in records:
            raise BadRecord("A record is bad.")

    async def close(self) -> None: ...


class BlockingWriter(Writer):
    def open(self) -> None: ...  # type: ignore[override]

    def write(self, records: Sequence[Any]) -> None:  # type: ignore[override]
        self.check(records)
        self.target.records += records

    def marked(self, key: str) -> str | None:  # type: ignore[override]
        return self.target.marks.get(key)

    def write_marked(self, records: Sequence[Any], mark: Mark) -> None:  # type: ignore[override]
        if self.target.marks.get(mark.key) != mark.expect:
            raise Conflict("Another run has gone on.")
        self.write(records)
        self.target.marks[mark.key] = mark.text

    def close(self) -> None: ...  # type: ignore[override]


class Careless(Writer):
    """Looks at no mark before it writes one."""

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        await self.write(records)
        self.target.marks[mark.key] = mark.text


class MarkFirst(Writer):
    """Writes the mark and then the records, in two transactions."""

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        if self.target.marks.get(mark.key) != mark.expect:
            raise Conflict("Another run has gone on.")
        self.target.marks[mark.key] = mark.text
        await self.write(records)


class RecordsFirst(Writer):
    """Writes the records and then the mark, in two transactions."""

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        await self.write(records)
        if self.target.marks.get(mark.key) != mark.expect:
            raise Conflict("Another run has gone on.")
        self.target.marks[mark.key] = mark.text


class Forgetful(Writer):
    """Keeps marks in itself."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.target = Target()
        self.target.records = target.records


class NoEmptyMarks(Writer):
    """Leaves out a mark that comes without records."""

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        if records:
            await super().write_marked(records, mark)


class OneKey(Writer):
    """Has one place for all marks."""

    async def marked(self, key: str) -> str | None:
        return await super().marked("all")

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        if self.target.marks.get("all") != mark.expect:
            raise Conflict("Another run has gone on.")
        await self.write(records)
        self.target.marks["all"] = mark.text


class DropsTheLast(Writer):
    """Confirms and drops, mark and all."""

    async def write_marked(self, records: Sequence[Any], mark: Mark) -> None:
        await super().write_marked(records[: max(1, len(records) - 1)], mark)


class Truncates(Writer):
    """Has room for short marks only."""

    async def marked(self, key: str) -> str | None:
        kept = await super().marked(key)
        return None if kept is None else kept[:40]


LIARS = [Careless, MarkFirst, RecordsFirst, Forgetful, NoEmptyMarks, OneKey, DropsTheLast, Truncates]


def case(kind: type[Writer]) -> ExactlyOnceCase:
    target = Target()
    return ExactlyOnceCase(lambda: kind(target), lambda: target.records, RECORDS, BAD)


@pytest.mark.parametrize("kind", [Writer, BlockingWriter])
async def test_a_writer_that_keeps_its_promises_breaks_none(kind: type[Writer]) -> None:
    assert await broken(ExactlyOnceSinkContract, lambda: case(kind)) == set()


@pytest.mark.parametrize("liar", LIARS)
async def test_a_writer_that_breaks_one_is_found(liar: type[Writer]) -> None:
    assert await broken(ExactlyOnceSinkContract, lambda: case(liar))
