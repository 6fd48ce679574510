"""Which daemon answers. Owns the values of a health answer that prove it is the one of a connection file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """`id` is new for every process."""

    id: str
    name: str
    version: str
    pid: int
