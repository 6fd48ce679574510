"""Every operator there is, read from the code: what its page says comes from its docstring and nothing else.

Owns what an operator is (a public method of a family of `Flow`, a public function of `stages` that gives a source, a
flow or a sink), the clauses a docstring may have, and what stands for a clause it leaves out. Refuses to write files.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Literal

from teleporter_lab.engine import stages
from teleporter_lab.engine.graph import Flow
from teleporter_lab.engine.operators import Operators

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["source", "operator", "sink"]

CLAUSES: dict[Kind, dict[str, str | None]] = {
    "source": {
        "Emits when": None,
        "Waits when": "nothing below asks.",
        "Completes when": None,
        "Cancels when": "what is below does.",
        "Tokens": "none; `source_ack` below it makes them.",
        "Supervised": "it calls no function of yours.",
    },
    "operator": {
        "Emits when": None,
        "Waits when": "nothing below asks.",
        "Completes when": "its input does.",
        "Cancels when": "what is below does.",
        "Tokens": "pass unchanged.",
        "Supervised": "it calls no function of yours.",
    },
    "sink": {
        "Takes when": None,
        "Completes when": "its input does.",
        "Cancels when": "its input fails, or the run is cancelled.",
        "Tokens": "confirmed when the element was taken.",
        "Supervised": "it calls no function of yours.",
    },
}
"""The clauses of each kind, in the order of a page, with what holds where a docstring says nothing; None: it must."""

LIKE = "Like"
"""The name in Pekko Streams, where it is another one."""

_LABELS = sorted({label for clauses in CLAUSES.values() for label in clauses} | {LIKE})
_CLAUSE = re.compile(rf"^({'|'.join(_LABELS)}): ?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Operator:
    """What a page shows."""

    name: str
    kind: Kind
    family: str
    """The module it lives in."""
    signature: str
    summary: str
    text: str
    """What the docstring says beside its first line and its clauses."""
    clauses: dict[str, str]
    said: frozenset[str]
    """The clauses its docstring has itself."""
    like: str

    @property
    def missing(self) -> list[str]:
        """Clauses it has to have and has not."""
        return [label for label, default in CLAUSES[self.kind].items() if default is None and label not in self.said]


def catalog() -> list[Operator]:
    """All operators, by kind and family."""
    order: dict[Kind, int] = {kind: i for i, kind in enumerate(CLAUSES)}
    found = [*_functions(), *_methods()]
    return sorted(found, key=lambda operator: (order[operator.kind], operator.family, operator.name))


def _methods() -> Iterator[Operator]:
    for family in Flow.__mro__:
        if issubclass(family, Operators) and family not in (Flow, Operators):
            members: dict[str, Any] = dict(vars(family))  # pyright: ignore[reportUnknownArgumentType]
            for name, function in members.items():
                if not name.startswith("_") and inspect.isfunction(function):
                    yield _read(name, function, "operator")


def _functions() -> Iterator[Operator]:
    for module in iter_modules(stages.__path__):
        name = f"{stages.__name__}.{module.name}"
        for function in vars(import_module(name)).values():
            kind = _kind(function) if inspect.isfunction(function) and function.__module__ == name else None
            if kind is not None and not function.__name__.startswith("_"):
                yield _read(function.__name__, function, kind)


def _kind(function: Any) -> Kind | None:
    """What a function gives, by its annotation."""
    gives = str(function.__annotations__.get("return", "")).partition("[")[0]
    kinds: dict[str, Kind] = {"Source": "source", "Flow": "operator", "Sink": "sink"}
    return kinds.get(gives)


def _read(name: str, function: Any, kind: Kind) -> Operator:
    document = inspect.getdoc(function) or ""
    head, *rest = _CLAUSE.split(document)
    said = {label: " ".join(text.split()) for label, text in zip(rest[::2], rest[1::2], strict=True)}
    summary, _, text = head.partition("\n\n")
    clauses = {label: said.get(label, default or "") for label, default in CLAUSES[kind].items()}
    family = function.__module__.rpartition(".")[2]
    return Operator(
        name, kind, family, _signature(name, function), " ".join(summary.split()), text.rstrip().strip("\n"), clauses,
        frozenset(said), said.get(LIKE, ""),
    )  # fmt: skip


def _signature(name: str, function: Any) -> str:
    """As it is written, without `self`."""
    signature = inspect.signature(function)
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    return name + re.sub(r"'([^']*)'", r"\1", str(signature.replace(parameters=parameters)))
