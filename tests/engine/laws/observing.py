"""Rows of the law suite: observing."""

from __future__ import annotations

import logging

from tests.engine.laws.case import INPUT, Case


def quiet(name: str) -> logging.Logger:
    """A logger that takes all levels and writes nowhere."""
    logger = logging.Logger(name, logging.DEBUG)
    logger.addHandler(logging.NullHandler())
    return logger


CASES = [
    Case("log", lambda f: f.log("laws", logger=quiet("laws")), INPUT),
    Case("log, below the level", lambda f: f.log("laws", logger=logging.Logger("laws", logging.ERROR)), INPUT),
    Case("tap", lambda f: f.tap(lambda _: None), INPUT),
    Case("do_on_first", lambda f: f.do_on_first(lambda _: None), INPUT),
    Case("do_on_cancel", lambda f: f.do_on_cancel(lambda: None), INPUT),
]
