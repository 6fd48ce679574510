from __future__ import annotations

import asyncio
import sys

import pytest

from teleporter_lab.daemon import loop


async def kind() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_the_fastest_loop_there_is_runs_the_daemon() -> None:
    pytest.importorskip("uvloop")
    assert loop.run(kind()) == "uvloop"


def test_without_uvloop_it_is_that_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(kind()) == "asyncio"
