"""Which promises of a contract a case does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


async def broken(contract: type, make: Callable[[], Any]) -> set[str]:
    """The promises of a contract that a case does not keep, each looked at with a case of its own."""
    found: set[str] = set()
    for name in dir(contract):
        if not name.startswith("test_"):
            continue
        test = getattr(contract(), name)
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        for arguments in marks[0].args[1] if marks else [None]:
            try:
                await (test(make()) if arguments is None else test(make(), arguments))
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - as a runner of tests does
                found.add(name)
    return found
