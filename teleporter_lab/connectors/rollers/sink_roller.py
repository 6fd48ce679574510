"""The `roller` block of a sink that writes files.

Owns the form. Refuses to roll anything.
"""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from teleporter_lab.config.size import Size
from teleporter_lab.connectors.base import Options
from teleporter_lab.connectors.rollers.schedule import Cron, Schedule


class SinkRoller(Options):
    """When a file is complete and the next one begun. The sink's `path` says what they are called."""

    cron: str | None = Field(
        default=None,
        description="Moments at which a file is complete: minute, hour, day, month and weekday, such as `0 * * * *`.",
    )
    time_zone: str = Field(default="UTC", description="Time zone of `cron` and of moments in names: `Europe/Berlin`.")
    size: Size | None = Field(
        default=None,
        description="Bytes of a file at most, such as `100.mb`, unless one batch alone has more.",
    )
    records: int | None = Field(
        default=None, ge=1, description="Records of a file at most, unless one batch alone has more."
    )
    on_close: Literal["complete", "keep"] = Field(
        default="complete",
        description="What becomes of the unfinished file when the stream ends or is stopped: it is complete, or kept "
        "hidden for the next run to go on with.",
    )

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{name[:100]} is no time zone; UTC and Europe/Berlin are some") from error
        return name

    @model_validator(mode="after")
    def _ending(self) -> SinkRoller:
        self.schedule()
        if self.on_close == "keep" and not (self.cron or self.size or self.records):
            raise ValueError("with onClose keep a file is never complete: give cron, size or records as well")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """Where its clocks are."""
        return ZoneInfo(self.time_zone)

    def schedule(self) -> Schedule:
        """What ends a file. Raises ValueError for a `cron` that is none."""
        return Schedule(Cron(self.cron, self.zone) if self.cron else None, self.size, self.records)
