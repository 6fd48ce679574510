"""Code that holds the loop is told of in the log, once for each place."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from teleporter_lab.engine.watchdog import Blocked
from teleporter_lab.instance.holdups import HoldUps

if TYPE_CHECKING:
    import pytest

HELD = Blocked("/stream/orders/copy", "<template>", 7, "to_event", "time.sleep(1)", 0.11, over=False)


def test_a_place_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "teleporter_lab.instance.holdups")
    tell = HoldUps()
    for _ in range(2):
        tell(HELD)
        tell(replace(HELD, seconds=1.02, over=True))
    tell(replace(HELD, line=9))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "DEBUG", "DEBUG", "WARNING"]
    assert caplog.messages[0] == (
        "/stream/orders/copy has held the loop for 0.11 s in to_event, <template>:7 `time.sleep(1)`: "
        "give the operator blocking=True, or use an asynchronous driver."
    )
    assert caplog.messages[1].startswith("/stream/orders/copy held the loop for 1.02 s in to_event")
