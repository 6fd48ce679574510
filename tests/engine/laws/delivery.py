"""Rows of the law suite: delivery."""

from __future__ import annotations

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.kill_switch import KillSwitch
from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("kill_switch", lambda f: f.kill_switch(KillSwitch()), INPUT),
    Case("watch_termination", lambda f: f.watch_termination(lambda _: None), INPUT),
    Case("source_ack", lambda f: f.source_ack(AckWindow(7)), INPUT, unsettled=True),
]
