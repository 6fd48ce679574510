"""Parquet files: the forms and the declaration.

Owns the options. Refuses to import pyarrow, so that a form costs nothing; `parquet_source` and `parquet_sink` are
imported when something is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from teleporter_lab.config.duration import Duration
from teleporter_lab.connectors.base import BatchOptions, Connector, Options, Spec, position_field
from teleporter_lab.connectors.csv_values import TypeName
from teleporter_lab.connectors.parquet_format import ParquetFormat
from teleporter_lab.connectors.rollers.rolled_files import RolledFiles, refuse_exactly_once, rolled
from teleporter_lab.connectors.rollers.sink_roller import SinkRoller
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from teleporter_lab.connectors.parquet_sink import ParquetSink
    from teleporter_lab.connectors.parquet_source import ParquetColumns, ParquetRows

Operation = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
Compression = Literal["zstd", "snappy", "gzip", "lz4", "none"]


class Condition(Options):
    """One thing that must hold for a row."""

    column: str = Field(min_length=1, description="Column that is looked at; a null there holds no condition.")
    is_: Operation = Field(alias="is", description="How its value compares; `in` takes a list.")
    value: Any = Field(description="What it is compared with; dates and times as ISO text.")

    @model_validator(mode="after")
    def _listed(self) -> Condition:
        listed: object = self.value
        if (self.is_ in ("in", "not in")) != isinstance(listed, list):
            raise ValueError("in and not in take a list as value, the others a single value")
        return self


class ParquetSourceOptions(Options):
    """The `client` block of a parquet source."""

    path: str = Field(
        min_length=1, description="File, or pattern such as `/data/*.parquet`; files are read in sorted order."
    )
    columns: list[str] | None = Field(
        default=None, min_length=1, description="Columns to read, in this order; empty: all of them."
    )
    filter: list[Condition] = Field(
        default_factory=list[Condition],
        description="Conditions that all must hold; row groups whose statistics exclude them are not read.",
    )


class ParquetSinkOptions(BatchOptions):
    """The `client` block of a parquet sink."""

    path: str = Field(
        min_length=1,
        description="Folder of the files; made when missing, the one above it is not. With a roller: what the files "
        "are called, such as `/data/{date:%Y-%m-%d}-{index}.parquet`.",
    )
    prefix: str = Field(
        default="part", pattern=r"^[A-Za-z0-9_-]{1,100}$", description="What the names of the files begin with."
    )
    columns: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Fields to write, in this order; empty: those of the files there, else the first record.",
    )
    types: dict[str, TypeName] = Field(
        default_factory=dict[str, TypeName],
        description="Types of columns; the others have those of the files there, else of the first batch.",
    )
    compression: Compression = Field(default="zstd", description="How the columns are compressed.")
    rows_per_file: int = Field(
        default=1_000_000, ge=1, description="Rows of a file at most; a larger batch becomes several files."
    )
    batch_size: int = Field(
        default=32_768, ge=1, le=1_000_000, description="Records written at a time, at most; each time makes a file."
    )
    exactly_once: bool = Field(
        default=False,
        description="With a roller: keep the position of the source with the records, so that each is there once.",
    )
    batch_time: Duration = Field(
        default=5.0, description="How long a record waits for its file to fill, e.g. `1.minutes`."
    )


def _rows(options: ParquetSourceOptions, _: object) -> ParquetRows:
    from teleporter_lab.connectors.parquet_source import ParquetRows

    return ParquetRows(options)


def _columns(options: ParquetSourceOptions, _: object) -> ParquetColumns:
    from teleporter_lab.connectors.parquet_source import ParquetColumns

    return ParquetColumns(options)


def _sink(options: ParquetSinkOptions, _: object) -> ParquetSink:
    from teleporter_lab.connectors.parquet_sink import ParquetSink

    refuse_exactly_once(options.exactly_once)
    return ParquetSink(options)


def _rolled(options: ParquetSinkOptions, _: object, roller: SinkRoller) -> RolledFiles | ParquetSink:
    if not roller.model_fields_set:
        return _sink(options, None)
    if {"prefix", "rows_per_file"} & options.model_fields_set:
        raise ConnectorError(
            "prefix and rowsPerFile are for a parquet sink without a roller: with one, path says what the files are "
            "called, and roller.records how many rows they have."
        )
    return rolled(options, roller, ParquetFormat(options))


def _distance(*positions: Any) -> None:
    """A filter hides how many records there are. Raises ConnectorError for what is no position in Parquet files."""
    for position in positions:
        for name in ("rowGroup", "row"):
            position_field(position, name, int, "a Parquet file")
        position_field(position, "file", str, "a Parquet file", default="")


class ParquetConnector(Connector):
    """Parquet files on this machine."""

    category = "parquet"
    description = "Parquet files on the machine of the instance, read by row groups and written as complete files."
    extra = "arrow"
    source = Spec(
        ParquetSourceOptions,
        _rows,
        guarantee="Resumes at the exact row of a row group, as long as the files stay what they are.",
        blocking=True,
        columnar=_columns,
        distance=_distance,
    )
    sink = Spec(
        ParquetSinkOptions,
        _sink,
        guarantee=(
            "A batch is in complete, synced files before it counts as written, or in none; a batch written again is "
            "there twice. With a roller a batch is kept in a hidden file until the file it belongs to is complete, and "
            "with `exactlyOnce` each record is there once."
        ),
        blocking=True,
        columnar=_sink,
        roller=SinkRoller,
        rolled=_rolled,
        exactly_once="any",
    )
