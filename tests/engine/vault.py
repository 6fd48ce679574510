"""What several writers, one after the other, keep records and marks in; and numbers as a source with a position."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.endpoints import Mark
from teleporter_lab.engine.marked_storing import Marks
from teleporter_lab.engine.stages.reading import read_from
from teleporter_lab.errors import AddressUnreachable, BadRecord, Conflict, RecordsRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from teleporter_lab.engine.ack import AckWindow, Progress
    from teleporter_lab.engine.graph import Source
    from teleporter_lab.testing.laws import Witness

KEY = "/position/ns/task/stream/source"


class Vault:
    """Keeps records and marks. `faults` are what the next calls do: "before" and "after" the commit the connection is
    lost, "late" the commit comes through when the next mark is looked at, anything else goes well."""

    def __init__(self, faults: Sequence[str] = ()) -> None:
        self.records: list[Any] = []
        self.marks: dict[str, str] = {}
        self.calls: list[str] = []
        self.batches: list[list[Any]] = []
        self.bad: set[Any] = set()
        self.names = True
        """Whether bad records are named."""
        self.faults = list(faults)
        self.late: Callable[[], None] | None = None
        self.away = False

    def writer(self) -> Deputy:
        self.calls.append("make")
        return Deputy(self)

    @property
    def position(self) -> int | None:
        kept = self.marks.get(KEY)
        return None if kept is None else json.loads(kept)["position"]

    @property
    def ledger(self) -> dict[str, int]:
        return json.loads(self.marks[KEY])["ledger"]


class Deputy:
    """A writer of the vault, which is of no use any more after its connection was lost."""

    columnar = True

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.state = "new"

    async def open(self) -> None:
        assert self.state == "new"
        self._call("open")
        self.state = "open"

    async def close(self) -> None:
        if self.state != "closed":
            self.vault.calls.append("close")
        self.state = "closed"

    async def write(self, records: Any) -> None:
        raise AssertionError("a sink that is exactly once writes with a mark")

    async def marked(self, key: str) -> str | None:
        assert self.state == "open"
        self._call("marked")
        kept = self.vault.marks.get(key)
        if self.vault.late is not None:
            late, self.vault.late = self.vault.late, None
            late()
        await asyncio.sleep(0)
        return kept

    async def write_marked(self, records: Any, mark: Mark) -> None:
        assert self.state == "open"
        rows = records if isinstance(records, list) else records.column("x").to_pylist()
        self._call(f"write {len(rows)}")
        fault = self.vault.faults.pop(0) if self.vault.faults else ""
        await asyncio.sleep(0)
        if fault == "before":
            self._lost()
        if fault == "late":
            self.vault.late = lambda: self._commit_late(rows, mark)
            self._lost()
        self._commit(rows, mark)
        await asyncio.sleep(0)
        if fault == "after":
            self._lost()

    def _call(self, name: str) -> None:
        self.vault.calls.append(name)
        if self.vault.away:
            self._lost()

    def _lost(self) -> None:
        self.state = "lost"
        raise AddressUnreachable("The connection is lost.")

    def _commit_late(self, rows: list[Any], mark: Mark) -> None:
        with contextlib.suppress(Conflict):  # then it was too late
            self._commit(rows, mark)

    def _commit(self, rows: list[Any], mark: Mark) -> None:
        vault = self.vault
        wrong = {i: BadRecord(f"{x} is bad") for i, x in enumerate(rows) if x in vault.bad}
        if wrong and vault.names:
            raise RecordsRefused.of(wrong, "The vault")
        if wrong:
            raise BadRecord("There is a bad record.")
        if vault.marks.get(mark.key) != mark.expect:
            raise Conflict("Another one was faster.")
        vault.records += rows
        vault.batches.append(rows)
        vault.marks[mark.key] = mark.text


class ListReader:
    """Numbers from `position` on, up to `end`; never more than `most` at once."""

    def __init__(self, end: int, most: int = 1000, columns: bool = False) -> None:
        self.columnar = columns
        self.position: int = 0
        self._end = end
        self._most = most

    async def open(self, position: int | None) -> None:
        self.position = position or 0

    async def read(self, n: int) -> Any:
        await asyncio.sleep(0)
        start, self.position = self.position, min(self._end, self.position + min(n, self._most))
        return list(range(start, self.position)) or None

    async def close(self) -> None: ...


def record(progress: Progress) -> Mark:
    assert progress.ledger.in_flight == 0, f"a mark of records that are not accounted for: {progress}"
    text = json.dumps({"position": progress.position, "ledger": progress.ledger.as_dict()})
    return Mark(KEY, text, None, progress.position)


def marks_of(vault: Vault, window: AckWindow) -> Marks:
    return Marks(window, KEY, record, vault.marks.get(KEY))


def numbers(vault: Vault, end: int, window: Witness, most: int = 1000) -> Source[int]:
    """The source of a run that goes on where the vault says."""
    return read_from("numbers", lambda: ListReader(end, most), vault.position).source_ack(window)


def with_text(marks: Marks, text: str) -> Marks:
    """The same, with marks that are all alike."""
    return replace(marks, record=lambda progress: Mark(KEY, text, None, progress.position))
