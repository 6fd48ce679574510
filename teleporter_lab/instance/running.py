"""One run of a stream: from its plan to open readers and writers, and back to nothing.

Owns what a run needs and lets all of it go at its end: leased addresses, ack windows, commit loops. What the engine
does not add by itself is added here: a position and a window for each source, a kill switch below it. Refuses to
restart (`runner` does).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from teleporter_lab.engine.ack import Ledger
from teleporter_lab.engine.kill_switch import KillSwitch
from teleporter_lab.errors import TeleporterError
from teleporter_lab.instance.committer import acks_of
from teleporter_lab.instance.context import StreamContext
from teleporter_lab.instance.ends import Ends
from teleporter_lab.instance.logic import build_graph
from teleporter_lab.instance.positions import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from teleporter_lab.engine.graph import RunnableGraph
    from teleporter_lab.instance.committer import Committer
    from teleporter_lab.instance.plan import Plan, Services
    from teleporter_lab.instance.positions import Committed
    from teleporter_lab.instance.stream_rules import StreamRules


log = logging.getLogger(__name__)

LAST_COMMIT_SECONDS = 5.0
"""How long a run that failed or was stopped hard may take to commit what was confirmed."""


class Running:
    """One run. `run` works to the end of the stream; `shutdown` asks it to end."""

    def __init__(self, plan: Plan, services: Services, epoch: Callable[[], int], rules: StreamRules) -> None:
        self._plan = plan
        self._services = services
        self._rules = rules
        self._switch = KillSwitch()
        self._ends = Ends(plan, services, epoch, self._switch, rules)
        self._begun: Mapping[str, Committed] = {}
        """Where its sources begin, as far as it is known."""
        self.stopped = asyncio.Event()
        """Set when the run was asked to end."""

    @property
    def stopping(self) -> bool:
        return self.stopped.is_set()

    @property
    def advanced(self) -> bool:
        """Whether this run has committed a position."""
        return any(committer.commits for committer in self._ends.committers.values())

    @property
    def alarms(self) -> int:
        """How often the ledger of a source did not add up in this run."""
        return sum(committer.alarms for committer in self._ends.committers.values())

    def acks(self) -> dict[str, float]:
        """How confirmation and commits of its sources are doing."""
        return acks_of(self._ends.committers.values())

    def shutdown(self) -> None:
        """Stops reading; what was read still goes to the sinks and is committed."""
        self.stopped.set()
        self._switch.shutdown()

    def ledger(self) -> Ledger:
        """The sum over the stream's sources, earlier runs included."""
        known = [committer.ledger() for committer in self._ends.committers.values()]
        whole = Ledger()
        for ledger in known or [committed.ledger for committed in self._begun.values()]:
            whole.add(ledger)
        return whole

    def read(self) -> int:
        """How many elements this run has read, earlier runs left out."""
        known = self._ends.committers.items()
        return sum(committer.ledger().read - self._begun[name].ledger.read for name, committer in known)

    async def run(self) -> None:
        """Runs until the source ends or `shutdown` was called and everything drained; then commits and closes.

        Raises what the stream failed with. Cancelling it stops hard: only the confirmed prefix is committed.
        """
        async with AsyncExitStack() as stack:
            await self._ends.open(stack)
            if await self._begins():
                graph = await self._services.runtime.threads.submit(self._graph, self._begun)
                await self._drive(graph)

    async def _begins(self) -> bool:
        """Finds out where the sources begin; False where the run is told to end before that is known."""
        beginning, stopped = asyncio.create_task(self._begin()), asyncio.create_task(self.stopped.wait())
        try:
            await asyncio.wait((beginning, stopped), return_when=asyncio.FIRST_COMPLETED)
            if beginning.done():
                await beginning
            return beginning.done()
        finally:
            await _end(*(task for task in (beginning, stopped) if not task.done()))

    async def _begin(self) -> None:
        link, sources = self._services.link, self._plan.documents.sources.items()
        self._begun = {name: await load(link, key) for name, (key, _) in sources}
        self._begun = await self._ends.begin(self._begun)

    async def _drive(self, graph: RunnableGraph[Any]) -> None:
        clock = self._services.runtime.clock
        commits = [
            asyncio.create_task(committer.keep_committing(clock, ack.commit_interval, ack.batch_coordinate_commit_num))
            for committer, ack in ((one, self._ends.ack(name)) for name, one in self._ends.committers.items())
        ]
        self._rules.begin(lambda: self.advanced)
        running = graph.run(self._services.runtime, self._rules, self._ends.aside)
        stream = asyncio.create_task(running, name=str(self._plan.key))
        try:
            await asyncio.wait([stream, *commits], return_when=asyncio.FIRST_COMPLETED)
            refused = next((commit for commit in commits if commit.done()), None)
            if refused is not None:
                await refused
            await stream
            await _end(*commits)
            for committer in self._ends.committers.values():
                await committer.finish(clock)
        except BaseException:
            await _end(stream, *commits)
            await self._commit_rest()
            raise

    async def _commit_rest(self) -> None:
        """After a failure: commits what was confirmed; if that fails too, the first failure is the one that counts."""
        try:
            async with asyncio.timeout(LAST_COMMIT_SECONDS), asyncio.TaskGroup() as group:
                for committer in self._ends.committers.values():
                    group.create_task(self._commit_last(committer))
        except TimeoutError:
            log.warning("%s: the last position was not committed: nobody answered in time", self._plan.key)

    async def _commit_last(self, committer: Committer) -> None:
        """What is refused of one source concerns no other."""
        try:
            await committer.commit()
        except TeleporterError as error:
            log.warning("%s: the last position was not committed: %s", self._plan.key, error)

    def _graph(self, positions: Mapping[str, Committed]) -> RunnableGraph[Any]:
        documents = self._plan.documents
        context = StreamContext(
            documents.key,
            documents.arguments,
            {name: self._ends.source(name, positions[name]) for name in documents.sources},
            {name: self._ends.sink(name) for name in documents.sinks},
            self._ends.flow_rules,
        )
        graph = build_graph(self._plan.logic, context, str(documents.key))
        self._ends.check()
        return graph if context.used else graph.stopped_by(self._switch)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
