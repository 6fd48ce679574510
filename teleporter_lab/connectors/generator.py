"""Records out of nothing: for demonstrations, tests of rates, and benchmarks.

Owns the sequence and its pace. Refuses randomness: record n is always the same, so a stream that resumes repeats it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from teleporter_lab.connectors.base import Connector, Options, Spec, position_field
from teleporter_lab.engine.clock import LoopClock

if TYPE_CHECKING:
    from teleporter_lab.engine.clock import Clock

CHUNK = 8192
"""Records made at a time at most, whatever is asked for, so that memory is bounded."""
BURST = 1.0
"""Seconds of records that may be made up for at once after a pause."""
NAP = 0.005
"""Seconds slept at least while waiting for the next record, so that a high rate costs few wake-ups."""


class GeneratorOptions(Options):
    """The `client` block of a generator source."""

    count: int | None = Field(default=None, ge=0, description="Records to make, then the source ends; empty: no end.")
    rate: float = Field(default=0, ge=0, description="Records per second; 0 is as fast as they are taken.")
    start: int = Field(default=0, ge=0, description="`id` of the first record.")
    payload_size: int = Field(
        default=0, ge=0, le=1 << 20, description="Characters of a `payload` field; 0 leaves it out."
    )
    fields: dict[str, Any] = Field(default_factory=dict[str, Any], description="Constant fields added to each record.")


class GeneratorSource:
    """Gives `{"id": n, "value": n % 1000, …}` for n = start, start + 1, …

    Position: `{"next": n}`, the `id` of the next record; exact. Memory: one chunk.
    """

    def __init__(self, options: GeneratorOptions, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or LoopClock()
        self._next = options.start
        self._end = None if options.count is None else options.start + options.count
        self._extra: dict[str, Any] = dict(options.fields)
        if options.payload_size:
            self._extra["payload"] = "x" * options.payload_size
        self._tokens = 1.0
        self._filled = 0.0

    async def open(self, position: Any) -> None:
        if position is not None:
            self._next = _next(position)
        self._tokens = 1.0
        self._filled = self._clock.now()

    async def read(self, n: int) -> list[dict[str, Any]] | None:
        n = min(n, CHUNK)
        if self._end is not None:
            n = min(n, self._end - self._next)
            if n <= 0:
                return None
        if self._options.rate:
            n = min(n, await self._due())
            self._tokens -= n
        first = self._next
        self._next += n
        extra = self._extra
        return [{"id": i, "value": i % 1000, **extra} for i in range(first, first + n)]

    async def _due(self) -> int:
        """Waits until a record is due; how many are. Takes none itself, so that cancelling loses nothing."""
        rate = self._options.rate
        while True:
            now = self._clock.now()
            self._tokens = min(self._tokens + (now - self._filled) * rate, max(1.0, rate * BURST))
            self._filled = now
            if self._tokens >= 1:
                return int(self._tokens)
            await self._clock.sleep(max(NAP, (1 - self._tokens) / rate))

    @property
    def position(self) -> dict[str, int]:
        return {"next": self._next}

    async def close(self) -> None:
        """Nothing to let go of."""

    def statistics(self) -> dict[str, int]:
        """The `id` of the next record."""
        return {"next": self._next}


def _next(position: Any) -> int:
    return position_field(position, "next", int, "a generator")


def _distance(start: Any, end: Any) -> int:
    return _next(end) - _next(start)


def _source(options: GeneratorOptions, _: object) -> GeneratorSource:
    return GeneratorSource(options)


class GeneratorConnector(Connector):
    """Made-up records."""

    category = "generator"
    description = "Made-up records at a given rate, for demonstrations and benchmarks."
    source = Spec(
        GeneratorOptions,
        _source,
        guarantee="Resumes exactly after any record; record n is the same in every run.",
        distance=_distance,
    )
