"""A file whose time is over is completed though nobody writes, one call at a time, and nothing is left at work."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.connectors.file import FileSinkOptions
from teleporter_lab.connectors.file_format import LineFormat
from teleporter_lab.connectors.rollers.rolled_files import LOOK_SECONDS, RolledFiles
from teleporter_lab.connectors.rollers.rolled_folder import RolledFolder
from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
from teleporter_lab.engine.endpoints import Mark, Marking
from teleporter_lab.errors import ConnectorError
from teleporter_lab.testing.clock import FakeClock
from tests.connectors.rollers.written import finals, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC)


class Wall:
    """A clock on the wall that goes as the fake one does, and can be set."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return START + self.ahead + timedelta(seconds=self.clock.now())


async def at_once(call: Callable[[], Any]) -> Any:
    return call()


def sink(folder: Path, wall: Wall, in_thread: Any = at_once, **roller: Any) -> RolledFiles:
    path = f"{folder}/{{date:%d-%H%M}}"
    rolled = RolledFolder(path, SinkRoller(**(roller or {"cron": "0 * * * *"})), LineFormat(FileSinkOptions(path=path)))
    return RolledFiles(rolled, wall.clock, wall.now, in_thread)


@pytest.fixture
def wall() -> Wall:
    return Wall()


def names(folder: Path) -> list[str]:
    return [path.name for path in finals(folder)]


async def test_a_file_is_complete_at_its_moment_though_no_record_comes(tmp_path: Path, wall: Wall) -> None:
    writer = sink(tmp_path, wall)
    await writer.open()
    assert wall.clock.timers == []
    await writer.write(["a"])
    await wall.clock.advance(25 * 60)
    assert names(tmp_path) == []
    await wall.clock.advance(4)
    assert names(tmp_path) == ["29-1200"]
    assert wall.clock.timers == []
    await writer.write(["b"])
    await wall.clock.advance(3600)
    assert names(tmp_path) == ["29-1200", "29-1300"]
    await writer.close()


async def test_the_wait_notices_that_the_clock_on_the_wall_was_set(tmp_path: Path, wall: Wall) -> None:
    writer = sink(tmp_path, wall)
    await writer.open()
    await writer.write(["a"])
    await wall.clock.advance(0)
    wall.ahead = timedelta(hours=2)
    await wall.clock.advance(LOOK_SECONDS)
    assert names(tmp_path) == ["29-1200"]
    await writer.close()


async def test_a_sink_that_comes_back_waits_for_the_file_it_has_found(tmp_path: Path, wall: Wall) -> None:
    for keep in ("keep", "complete"):
        writer = sink(tmp_path, wall, cron="0 * * * *", on_close=keep)
        await writer.open()
        if keep == "keep":
            await writer.write(["a"])
            await writer.close()
    await wall.clock.advance(3600)
    assert names(tmp_path) == ["29-1200"]
    await writer.close()


async def test_a_completion_that_failed_is_said_and_tried_again(
    tmp_path: Path, wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    writer = sink(tmp_path, wall)
    await writer.open()
    await writer.write(["a"])
    aside = tmp_path.with_name("aside")
    tmp_path.rename(aside)
    with caplog.at_level(logging.WARNING):
        await wall.clock.advance(3600)
    assert "A file whose time is over is not complete yet" in caplog.text
    aside.rename(tmp_path)
    await wall.clock.advance(LOOK_SECONDS)
    assert names(tmp_path) == ["29-1200"]
    await writer.close()


async def test_closing_ends_the_wait(tmp_path: Path, wall: Wall) -> None:
    writer = sink(tmp_path, wall)
    await writer.open()
    await writer.write(["a"])
    before = asyncio.all_tasks()
    assert len(before) == 2
    await writer.close()
    await writer.close()
    assert len(asyncio.all_tasks()) == 1
    assert names(tmp_path) == ["29-1200"]
    assert writer.statistics()["files"] == 1


async def test_a_cancelled_write_goes_on_and_whatever_comes_next_waits_for_it(tmp_path: Path, wall: Wall) -> None:
    go_on = threading.Event()

    async def slowly(call: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(lambda: (go_on.wait(10), call())[1])

    writer = sink(tmp_path, wall, slowly, records=10)
    go_on.set()
    await writer.open()
    go_on.clear()
    writing = asyncio.create_task(writer.write(["a"]))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    assert not closing.done()
    go_on.set()
    await closing
    assert [path.read_text() for path in finals(tmp_path)] == ["a\n"]


async def test_an_open_that_was_cancelled_may_be_called_again(tmp_path: Path, wall: Wall) -> None:
    writer = sink(tmp_path, wall, asyncio.to_thread)
    opening = asyncio.create_task(writer.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await writer.open()
    await writer.write(["a"])
    assert unfinished(tmp_path) == b"a\n"
    await writer.close()


async def test_marks(tmp_path: Path, wall: Wall) -> None:
    writer = sink(tmp_path, wall)
    assert isinstance(writer, Marking)
    await writer.open()
    assert await writer.marked("k") is None
    await writer.write_marked(["a"], Mark("k", "{}", None, 1))
    assert await writer.marked("k") == "{}"
    await writer.close()


async def test_errors_come_out(tmp_path: Path, wall: Wall) -> None:
    writer = sink(tmp_path / "missing", wall)
    with pytest.raises(ConnectorError, match="No such file"):
        await writer.open()
    await writer.close()
