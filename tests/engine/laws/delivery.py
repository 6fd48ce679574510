"""Rows of the law suite: delivery."""

from __future__ import annotations

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.stages.sinks import ignore
from tests.engine.laws.case import INPUT, Case

CASES = [
    Case("source_ack", lambda f: f.source_ack(AckWindow(7)), INPUT, unsettled=True),
    Case("confirm", lambda f: f.confirm(), INPUT, unsettled=True),
    Case("switch_channel", lambda f: f.switch_channel(0), INPUT),
    Case("dead_letter", lambda f: f.map(lambda x: x + 1).dead_letter(ignore()), list(range(1, 11))),
    Case("dedupe_window", lambda f: f.map(lambda x: x // 2).dedupe_window(3), [0, 1, 2, 3, 4]),
    Case("dedupe_window, by key", lambda f: f.dedupe_window(100, key=lambda x: x % 4), [0, 1, 2, 3]),
]
