"""What a stream logic is given: sources and sinks by the names they have in the config, arguments, variables.

Owns the calls a user writes (`s.source`, `s.sink`, `s.rules`). Refuses to open anything: it hands out blueprints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from teleporter_lab.config.rules import PART_ACTIONS, Rules
from teleporter_lab.errors import InvalidInput, LogicError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from teleporter_lab.config.key import Key
    from teleporter_lab.engine.graph import Sink, Source
    from teleporter_lab.engine.supervision import Supervisor

F = TypeVar("F")


class StreamContext:
    """The `s` of `def orders(s)`."""

    def __init__(
        self,
        key: Key,
        arguments: Mapping[str, Any],
        sources: Mapping[str, Callable[[bool], Source[Any]]],
        sinks: Mapping[str, Callable[[], Sink[Any, None]]],
        ruled: Callable[[Rules], Supervisor],
    ) -> None:
        self.key = key
        """The stream's key."""
        self.arguments = arguments
        """`arguments` of the task, overlaid by those of the stream; references resolved."""
        self._sources = sources
        self._sinks = sinks
        self._ruled = ruled
        self.used: list[str] = []
        """Names of the sources the logic asked for, in order."""

    def source(self, name: str, *, columnar: bool = False) -> Source[Any]:
        """What the config at `/source/<this stream>/<name>` describes, with acks and a kill switch built in.

        With `columnar` its records come as columns, in pyarrow RecordBatches. Raises LogicError for a name that is not
        there or that was asked for twice, ConnectorError where the connector has no columns.
        """
        make = self._named("source", name, self._sources)
        if name in self.used:
            raise LogicError(f"{self.key} uses the source {name!r} twice; use also_to or broadcast to split one.")
        made = make(columnar)
        self.used.append(name)
        return made

    def sink(self, name: str) -> Sink[Any, None]:
        """What the config at `/sink/<this stream>/<name>` describes. Raises LogicError for a name that is not there."""
        return self._named("sink", name, self._sinks)()

    def rules(self, *rules: str) -> Supervisor:
        """Error rules for one flow: `flow.with_attributes(supervisor=s.rules("KeyError => resume"))`.

        They may say reload, retry, resume, deadLetter and stop; what none of them matches goes to the rules of the
        stream. Raises LogicError for a rule that is wrong, with what was expected and where.
        """
        try:
            return self._ruled(Rules.parse(rules, PART_ACTIONS))
        except InvalidInput as error:
            raise LogicError(f"s.rules of {self.key}: {error.message}") from error

    def _named(self, kind: str, name: str, among: Mapping[str, F]) -> F:
        if name not in among:
            known = ", ".join(sorted(among)) or "none"
            raise LogicError(
                f"{self.key} has no {kind} {name!r}; save one under /{kind}{str(self.key)[len('/stream') :]}/{name} "
                f"(there are: {known})."
            )
        return among[name]

    def __repr__(self) -> str:
        return f"StreamContext({self.key}, sources={sorted(self._sources)}, sinks={sorted(self._sinks)})"
