"""One row of the law suite: an operator below a source of 0..9, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow

INPUT = list(range(10))


@dataclass(frozen=True)
class Case:
    """An operator below a source of 0..9, and what comes out."""

    name: str
    flow: Callable[[Flow[Any, Any]], Flow[Any, Any]]
    out: list[Any]
    ordered: bool = True
    """Whether what comes out has one order."""
    counts: bool = True
    """Whether every record that was read is settled at the end of the stream."""

    @property
    def operator(self) -> str:
        return self.name.partition(",")[0]

    side: bool = False
    """It has sinks of its own, which go on when the flow below is closed, as long as there is input."""
    own: tuple[Any, ...] = ()
    """Elements it adds by itself or from a source of its own, to whatever comes from above."""
    early: bool = False
    """It may end before its input does, so that an error that comes late is never seen."""
    recovers: tuple[Any, ...] | None = None
    """What it gives in the place of an error from above; None: the error goes on down."""
    reads_exactly: bool = True
    """Whether `take(3)` below it reads exactly three elements, when it gives one for each."""
    unsettled: bool = False
    """What it reads may be settled before anything below it was written."""
    late: bool = False
    """It gives nothing before its input has ended."""
