"""The sinks of a stream as letters are redriven to them, and the sources it has meanwhile.

Owns how they differ from those of a run: a sink gets one record at a time, so that what it refuses is one letter and
nobody has to look for it among others; it keeps no position with the data, also where it says `exactlyOnce`, as letters
are nowhere in the order of their source; a source gives letters or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.stages.sources import empty
from teleporter_lab.engine.stages.writing import write_to, write_to_blocking
from teleporter_lab.instance.ends import Ends, MadeOnce

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.config.key import Key
    from teleporter_lab.config.nodes import SinkNode
    from teleporter_lab.config.rules import Rules
    from teleporter_lab.engine.graph import Sink, Source
    from teleporter_lab.engine.kill_switch import KillSwitch
    from teleporter_lab.engine.supervision import Supervisor
    from teleporter_lab.instance.letter_run import LetterRun
    from teleporter_lab.instance.plan import Plan, Services
    from teleporter_lab.instance.stream_rules import StreamRules


class RedriveEnds(Ends):
    """The ends of one redrive."""

    def __init__(self, plan: Plan, services: Services, switch: KillSwitch, rules: StreamRules, run: LetterRun) -> None:
        super().__init__(plan, services, lambda: 0, switch, rules)
        self._run = run
        self.columnar = False
        """The logic has asked a source for columns."""

    @property
    def rules(self) -> Supervisor:
        """The rules of the stream."""
        return self._run.watched(self._stream_rules)

    def flow_rules(self, rules: Rules) -> Supervisor:
        return self._run.watched(super().flow_rules(rules))

    def letters_of(self, source: bool) -> Callable[[bool], Source[Any]]:
        """What makes a source: the letters, where it is the `source` they are of, else nothing."""

        def make(columnar: bool) -> Source[Any]:
            self.columnar = self.columnar or columnar
            if not source:
                return empty()
            return self._run.source().to_batches() if columnar else self._run.source()

        return make

    def sink_at(self, key: Key) -> Sink[Any, None]:
        """The sink with that key, which is one of the stream's or one for dead letters."""
        documents = self._plan.documents
        if str(key) in documents.letter_sinks:
            return self._letter_sink(str(key))
        return self.sink(key.name)()

    def _write(self, end: str, key: Key, node: SinkNode) -> Sink[Any, None]:
        spec = self._services.registry.get(node.category).spec("sink")
        once = MadeOnce(self._factory(spec, end, node))
        write = write_to_blocking if getattr(once.first, "blocking", spec.blocking) else write_to
        rules = self._run.watched(self._ruled(key), sink=True)
        return write(f"{node.category}({key.name})", once, 1, 0.0).supervised_by(rules)
