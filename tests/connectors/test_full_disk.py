"""Sinks on a disk that is full: nothing is confirmed, nothing torn can be seen, and with room all goes on."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from teleporter_lab.config.block import parse_block
from teleporter_lab.connectors.base import Registry
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.calls import call
from tests.connectors.rollers.written import finals
from tests.services.small_disk import small_disk as small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.small_disk import SmallDisk

BATCHES = [[{"id": f"{batch}.{n}", "text": f"{n * 7919 % 1_000_003:x}" * 9} for n in range(400)] for batch in range(3)]
"""About 24 KB each."""
LEFT = (0, 4096, 12_288, 28_672, 40_960)
"""Bytes that are free: for nothing, for a part of a batch, for it and hardly more."""
KINDS = ("file", "csv", "parquet", "sql", "file rolled", "csv rolled", "parquet rolled")


class Site:
    """A sink on the disk, and how its target is read without it."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self.category, _, rolled = kind.partition(" ")
        self._roller = {"records": 800} if rolled else {}
        spec = Registry.load().get(self.category)
        self._spec: Any = spec.spec("sink")
        self._address: Any = None
        self._client: dict[str, Any] = {"path": f"{folder}/out"}
        if rolled:
            self._client = {"path": f"{folder}/out-{{index:02}}"}
        elif self.category == "sql":
            self._client = {"table": "t", "mode": "upsert", "keys": ["id"]}
            address: Any = spec.spec("address")
            self._address = address.make(parse_block(address.model, {"url": f"sqlite:///{folder}/out.db"}), None)
            with closing(sqlite3.connect(folder / "out.db")) as connection:
                connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, text TEXT)")
        if self.category == "file":
            self._client["format"] = "jsonl"

    def sink(self) -> Any:
        roller = parse_block(self._spec.roller, self._roller) if self._roller else None
        return self._spec.made(parse_block(self._spec.model, self._client), self._address, roller)

    def seen(self) -> list[str]:
        """The ids that can be read now by anybody, in the order of the batches."""
        if self.category == "sql":
            with closing(sqlite3.connect(self._folder / "out.db")) as connection:
                return [row[0] for row in connection.execute("SELECT id FROM t ORDER BY rowid")]
        paths = [path for path in finals(self._folder) if path.suffix != ".open" and path.name != "ballast"]
        return [each for path in paths for each in self._ids(path)]

    def _ids(self, path: Path) -> list[str]:
        if self.category == "parquet":
            return [row["id"] for row in pq.ParquetFile(path).read().to_pylist()]
        if self.category == "csv":
            with path.open(newline="") as file:
                return [row["id"] for row in csv.DictReader(file)]
        return [line.partition('"id":"')[2].partition('"')[0] for line in path.read_text().splitlines()]

    async def close(self) -> None:
        if self._address is not None:
            await call(self._address.close)


def ids(*batches: int) -> list[str]:
    return [record["id"] for batch in batches for record in BATCHES[batch]]


async def fails_while_full(site: Site, sink: Any, disk: SmallDisk, left: int) -> list[int]:
    """Writes batches until one fails; which ones were confirmed."""
    await call(sink.write, BATCHES[0])
    disk.fill(left)
    said = ""
    confirmed = [0]
    while not said and len(confirmed) < len(BATCHES):
        assert site.seen() == ids(0, 1, 2)[: len(site.seen())]
        try:
            await call(sink.write, BATCHES[len(confirmed)])
            confirmed.append(len(confirmed))
        except ConnectorError as error:
            said = str(error)
    assert "\n" not in said
    assert ("No space left" in said or "full" in said) == (len(confirmed) < len(BATCHES))
    return confirmed


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_failed_can_be_written_once_there_is_room(small_disk: SmallDisk, kind: str, left: int) -> None:
    site = Site(small_disk.folder, kind)
    sink = site.sink()
    await call(sink.open)
    confirmed = await fails_while_full(site, sink, small_disk, left)
    seen = site.seen()
    assert seen == ids(0, 1, 2)[: len(seen)]
    assert len(seen) <= 400 * len(confirmed)
    assert left or confirmed == [0]
    small_disk.free()
    for batch in range(len(confirmed), 3):
        await call(sink.write, BATCHES[batch])
    await call(sink.close)
    assert site.seen() == ids(0, 1, 2)
    await site.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fresh_sink_goes_on_where_the_failed_one_was(small_disk: SmallDisk, kind: str) -> None:
    site = Site(small_disk.folder, kind)
    sink = site.sink()
    await call(sink.open)
    confirmed = await fails_while_full(site, sink, small_disk, 4096)
    with suppress(ConnectorError):  # a file cannot be completed either
        await call(sink.close)
    assert site.seen() == ids(0, 1, 2)[: len(site.seen())]
    small_disk.free()
    sink = site.sink()
    await call(sink.open)
    for batch in range(len(confirmed), 3):
        await call(sink.write, BATCHES[batch])
    await call(sink.close)
    assert site.seen() == ids(0, 1, 2)
    await site.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_disk_that_may_not_be_written_to_is_told_in_a_sentence(small_disk: SmallDisk, kind: str) -> None:
    site = Site(small_disk.folder, kind)
    await site.close()
    small_disk.protect()
    sink = site.sink()

    async def open_and_write() -> None:
        await call(sink.open)
        await call(sink.write, BATCHES[0])

    with pytest.raises(ConnectorError, match=r"(?i)read-?only"):
        await open_and_write()
    await call(sink.close)
    await site.close()
    assert site.seen() == []
