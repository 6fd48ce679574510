"""Redriving: dead letters sent through their stream again, each from the place at which it failed.

Owns what a letter's place means. A sink's letter goes to that sink, a source's to the first operator below it, any
other to the operator of that name, with its own attributes and everything below. The letters are the only source of
that run; other sources give nothing. It has an ack window of its own, and goes on beside the stream. At least once: a
letter is done when its record is confirmed and no rule has left it out; whatever else happened to it is said as a
reason, and it stays where it is. Refuses to read and to forget letters (the broker does).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from teleporter_lab.config.key import Key
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.errors import InvalidInput, NotFound, TeleporterError
from teleporter_lab.instance.context import StreamContext
from teleporter_lab.instance.letter import Letter
from teleporter_lab.instance.letter_run import LetterRun
from teleporter_lab.instance.logic import build_graph
from teleporter_lab.instance.place import below
from teleporter_lab.instance.redrive_ends import RedriveEnds
from teleporter_lab.instance.stream_rules import StreamRules
from teleporter_lab.rpc.messages import Redriven

if TYPE_CHECKING:
    from collections.abc import Iterable

    from teleporter_lab.engine.graph import RunnableGraph
    from teleporter_lab.instance.plan import Plan, Services

LIMIT: Final = 50.0
"""Seconds that the letters of one request may take; whoever asked waits a little longer."""


class Redriving:
    """Redrives letters of one stream, with its config and code as they are in `plan`."""

    def __init__(self, plan: Plan, services: Services, matched: Counter[str] | None = None) -> None:
        self._plan = plan
        self._services = services
        self._matched = matched
        self._failed: dict[str, str] = {}

    async def letters(self, pairs: Iterable[tuple[str, str]]) -> Redriven:
        """Sends letters (id, JSON); says which have arrived, and why the others have not."""
        ways: defaultdict[tuple[str, str], list[Letter]] = defaultdict(list)
        for name, text in pairs:
            try:
                letter = Letter.parse(name, text)
            except InvalidInput as error:
                self._failed[name] = error.message
            else:
                ways[letter.part, "" if letter.part else letter.place].append(letter)
        ends_at = self._services.runtime.clock.now() + LIMIT
        done: list[str] = []
        for (part, place), letters in ways.items():
            done += await self._way(part, place, letters, ends_at)
        return Redriven(done, list(self._failed.items()))

    async def _way(self, part: str, place: str, letters: list[Letter], ends_at: float) -> list[str]:
        """Sends letters that have the same way; the ids of those that have arrived."""
        channels = max((node.ack.channel_size for _, node in self._plan.documents.sources.values()), default=1)
        run = LetterRun(letters, channels, self._services.runtime)
        try:
            async with AsyncExitStack() as stack:
                ends = self._ends(run)
                await ends.open(stack)
                graph = await self._services.runtime.threads.submit(self._graph, part, place, ends, run)
                await run.drive(graph, ends.rules, ends.aside, ends_at)
        except TeleporterError as error:  # it could not begin, or has not ended well
            run.ended(error)
        done, failed = run.outcome()
        self._failed |= failed
        return done

    def _ends(self, run: LetterRun) -> RedriveEnds:
        rules = StreamRules(str(self._plan.key), self._plan.rules, self._matched)
        return RedriveEnds(self._plan, self._services, KillSwitch(), rules, run)

    def _graph(self, part: str, place: str, ends: RedriveEnds, run: LetterRun) -> RunnableGraph[Any]:
        """What the letters run through. Raises NotFound where their place is not there, or more than once."""
        documents = self._plan.documents
        if part:
            key = Key.parse(part)
            known = {str(key) for key, _ in (*documents.sources.values(), *documents.sinks.values())}
            if part in documents.letter_sinks or (part in known and part.startswith("/sink/")):
                return run.source().to(ends.sink_at(key))
            if part not in known:
                raise NotFound(f"{documents.key} has no {part} any more.")
        read = Key.parse(part).name if part else None
        context = StreamContext(
            documents.key,
            documents.arguments,
            {name: ends.letters_of(name == read) for name in documents.sources},
            {name: ends.sink(name) for name in documents.sinks},
            ends.flow_rules,
        )
        graph = build_graph(self._plan.logic, context, str(documents.key))
        if part:
            if read not in context.used:
                raise NotFound(f"The code of {documents.key} does not use the source {read!r} any more.")
            return graph
        return below(graph, place, run.source(), columnar=ends.columnar)
