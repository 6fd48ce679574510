"""Streams whose sink keeps the position of the source with the records (`exactlyOnce: true`).

Owns what must hold for it: one source, one sink, and a source whose position that sink can keep; and asks the sink what
it has kept. Refuses to say where the run begins (`beginning` does) and to write (the engine's `marking` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.endpoints import Committing, Mark
from teleporter_lab.engine.graph import Sink
from teleporter_lab.engine.marked_storing import Marks, kept_mark
from teleporter_lab.engine.stages.marking import write_exactly, write_exactly_blocking
from teleporter_lab.errors import LogicError
from teleporter_lab.instance.positions import position_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from teleporter_lab.config.key import Key
    from teleporter_lab.config.nodes import SourceNode
    from teleporter_lab.connectors.base import Spec
    from teleporter_lab.engine.ack import Progress
    from teleporter_lab.engine.blocking import DriverThreads
    from teleporter_lab.instance.committer import Committer


class ExactlyOnce:
    """The one sink of a run that keeps the position, and what it has kept."""

    def __init__(self, key: Key, spec: Spec[Any], make: Callable[[], Any]) -> None:
        self.key = key
        self._spec = spec
        self._make = make
        self._kept: dict[str, str | None] = {}
        self._groups: dict[str, str | None] = {}
        self._used = False

    @property
    def by_server(self) -> bool:
        """Whether the system of the source keeps the position, in a transaction of the sink."""
        return self._spec.exactly_once != "any"

    async def recall(self, name: str, source: Key, threads: DriverThreads) -> str | None:
        """What the sink has kept of the source `name`. Raises a ConnectorError."""
        writer = self._make()
        blocks = getattr(writer, "blocking", self._spec.blocking)
        self._kept[name] = await kept_mark(writer, position_key(source), threads if blocks else None)
        return self._kept[name]

    def check(self, name: str, node: SourceNode, reader: object) -> None:
        """Raises LogicError where the sink cannot keep the position of the source `name`, with what would be right."""
        committing = isinstance(reader, Committing)
        wanted = self._spec.exactly_once
        if self.by_server and not (committing and node.category == wanted):
            raise LogicError(
                f"{self.key} is exactly once only with a {wanted} source in a group; {name} is a {node.category} "
                "source without one."
            )
        if not self.by_server and committing:
            raise LogicError(
                f"{self.key} keeps the position of {name} itself, so no group may keep it as well: give the source "
                "`assign: all` in the place of its group."
            )
        self._groups[name] = reader.group if isinstance(reader, Committing) else None

    def check_used(self) -> None:
        """Raises LogicError where the stream has begun at the position of a sink that it does not write to."""
        if not self._used:
            raise LogicError(
                f"{self.key} says exactlyOnce, and the code of the stream does not use it: use it, or leave that out."
            )

    def sink(
        self, name: str, make: Callable[[], Any], batch: tuple[int, float], marks: Callable[[], Marks]
    ) -> Sink[Any, None]:
        """Writes with the marks, which are made when the stream is put together: only then its source is known.

        `batch`: records, and seconds.
        """
        self._used = True
        size, seconds = batch
        blocks = getattr(make(), "blocking", self._spec.blocking)
        write = write_exactly_blocking if blocks else write_exactly

        def end(m: Any, upstream: Any) -> Any:
            return write(name, make, marks(), size, seconds).attach(m, upstream)

        return Sink(name, end)

    def marks(self, committers: Mapping[str, Committer], sources: Mapping[str, Key]) -> Marks:
        """What is kept with each batch. Raises LogicError unless the stream has exactly one source."""
        if len(committers) != 1:
            raise LogicError(f"{self.key} is exactly once in a stream with one source; this one has {len(committers)}.")
        ((name, committer),) = committers.items()
        key, group = position_key(sources[name]), self._groups[name]

        def mark(progress: Progress) -> Mark:
            text = committer.record(progress) if group is None else committer.note(progress)
            return Mark(key, text, None, progress.position, group)

        return Marks(committer.window, key, mark, self._kept[name])
