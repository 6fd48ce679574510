"""Methods are awaited or run in a thread, whichever they need."""

from __future__ import annotations

import threading

import pytest

from teleporter_lab.testing.calls import as_committed, call


async def test_a_plain_function_runs_in_another_thread() -> None:
    assert await call(threading.get_ident) != threading.get_ident()


async def test_a_coroutine_function_runs_here() -> None:
    async def here(argument: int) -> tuple[int, int]:
        return argument, threading.get_ident()

    assert await call(here, 5) == (5, threading.get_ident())


def test_a_position_must_survive_the_store() -> None:
    assert as_committed({"offset": 5, "list": [None, "x"]}) == {"offset": 5, "list": [None, "x"]}
    with pytest.raises(AssertionError):
        as_committed({1: "a key that becomes text"})
