from __future__ import annotations

import asyncio

from teleporter_lab.rpc.terms import Terms


def test_the_defaults_are_those_of_the_protocol() -> None:
    terms = Terms()
    assert (terms.heartbeat, terms.idle, terms.max_frame) == (30.0, 120.0, 10 * 1024 * 1024)


async def test_the_running_loop_is_the_clock() -> None:
    assert Terms().clock() is asyncio.get_running_loop()
