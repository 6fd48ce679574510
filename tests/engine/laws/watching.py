"""Rows of the law suite: watching."""

from __future__ import annotations

from teleporter_lab.engine.kill_switch import KillSwitch
from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("kill_switch", lambda f: f.kill_switch(KillSwitch()), INPUT),
    Case("kill_switch, of the run", lambda f: f.kill_switch(), INPUT),
    Case("watch_termination", lambda f: f.watch_termination(lambda _: None), INPUT),
    Case("monitor", lambda f: f.monitor(), INPUT),
]
