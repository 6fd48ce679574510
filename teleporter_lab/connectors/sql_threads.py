"""The threads in which asynchronous readers call a blocking database.

Owns that they are none of the loop's: a database that hangs would keep those from all else in the process.
"""

from __future__ import annotations

from typing import Final

from teleporter_lab.engine.blocking import DriverThreads

READER_THREADS: Final = DriverThreads()
"""Shared by the readers of a process; none is started before a reader asks."""
