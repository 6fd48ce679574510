"""What stands in the folder of a rolled sink, read without the sink: the second opinion of its tests."""

from __future__ import annotations

import csv
import io
import json
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path


def finals(folder: Path) -> list[Path]:
    """The files that can be seen, by name."""
    return sorted(path for path in folder.rglob("[!.]*") if path.is_file())


def hidden(folder: Path, ending: str) -> list[Path]:
    return sorted(folder.glob(f".*.{ending}"))


def journal(folder: Path) -> dict[str, Any]:
    """What the journal leads to; a torn end does not count."""
    kept: dict[str, Any] = {"length": 0, "records": 0}
    for path in hidden(folder, "journal"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            check, _, text = line.partition(b" ")
            if int(check, 16) != zlib.crc32(text):
                break
            kept |= json.loads(text)
    return kept


def unfinished(folder: Path) -> bytes:
    """The bytes of the unfinished file that count."""
    parts, kept = hidden(folder, "part"), journal(folder)
    if not parts or (kept.get("closing") and (folder / kept["closing"]).exists()):
        return b""
    return parts[0].read_bytes()[: kept["length"]]


def lines(folder: Path) -> list[str]:
    data = [path.read_bytes() for path in finals(folder)] + [unfinished(folder)]
    return [line for each in data for line in each.decode().split("\n")[:-1]]


def csv_rows(folder: Path) -> list[dict[str, str]]:
    data = [path.read_bytes() for path in finals(folder)] + [unfinished(folder)]
    return [row for each in data for row in csv.DictReader(io.StringIO(each.decode(), newline=""))]


def parquet_rows(folder: Path) -> list[dict[str, Any]]:
    rows = [row for path in finals(folder) for row in pq.ParquetFile(path).read().to_pylist()]
    rest = pa.BufferReader(unfinished(folder))
    while rest.tell() < rest.size():
        rows += pa.ipc.open_stream(rest).read_all().to_pylist()
    return rows
