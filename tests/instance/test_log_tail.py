"""The log that is kept in memory: the newest lines, for whoever asks or follows; harmless to whoever logs."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.instance.log_tail import SHOWN, LogKeeper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from teleporter_lab.instance.instance import Instance
    from tests.instance.conftest import Desk

log = logging.getLogger("tests.log_tail")


@pytest.fixture
def keeper() -> Iterator[LogKeeper]:
    found = LogKeeper(5)
    log.addHandler(found)
    log.setLevel(logging.INFO)
    log.propagate = False
    yield found
    log.removeHandler(found)
    log.propagate = True


def test_it_keeps_the_newest_lines(keeper: LogKeeper) -> None:
    for number in range(8):
        log.info("line %d", number)
    assert keeper.tail(2) == ["line 6", "line 7"]
    assert keeper.tail(100) == [f"line {n}" for n in range(3, 8)]
    assert keeper.tail(0) == keeper.tail(-3) == []


def test_new_lines_go_to_the_follower_of_now(keeper: LogKeeper) -> None:
    first: list[list[str]] = []
    second: list[list[str]] = []
    keeper.follow(first.append)
    log.info("a")
    keeper.follow(second.append)
    log.info("b")
    keeper.follow(None)
    log.info("c")
    assert (first, second) == ([["a"]], [["b"]])
    assert keeper.tail(3) == ["a", "b", "c"]


def test_what_the_follower_logs_is_kept_and_not_told_again(keeper: LogKeeper) -> None:
    told: list[str] = []

    def follower(lines: list[str]) -> None:
        told.extend(lines)
        log.info("told")

    keeper.follow(follower)
    log.info("a")
    log.info("b")
    assert told == ["a", "b"]
    assert keeper.tail(4) == ["a", "told", "b", "told"]


def test_who_logs_what_cannot_be_formatted_is_not_harmed(keeper: LogKeeper, capsys: pytest.CaptureFixture[str]) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    for message, argument in (("%d", "x"), ("%s", Mute()), ("%s", "after")):
        keeper.handle(logging.makeLogRecord({"msg": message, "args": (argument,)}))
    assert keeper.tail(9) == ["after"]
    assert "no words" in capsys.readouterr().err


def test_a_follower_that_fails_harms_nobody(keeper: LogKeeper, capsys: pytest.CaptureFixture[str]) -> None:
    def follower(_: list[str]) -> None:
        raise RuntimeError("the loop is closed")

    keeper.follow(follower)
    log.info("a")
    log.info("b")
    assert keeper.tail(9) == ["a", "b"]
    assert "the loop is closed" in capsys.readouterr().err


def test_a_line_is_fit_to_be_sent(keeper: LogKeeper) -> None:
    log.info("x" * 1_000_000)
    log.info("broken: \udc80")
    long, broken = keeper.tail(2)
    assert len(long) == SHOWN + 1
    assert broken == "broken: \\udc80"


async def test_lines_of_other_threads_come_through_the_broker(desk: Desk, instance: Instance) -> None:
    """A driver logs in its thread; the connection belongs to the loop."""
    package = logging.getLogger("teleporter_lab.tests")
    seen: list[str] = []
    lines = desk.client.log(instance.key, 0)
    assert await anext(lines) == []
    threads = [threading.Thread(target=package.warning, args=("from thread %d", n)) for n in range(8)]
    for thread in threads:
        thread.start()
    async for more in lines:
        seen += [line for line in more if "from thread" in line]
        if len(seen) == len(threads):
            break
    assert sorted(seen) == [f"from thread {n}" for n in range(8)]
    await lines.aclose()
