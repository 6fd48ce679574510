"""A stream to rolled files through the engine: cancelled and started again at any point, each record is there once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.file import FileSinkOptions
from teleporter_lab.connectors.file_format import LineFormat
from teleporter_lab.connectors.rollers.rolled_files import RolledFiles
from teleporter_lab.connectors.rollers.rolled_folder import RolledFolder
from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
from teleporter_lab.engine.marked_storing import Marks
from teleporter_lab.engine.stages.marking import write_exactly
from teleporter_lab.engine.stages.reading import read_from
from teleporter_lab.engine.stages.writing import write_to
from teleporter_lab.testing.laws import Witness
from tests.connectors.rollers.written import lines
from tests.engine.vault import KEY, ListReader, record

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from teleporter_lab.engine.graph import Sink


def writer(folder: Path, records: int) -> RolledFiles:
    path = f"{folder}/{{index:05}}"
    form = LineFormat(FileSinkOptions(path=path, format="jsonl"))
    return RolledFiles(RolledFolder(path, SinkRoller(records=records), form, exactly_once=True))


async def kept(folder: Path) -> str | None:
    asked = writer(folder, 1000)
    await asked.open()
    try:
        return await asked.marked(KEY)
    finally:
        await asked.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(0, 60),
    size=st.integers(1, 20),
    records=st.integers(1, 30),
    kills=st.lists(st.integers(1, 400), max_size=3),
)
def test_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, count: int, size: int, records: int, kills: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("out")

    async def once(passes: int | None) -> None:
        window, mark = Witness(40), await kept(folder)
        position = None if mark is None else json.loads(mark)["position"]
        source = read_from("numbers", lambda: ListReader(count, 7), position).source_ack(window)
        marks = Marks(window, KEY, record, mark)
        sink: Sink[Any, None] = write_exactly("files", lambda: writer(folder, records), marks, size, 0.0)
        run = asyncio.ensure_future(source.to(sink).run())
        for _ in range(passes or 0):
            await asyncio.sleep(0)
        if passes is not None:
            run.cancel()
        await asyncio.wait((run,))
        if not run.cancelled():
            run.result()

    async def check() -> None:
        for passes in [*kills, None]:
            await once(passes)

    asyncio.run(check())
    assert list(map(json.loads, lines(folder))) == list(range(count))


async def test_at_least_once(tmp_path: Path) -> None:
    window = Witness(40)
    source = read_from("numbers", lambda: ListReader(100, 7), None).source_ack(window)
    await source.to(write_to("files", lambda: writer(tmp_path, 30), 10, 0.0)).run()
    window.check_all_settled()
    assert list(map(json.loads, lines(tmp_path))) == list(range(100))
