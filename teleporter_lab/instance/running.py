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
from teleporter_lab.instance.context import StreamContext
from teleporter_lab.instance.ends import Ends
from teleporter_lab.instance.logic import build_graph
from teleporter_lab.instance.positions import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import RunnableGraph
    from teleporter_lab.instance.plan import Plan, Services
    from teleporter_lab.instance.positions import Committed


log = logging.getLogger(__name__)

LAST_COMMIT_SECONDS = 5.0
"""How long a run that failed or was stopped hard may take to commit what was confirmed."""


class Running:
    """One run. `run` works to the end of the stream; `shutdown` asks it to end."""

    def __init__(self, plan: Plan, services: Services, epoch: Callable[[], int]) -> None:
        self._plan = plan
        self._services = services
        self._switch = KillSwitch()
        self._ends = Ends(plan, services, epoch, self._switch)
        self.stopped = asyncio.Event()
        """Set when the run was asked to end."""

    @property
    def stopping(self) -> bool:
        return self.stopped.is_set()

    @property
    def advanced(self) -> bool:
        """Whether this run has committed a position."""
        return any(committer.commits for committer in self._ends.committers.values())

    def shutdown(self) -> None:
        """Stops reading; what was read still goes to the sinks and is committed."""
        self.stopped.set()
        self._switch.shutdown()

    def ledger(self) -> Ledger:
        """The sum over the stream's sources, earlier runs included."""
        whole = Ledger()
        for committer in self._ends.committers.values():
            whole.add(committer.ledger())
        return whole

    async def run(self) -> None:
        """Runs until the source ends or `shutdown` was called and everything drained; then commits and closes.

        Raises what the stream failed with. Cancelling it stops hard: only the confirmed prefix is committed.
        """
        async with AsyncExitStack() as stack:
            await self._ends.lease_addresses(stack)
            positions = {
                name: await load(self._services.link, key) for name, (key, _) in self._plan.documents.sources.items()
            }
            graph = await self._services.runtime.threads.submit(self._graph, positions)
            await self._drive(graph)

    async def _drive(self, graph: RunnableGraph[Any]) -> None:
        clock = self._services.runtime.clock
        commits = [
            asyncio.create_task(committer.keep_committing(clock, self._ends.ack(name).commit_interval))
            for name, committer in self._ends.committers.items()
        ]
        stream = asyncio.create_task(graph.run(self._services.runtime), name=str(self._plan.key))
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
            async with asyncio.timeout(LAST_COMMIT_SECONDS):
                for committer in self._ends.committers.values():
                    await committer.commit()
        except (TeleporterError, TimeoutError) as error:
            why = error if isinstance(error, TeleporterError) else "the broker did not answer in time"
            log.warning("%s: the last position was not committed: %s", self._plan.key, why)

    def _graph(self, positions: dict[str, Committed]) -> RunnableGraph[Any]:
        documents = self._plan.documents
        context = StreamContext(
            documents.key,
            documents.arguments,
            {name: self._ends.source(name, positions[name]) for name in documents.sources},
            {name: self._ends.sink(name) for name in documents.sinks},
        )
        graph = build_graph(self._plan.logic, context, str(documents.key))
        return graph if context.used else graph.stopped_by(self._switch)

    @property
    def matched(self) -> dict[str, int]:
        """How many failures the rules of sources and sinks have matched in this run, by level."""
        return self._ends.matched


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
