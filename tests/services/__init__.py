"""Real servers for the tests, started in folders of their own.

Each module here owns one server: where it is found or how it is fetched, how it starts and ends. `python -m
tests.services` fetches all of them into `build/services`, so that the tests need no network afterwards.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = Path(__file__).parents[2] / "build" / "services"
"""Where fetched servers are kept; git ignores it."""


class Unavailable(Exception):
    """A server that cannot be had on this machine, with the reason."""


def give_up(why: Unavailable) -> NoReturn:
    """Skips the test, or fails it where the environment says that every server must be there."""
    if os.environ.get("TELEPORTER_REQUIRE_SERVICES"):
        pytest.fail(str(why))
    pytest.skip(str(why))
