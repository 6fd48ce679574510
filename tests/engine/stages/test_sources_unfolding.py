"""Sources of one element a call: unfold and resources; what is called when, in which thread, and after a failure."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.unfolding import resource, resource_async, unfold, unfold_async
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.laws import drain, drain_with_cuts
from teleporter_lab.testing.probes import pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Flow

INPUT = list(range(10))


class Always:
    """One action for everything; notes what it was asked about."""

    def __init__(self, action: Action) -> None:
        self.asked: list[tuple[str, Any, int]] = []
        self._action = action

    def decide(self, failure: Failure) -> Decision:
        self.asked.append((failure.stage, failure.element, failure.tries))
        return Decision(self._action)


class Step:
    """Counts to ten, and fails in the states that are given, once for each time they are given."""

    def __init__(self, *fails: int) -> None:
        self.fails = list(fails)
        self.states: list[int] = []

    def __call__(self, state: int) -> tuple[int, int] | None:
        self.states.append(state)
        if state in self.fails:
            self.fails.remove(state)
            raise OSError(f"state {state}")
        return (state + 1, state) if state < 10 else None

    async def later(self, state: int) -> tuple[int, int] | None:
        await asyncio.sleep(0)
        return self(state)

    def source(self, waiting: bool) -> Flow[Any, int]:
        return unfold_async(0, self.later) if waiting else unfold(0, self)


BOTH = pytest.mark.parametrize("waiting", [False, True], ids=["unfold", "unfold_async"])


@BOTH
@pytest.mark.parametrize("action", [a for a in Action if a is not Action.STOP], ids=lambda a: a.value)
async def test_a_state_that_fails_is_tried_again_whatever_the_rule(action: Action, waiting: bool) -> None:
    step, rule = Step(0, 4, 4), Always(action)
    assert await step.source(waiting).to(to_list()).run(supervisor=rule) == INPUT
    assert [(element, tries) for _, element, tries in rule.asked] == [(0, 1), (4, 1), (4, 2)]
    assert step.states == [0, 0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 10]


@BOTH
async def test_the_last_error_comes_out_after_all_that_came_before(waiting: bool) -> None:
    step = Step(3, 3, 3)
    found: list[int] = []
    with pytest.raises(OSError, match="state 3") as caught:
        await step.source(waiting).to(foreach(found.append)).run(supervisor=Retry(2))
    assert found == [0, 1, 2]
    assert caught.value.__notes__[0].endswith(", at 3")


@BOTH
async def test_nothing_is_called_after_the_end(waiting: bool) -> None:
    step = Step()
    async with pulled(step.source(waiting)) as stage:
        assert await drain(stage, 3) == INPUT
    assert step.states.count(10) == 1


@BOTH
async def test_a_function_that_fails_for_ever_can_be_stopped(waiting: bool) -> None:
    step = Step(*[0] * 100_000)
    run = asyncio.ensure_future(step.source(waiting).to(ignore()).run(supervisor=Resume()))
    for _ in range(50):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert run.cancelled()


async def test_an_element_may_be_none() -> None:
    assert await unfold(3, lambda n: (n - 1, None) if n else None).to(to_list()).run() == [None] * 3


@pytest.mark.parametrize("leave", [SystemExit(3), StopIteration(), asyncio.CancelledError()], ids=repr)
@BOTH
async def test_a_function_that_exits_ends_its_stream_alone(leave: BaseException, waiting: bool) -> None:
    def leaves(state: int) -> tuple[int, int]:
        raise leave

    async def leaves_later(state: int) -> tuple[int, int]:
        if isinstance(leave, StopIteration):
            raise RuntimeError("StopIteration")
        raise leave

    flow = unfold_async(0, leaves_later) if waiting else unfold(0, leaves)
    with pytest.raises(RuntimeError, match=r"sys\.exit|StopIteration|cancelled by somebody"):
        await flow.to(ignore()).run()


# -------------------------------------------------------------------------------------------------------- resources


class Lines:
    """A log of calls, and what comes from a resource: numbers, and errors in their place."""

    def __init__(self, *given: Any) -> None:
        self.calls: list[str] = []
        self.given = deque(given)
        self.threads: set[str] = set()
        self.opened = 0
        self.fails = 0
        """Opens that fail."""

    def open(self) -> int:
        self.threads.add(threading.current_thread().name)
        self.calls.append("open")
        if self.fails:
            self.fails -= 1
            raise OSError("does not open")
        self.opened += 1
        return self.opened

    def read(self, opened: int) -> Any:
        assert opened == self.opened
        self.calls.append("read")
        given = self.given.popleft() if self.given else None
        if isinstance(given, Exception):
            raise given
        return given

    def close(self, opened: int) -> None:
        assert opened == self.opened
        self.calls.append("close")

    def source(self, kind: str) -> Flow[Any, Any]:
        if kind == "resource_async":

            async def opened() -> int:
                await asyncio.sleep(0)
                return self.open()

            async def read(opened: int) -> Any:
                await asyncio.sleep(0)
                return self.read(opened)

            async def close(opened: int) -> None:
                await asyncio.sleep(0)
                self.close(opened)

            return resource_async(opened, read, close)
        return resource(self.open, self.read, self.close, blocking=kind == "blocking")


KINDS = pytest.mark.parametrize("kind", ["resource", "blocking", "resource_async"])


@KINDS
async def test_a_resource_is_opened_at_the_first_pull_and_closed_once(kind: str) -> None:
    lines = Lines(*INPUT)
    async with pulled(lines.source(kind)) as stage:
        assert lines.calls == []
        assert await drain(stage, 4) == INPUT
        assert lines.calls.count("read") == 11, "nothing is read after the end"
    assert (lines.calls[0], lines.calls[-1]) == ("open", "close")
    assert lines.calls.count("open") == lines.calls.count("close") == 1
    assert (threading.current_thread().name in lines.threads) == (kind != "blocking")


@KINDS
async def test_a_resource_that_was_never_needed_is_never_opened(kind: str) -> None:
    lines = Lines(*INPUT)
    async with pulled(lines.source(kind)):
        pass
    assert lines.calls == []


@KINDS
@pytest.mark.parametrize("action", [a for a in Action if a is not Action.STOP], ids=lambda a: a.value)
async def test_a_read_that_fails_is_followed_by_the_next(kind: str, action: Action) -> None:
    lines, rule = Lines(0, OSError("a"), OSError("b"), 1, 2, OSError("c")), Always(action)
    lines.fails = 2
    assert await lines.source(kind).to(to_list()).run(supervisor=rule) == [0, 1, 2]
    assert [(element, tries) for _, element, tries in rule.asked] == [(0, 1), (0, 2), (1, 1), (1, 2), (3, 1)]
    assert lines.calls.count("close") == lines.opened == (4 if action is Action.RELOAD else 1)


@KINDS
async def test_an_error_closes_the_resource_and_says_where(kind: str) -> None:
    lines = Lines(0, 1, OSError("lost"))
    found: list[int] = []
    with pytest.raises(OSError, match="lost") as caught:
        await lines.source(kind).to(foreach(found.append)).run()
    assert found == [0, 1]
    assert caught.value.__notes__[0].endswith(", at 2")
    assert lines.calls.count("close") == 1


@KINDS
@pytest.mark.parametrize("often", [1, 3])
async def test_cancelled_pulls_between_failures_lose_and_double_nothing(kind: str, often: int) -> None:
    for passes in range(6):
        lines = Lines(0, 1, OSError("a"), 2, 3, 4, OSError("b"), OSError("c"), 5)
        lines.fails = 1
        async with pulled(lines.source(kind), supervisor=Always(Action.RELOAD)) as stage:
            assert await drain_with_cuts(stage, passes, often) == [0, 1, 2, 3, 4, 5], f"cancelled after {passes} passes"
        assert lines.calls.count("close") == lines.opened


class Gated:
    """Each read waits for the test; every step is told to it."""

    def __init__(self) -> None:
        self.started: deque[threading.Event] = deque(threading.Event() for _ in range(20))
        self.gates: deque[threading.Event] = deque(threading.Event() for _ in range(20))
        self.calls: list[str] = []
        self.reads = 0

    def open(self) -> Gated:
        self.calls.append("open")
        return self

    def read(self) -> int | None:
        i = self.reads
        self.reads += 1
        self.started[i].set()
        assert self.gates[i].wait(10)
        return i if i < 10 else None

    def close(self) -> None:
        self.calls.append("close")


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


def gated(lines: Gated) -> Flow[Any, int]:
    return resource(lines.open, Gated.read, Gated.close, blocking=True)


async def test_an_element_from_a_thread_does_not_wait_for_the_one_after_it() -> None:
    lines = Gated()
    async with pulled(gated(lines)) as stage:
        for i in range(3):
            lines.gates[i].set()
            assert await first(stage.pull(8)) == i
        pull = asyncio.ensure_future(stage.pull(8))
        await wait_for(lines.started[3])
        assert not pull.done()
        for gate in lines.gates:
            gate.set()
        found = list((await pull).data)
        assert found + await drain(stage, 8) == INPUT[3:]


async def first(pull: Any) -> Any:
    return (await pull).data[0]


async def test_a_resource_in_a_thread_is_closed_when_its_call_has_ended() -> None:
    lines = Gated()
    run = asyncio.ensure_future(gated(lines).to(ignore()).run())
    await wait_for(lines.started[0])
    run.cancel()
    assert not (await asyncio.wait((run,), timeout=0.02))[0], "the call still runs"
    assert lines.calls == ["open"]
    lines.gates[0].set()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert lines.calls == ["open", "close"]
    assert lines.reads == 1


async def test_what_a_thread_opened_for_nobody_is_closed_too() -> None:
    opening, go_on = threading.Event(), threading.Event()
    closed: list[str] = []

    def slowly() -> str:
        opening.set()
        assert go_on.wait(10)
        return "it"

    run = asyncio.ensure_future(resource(slowly, str, closed.append, blocking=True).to(ignore()).run())
    await wait_for(opening)
    run.cancel()
    go_on.set()
    await asyncio.wait((run,))
    assert closed == ["it"]


@pytest.mark.parametrize("kind", ["resource", "blocking"])
async def test_a_resource_that_exits_ends_its_stream_alone(kind: str) -> None:
    def leave(_: str) -> int:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match=r"sys\.exit"):
        await resource(lambda: "it", leave, str, blocking=kind == "blocking").to(ignore()).run()


async def test_a_quick_resource_in_a_thread_gives_many_a_chunk() -> None:
    """One hop to a thread for what was asked, not one an element."""
    left = iter(range(20_000))
    hops = 0
    async with pulled(resource(lambda: left, lambda it: next(it, None), lambda _: None, blocking=True)) as stage:
        reader: Any = stage
        submit = reader._reader._threads.submit

        def counted(*args: Any) -> Any:
            nonlocal hops
            hops += 1
            return submit(*args)

        reader._reader._threads.submit = counted
        assert await drain(stage, 1000) == list(range(20_000))
    assert hops < 200
