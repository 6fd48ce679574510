"""What a connector is, and how it is found.

Owns the declaration (`Connector`, `Spec`), the options every sink shares, the registry over built-in and third-party
connectors, and the one way to import a driver. Refuses to know any technology and to open anything.

A third-party connector is one class and one entry point:

    [project.entry-points."teleporter_lab.connectors"]
    redis = "my_package.redis:RedisConnector"
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from teleporter_lab.config.duration import Duration
from teleporter_lab.engine.endpoints import BlockingReader, BlockingWriter, Reader, Writer
from teleporter_lab.errors import ConnectorError, MissingDriver, UnknownConnector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

BUILTIN: tuple[str, ...] = (
    "teleporter_lab.connectors.csv:CsvConnector",
    "teleporter_lab.connectors.file:FileConnector",
    "teleporter_lab.connectors.generator:GeneratorConnector",
    "teleporter_lab.connectors.kafka:KafkaConnector",
    "teleporter_lab.connectors.memory:MemoryConnector",
    "teleporter_lab.connectors.parquet:ParquetConnector",
    "teleporter_lab.connectors.sql:SqlConnector",
)
"""`module:Class`; the module is named after the category, so that one category costs one import."""

ENTRY_POINTS = "teleporter_lab.connectors"

COLUMNS = 16_384
"""Rows of a batch of columns, unless the config says otherwise: small ones cost more than their rows."""

Made_co = TypeVar("Made_co", covariant=True)
A = TypeVar("A")

AnyReader = Reader[Any] | BlockingReader[Any]
AnyWriter = Writer[Any] | BlockingWriter[Any]


@runtime_checkable
class Address(Protocol):
    """A client of one system, shared by the sources and sinks of an instance."""

    async def check(self) -> None:
        """Returns when the system answers. Raises AddressUnreachable or another ConnectorError."""
        ...

    def close(self) -> Awaitable[None] | None:
        """Lets go of every connection; a second call does nothing."""
        ...


class Options(BaseModel):
    """A `client` block: camelCase in JSON, snake_case in Python, unknown fields are mistakes, values stay hidden."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )


class NoRoller(Options):
    """The `roller` block of a connector that has no roller: it must be empty."""


class BatchOptions(Options):
    """What every sink's `client` block has: a batch is written when it is full or old enough."""

    batch_size: int = Field(
        default=2000,
        ge=1,
        le=1_000_000,
        description="Records written at a time, at most; 16,384 if empty in a stream of columns.",
    )
    batch_time: Duration = Field(
        default=0.1, description="How long a record waits for its batch to fill, e.g. `100.millis`."
    )

    def batch_of(self, columnar: bool) -> int:
        """Records written at a time, in a stream that has asked for columns or not."""
        usual = "batch_size" not in self.model_fields_set
        return max(self.batch_size, COLUMNS) if columnar and usual else self.batch_size


@dataclass(frozen=True)
class Spec(Generic[Made_co]):
    """One thing a connector makes: the form it is configured by, and the function that makes it.

    `make` gets the validated `client` model and the shared address object (None where none is configured).
    """

    model: type[BaseModel]
    make: Callable[[Any, Any], Made_co]
    guarantee: str = ""
    """One sentence: what holds when a stream is stopped, killed or started again."""
    blocking: bool = False
    """The object made blocks: its methods are called in a driver thread."""
    columnar: Callable[[Any, Any], Any] | None = None
    """What makes the object that carries columns, from what `make` gets: a reader that gives pyarrow RecordBatches, a
    writer that takes them beside lists (often `make` itself). Both have an attribute `columnar` that is true. None
    where there is no such form."""
    roller: type[BaseModel] | None = None
    """The form of the `roller` block; None where there is no roller."""
    rolled: Callable[[Any, Any, Any], Any] | None = None
    """Like `make`, with the validated roller as a third argument; asked instead of `make` where one is configured."""
    exactly_once: str | None = None
    """Of a sink: whether it can keep the position of a source with the records: `any` source, or one of that category.
    Its `client` model then has a field `exactly_once`."""
    noted: Callable[[Any, Any], Awaitable[Iterable[str]]] | None = None
    """Of a source whose system keeps positions: the notes that it keeps with them, of whomever. It gets what `make`
    gets, before a reader is made. Raises a ConnectorError."""
    distance: Callable[[Any, Any], int | None] | None = None
    """Of a source: how many records lie from one position to another, where that can be told from them alone; below 0
    the other way round. Raises a ConnectorError for what is no position of it, so that nobody sets one."""

    def made(self, client: Any, address: Any, roller: Any = None) -> Made_co:
        """What `make` or, with a roller, `rolled` makes."""
        return (
            self.make(client, address)
            if roller is None or self.rolled is None
            else self.rolled(client, address, roller)
        )


class Connector:
    """One technology, declared in class attributes; never instantiated."""

    category: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    description: ClassVar[str] = ""
    extra: ClassVar[str | None] = None
    """The extra of this package that installs the driver; None where none is needed."""
    address: ClassVar[Spec[Address] | None] = None
    source: ClassVar[Spec[AnyReader] | None] = None
    sink: ClassVar[Spec[AnyWriter] | None] = None
    needs_address: ClassVar[bool] = False

    @classmethod
    def spec(cls, table: str) -> Spec[Any]:
        """The spec for `source`, `sink` or `address`. Raises UnknownConnector when there is none."""
        specs = cls.specs()
        found = specs.get(table)
        if found is None:
            able = " and ".join(specs) or "nothing"
            raise UnknownConnector(f"The connector {cls.category} has no {table}; it has {able}.")
        return found

    @classmethod
    def specs(cls) -> dict[str, Spec[Any]]:
        """What this connector can be, by table."""
        every = {"address": cls.address, "source": cls.source, "sink": cls.sink}
        return {table: spec for table, spec in every.items() if spec is not None}

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """One row of a listing, plain JSON."""
        return {
            "category": cls.category,
            "aliases": list(cls.aliases),
            "description": cls.description,
            "extra": cls.extra,
            "address": cls.address is not None,
            "source": cls.source is not None,
            "sink": cls.sink is not None,
            "needsAddress": cls.needs_address,
            "columnar": [table for table, spec in cls.specs().items() if spec.columnar is not None],
            "guarantees": {table: spec.guarantee for table, spec in cls.specs().items() if spec.guarantee},
        }


@dataclass(frozen=True)
class Place:
    """Where a connector can be loaded from: the name it is likely to have, and who offers it."""

    name: str
    origin: str
    load: Callable[[], object]


class Registry:
    """Connectors by category and alias, each imported when it is first needed.

    A connector that cannot be loaded harms no other one: `problems` says what is wrong with it.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self._waiting = list(places)
        self._known: dict[str, type[Connector]] = {}
        self.problems: dict[str, str] = {}
        """A sentence for each offer that could not be used, by the place it is offered at."""

    @classmethod
    def load(cls) -> Registry:
        """The built-in connectors and those that installed packages offer as entry points."""
        places = [_builtin(place) for place in BUILTIN]
        places += [Place(e.name, f"entry point {e.value}", e.load) for e in entry_points(group=ENTRY_POINTS)]
        return cls(places)

    def get(self, category: str) -> type[Connector]:
        """The connector of that category or alias. Raises UnknownConnector, which lists the known ones."""
        if category not in self._known:
            self._import([place for place in self._waiting if place.name == category])
        if category not in self._known:
            self._import(list(self._waiting))
        if category not in self._known:
            known = ", ".join(sorted(self._known))
            broken = "".join(f" {problem}" for problem in self.problems.values())
            raise UnknownConnector(f"There is no connector {category!r}; the known ones are {known}.{broken}")
        return self._known[category]

    def columnar_source(self, category: str) -> Callable[[Any, Any], Any]:
        """What makes a reader of columns. Raises ConnectorError, which names the connectors that have one."""
        make = self.get(category).spec("source").columnar
        if make is None:
            able = [each.category for each in self.all() if each.source is not None and each.source.columnar]
            raise ConnectorError(
                f"A source of category {category} gives no columns: leave out columnar=True, or read from one of "
                f"{', '.join(able)}."
            )
        return make

    def all(self) -> list[type[Connector]]:
        """Every connector, sorted by category."""
        self._import(list(self._waiting))
        return sorted(set(self._known.values()), key=lambda connector: connector.category)

    def describe(self) -> list[dict[str, Any]]:
        """Every connector as plain JSON, sorted by category."""
        return [connector.describe() for connector in self.all()]

    def block_models(self, table: str, category: str) -> Mapping[str, type[BaseModel]] | None:
        """The models of the blocks that depend on the category. Raises UnknownConnector, which says what there is."""
        if table not in {"address", "source", "sink"}:
            return {}
        spec = self.get(category).spec(table)
        return {"client": spec.model} | ({} if table == "address" else {"roller": spec.roller or NoRoller})

    def distance(self, category: str, start: Any, end: Any) -> int | None:
        """How many records of a source lie between two positions; None where they do not tell.

        Raises UnknownConnector, and ConnectorError for what is no position of it.
        """
        distance = self.get(category).spec("source").distance
        return None if distance is None else distance(start, end)

    def _import(self, places: list[Place]) -> None:
        for place in places:
            self._waiting.remove(place)
            try:
                self._add(place.load(), place.origin)
            except (ImportError, AttributeError, SyntaxError) as error:
                self.problems[place.origin] = f"The connector at {place.origin} cannot be loaded: {error}."

    def _add(self, found: object, origin: str) -> None:
        if not (isinstance(found, type) and issubclass(found, Connector) and hasattr(found, "category")):
            self.problems[origin] = f"What stands at {origin} is no subclass of Connector with a category."
            return
        for name in (found.category, *found.aliases):
            if self._known.setdefault(name, found) is not found:
                taken = self._known[name].__module__
                self.problems[origin] = f"The connector at {origin} is called {name}, which {taken} is called already."


def _builtin(place: str) -> Place:
    module, name = place.split(":")
    return Place(module.rpartition(".")[2], place, partial(_load, module, name))


def _load(module: str, name: str) -> object:
    return getattr(import_module(module), name)


def require(module: str, extra: str) -> Any:
    """Imports the driver `module`. Raises MissingDriver, which says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise missing_driver(module, extra) from error


def missing_driver(module: str, extra: str) -> MissingDriver:
    """The error for a driver that is not there."""
    return MissingDriver(f"The driver {module} is not installed; pip install 'teleporter-lab[{extra}]' installs it.")


def address_of(kind: type[A], address: object, category: str) -> A:
    """`address` as a `kind`. Raises ConnectorError when it is missing or of another technology."""
    if isinstance(address, kind):
        return address
    got = "none is configured" if address is None else f"the one configured is a {type(address).__name__}"
    raise ConnectorError(f"The connector {category} needs an address of category {category}; {got}.")


def position_field(position: Any, name: str, kind: type[A], what: str, default: A | None = None) -> A:
    """The field `name` of a committed position. Raises ConnectorError when it is not what a reader of `what` left."""
    value = cast("dict[str, Any]", position).get(name, default) if isinstance(position, dict) else None
    if isinstance(value, kind) and not (isinstance(value, int) and value < 0):
        return value
    raise ConnectorError(f"{position!r} is no position of {what}: {name} is missing or no {_kind_name(kind)}.")


def _kind_name(kind: type[Any]) -> str:
    return {int: "whole number from 0 on", str: "text"}.get(kind, kind.__name__)
