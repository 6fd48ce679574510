"""An instance: the streams of the partitions it was given, and what the broker may ask of it.

Owns which streams run here and the answers to the broker's requests. Everything it starts belongs to its task group;
a broker that goes away stops nothing. Refuses to know processes and sockets (`daemon`, `link` do).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from teleporter_lab.config.key import Key, Table
from teleporter_lab.connectors.base import Registry
from teleporter_lab.engine.run import Runtime
from teleporter_lab.engine.watchdog import Watchdog
from teleporter_lab.errors import InvalidConfig, InvalidInput, NotFound, Problem, TeleporterError
from teleporter_lab.instance.addresses import Addresses
from teleporter_lab.instance.documents import read_all, read_one
from teleporter_lab.instance.holdups import HoldUps
from teleporter_lab.instance.link import AWAY, Link
from teleporter_lab.instance.logic import LogicCompiler
from teleporter_lab.instance.ownership import patterns_of, streams_of, wanted
from teleporter_lab.instance.plan import Services
from teleporter_lab.instance.report import Reporter
from teleporter_lab.instance.runner import StreamRunner
from teleporter_lab.instance.work import Work
from teleporter_lab.rpc.messages import (
    ConfigChangeNotify,
    Done,
    LinkAddress,
    LinkInstance,
    LinkVariable,
    LogLines,
    LogTail,
    Message,
    Redrive,
    StreamCommand,
    TaskState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from teleporter_lab.instance.log_tail import LogKeeper
    from teleporter_lab.rpc.messages import Hello
    from teleporter_lab.rpc.peer import Peer

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
"""Pause before a stream is started whose documents could not be read."""


@dataclass(frozen=True)
class InstanceOptions:
    """`drain` in seconds: how long a stream may take to hand down what it has read."""

    brokers: list[tuple[str, int]]
    ephemeral: bool = False
    drain: float = 30.0


class Instance:
    """An async context manager: inside it is linked and runs streams; leaving it drains them all."""

    def __init__(self, hello: Hello, options: InstanceOptions, logs: LogKeeper) -> None:
        self.key = hello.instance
        self._options = options
        self._logs = logs
        self._runtime = Runtime()
        self._link = Link(options.brokers, hello, self.handle, self._linked, self._runtime.clock)
        self._services = Services(
            self.key, self._link, self._runtime, Registry.load(), Addresses(self._runtime.threads), LogicCompiler()
        )
        self._runners: dict[Key, StreamRunner] = {}
        self._owned: dict[Key, TaskState] = {}
        self._taking: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._work = Work()
        self._group = asyncio.TaskGroup()
        self._stack = AsyncExitStack()
        self._reporter = Reporter(self._link, self.key, self._runtime.clock, self._runners)
        self._answers: dict[type[Any], Callable[[Any], Coroutine[Any, Any, Message]]] = {
            TaskState: self._take,
            ConfigChangeNotify: self._refresh,
            StreamCommand: self._command,
            LogTail: self._log_tail,
            Redrive: self._redrive,
        }

    @property
    def link(self) -> Link:
        return self._link

    def statistics(self) -> dict[str, int]:
        """Streams by status."""
        return dict(Counter(runner.status for runner in self._runners.values()))

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._runtime)
        await self._stack.enter_async_context(Watchdog(HoldUps()))
        await self._group.__aenter__()
        self._keeping = [self._group.create_task(self._link.run()), self._group.create_task(self._reporter.run())]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._reporter.tell_state("OFFLINE")
        await self._work.close()
        await asyncio.gather(*(runner.stop() for runner in self._runners.values()), return_exceptions=True)
        for task in self._keeping:
            task.cancel()
        await self._group.__aexit__(None, None, None)
        await self._stack.aclose()

    async def handle(self, message: Message) -> Message:
        """Answers a request of the broker, and finishes what it asks for even when that broker is lost meanwhile.

        Raises the TeleporterError to answer with.
        """
        answer = self._answers.get(type(message))
        if answer is None:
            raise InvalidInput(f"An instance does not answer {type(message).__name__}.")
        return await self._work.finish(answer(message), f"{self.key}: {type(message).__name__}")

    async def _linked(self, peer: Peer) -> None:
        await peer.request(LinkInstance(self.key, self._options.ephemeral))
        for key in {key for runner in self._runners.values() for key in runner.keys}:
            if key.startswith("/address/"):
                peer.tell(LinkAddress(self.key, key))
            elif key.startswith("/variable/"):
                peer.tell(LinkVariable(self.key, key))
        self._reporter.tell_again()

    # -- partitions

    async def _take(self, message: TaskState) -> Message:
        """Takes what it owns of a task now; answers when what it no longer owns has stopped."""
        task = Key.parse(message.task)
        self._owned[task] = message
        await self._apply_ownership(task)
        return Done()

    async def _apply_ownership(self, task: Key) -> None:
        async with self._taking[task]:
            await self._settle_ownership(task, self._owned[task])

    async def _settle_ownership(self, task: Key, owned: TaskState) -> None:
        below = "/".join(task.segments)
        mine: dict[Key, Any] = {}
        if owned.partitions:
            streams = await read_all(self._link, f"/stream/{below}/")
            partitions = await read_all(self._link, f"/partition/{below}/")
            chosen = streams_of(streams, patterns_of(partitions), owned.partitions)
            mine = {key: streams[key] for key in chosen}
        gone = [key for key in self._runners if key.task == task and key not in mine]
        await asyncio.gather(*(self._drop(self._runners[key]) for key in gone))
        for key, value in mine.items():
            self._adopt(key, value, owned.epoch)

    def _adopt(self, key: Key, value: Any, epoch: int) -> None:
        runner = self._runners.get(key)
        if runner is None:
            runner = StreamRunner(key, self._services, self._options.drain, self._reporter.tell_stream, epoch)
            self._runners[key] = runner
            if wanted(value):
                self._work.start(self._start(runner), f"the start of {key}")
        runner.epoch = epoch

    async def _start(self, runner: StreamRunner) -> None:
        """Starts a stream in the background; why it cannot is in its status."""
        while True:
            try:
                await runner.start()
            except AWAY as error:
                log.warning("%s is not started yet: %s", runner.key, error)
                await self._runtime.clock.sleep(RETRY_SECONDS)
                if runner.status == "NORMAL":  # else somebody has decided otherwise
                    continue
            return

    async def _drop(self, runner: StreamRunner, status: str = "NORMAL") -> None:
        await runner.drop(status)
        if self._runners.get(runner.key) is runner:
            del self._runners[runner.key]

    # -- requests

    async def _refresh(self, message: ConfigChangeNotify) -> Message:
        """Applies a change: starts, restarts or drops just the streams it concerns."""
        key = Key.parse(message.key)
        if key.table is Table.STREAM:
            await self._refresh_stream(key)
        elif key.table in {Table.PARTITION, Table.TASK} and key.task in self._owned:
            await self._apply_ownership(key.task)
            await self._refresh_users(message.key)
        else:
            await self._refresh_users(message.key, key)
        return Done()

    async def _refresh_stream(self, key: Key) -> None:
        value = await read_one(self._link, str(key))
        runner = self._runners.get(key)
        if runner is None:
            if value is not None and key.task in self._owned:
                await self._apply_ownership(key.task)
        elif value is None:
            await self._drop(runner, "REMOVE")
        elif not wanted(value):
            await runner.stop()
        elif not await runner.refresh():  # given away or removed meanwhile: look again
            await self._refresh_stream(key)

    async def _refresh_users(self, text: str, key: Key | None = None) -> None:
        """Restarts the streams that stand on `text`, or that a new source or sink belongs to; starts failed ones."""
        parent = key.parent if key is not None and key.table in {Table.SOURCE, Table.SINK} else None
        concerned = [r for r in self._runners.values() if text in r.keys or r.key == parent]
        users = [runner for runner in concerned if runner.alive or runner.status == "FAILURE"]
        outcomes = await asyncio.gather(*(runner.refresh() for runner in users), return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if len(failed) > 1 and all(isinstance(error, TeleporterError) for error in failed):
            raise _together(text, cast("list[TeleporterError]", failed))
        for error in failed:
            raise error

    async def _command(self, message: StreamCommand) -> Message:
        runner = self._runner(message.key)
        if message.delay > 0:
            self._work.start(self._later(runner, message), f"{message.action} of {runner.key}")
            return Done()
        return await self._do(runner, message.action)

    def _runner(self, text: str) -> StreamRunner:
        key = Key.parse(text)
        if key not in self._runners:
            raise NotFound(f"{key} does not run on {self.key}; refresh it, or look at its partition.")
        return self._runners[key]

    async def _later(self, runner: StreamRunner, message: StreamCommand) -> None:
        await self._runtime.clock.sleep(message.delay)
        await self._do(runner, message.action)

    async def _do(self, runner: StreamRunner, action: str) -> Message:
        if action == "start":
            await runner.start()
        elif action == "restart":
            await runner.refresh(always=True)
        elif action == "stop":
            await runner.stop()
        else:
            await self._drop(runner, "REMOVE")
        return Done()

    async def _redrive(self, message: Redrive) -> Message:
        return await self._runner(message.key).redrive(message.letters)

    async def _log_tail(self, message: LogTail) -> Message:
        loop = asyncio.get_running_loop()  # lines come from any thread

        def tell(lines: list[str]) -> None:
            loop.call_soon_threadsafe(self._link.tell, LogLines(lines))

        self._logs.follow(tell if message.follow else None)
        return LogLines(self._logs.tail(message.lines))


def _together(text: str, errors: list[TeleporterError]) -> InvalidConfig:
    """One error that says all that several streams have against a change."""
    problems = [problem for error in errors for problem in error.problems or (Problem("", error.message),)]
    return InvalidConfig(f"{len(errors)} streams refuse the change of {text}.", tuple(dict.fromkeys(problems)))
