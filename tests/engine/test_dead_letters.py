"""What a rule puts aside goes to a sink of its own, and is confirmed only when that sink has confirmed it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.ack import AckWindow
from teleporter_lab.engine.dead_letters import DeadLetter, LetterBoxClosed
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.stages.writing import resource_sink
from teleporter_lab.engine.supervision import Action, Decision, Failure, NoPlaceForDeadLetters, Resume
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SinkProbe, SourceProbe

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow, Sink


class PutAside:
    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.DEAD_LETTER)


def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd: {x}")
    return x * 10


async def odd_fails_later(x: int) -> int:
    await asyncio.sleep(0)
    return odd_fails(x)


OPERATORS: dict[str, Callable[[Flow[Any, int]], Flow[Any, int]]] = {
    "map": lambda f: f.map(odd_fails),
    "map_concat": lambda f: f.map_concat(lambda x: [odd_fails(x)]),
    "map_async": lambda f: f.map_async(3, odd_fails_later),
    "map_async_unordered": lambda f: f.map_async_unordered(3, odd_fails_later),
}


@pytest.mark.parametrize("operator", OPERATORS)
async def test_elements_that_fail_are_stored_and_the_others_go_on(operator: str) -> None:
    window, letters = Witness(), []
    source = SourceProbe([[0, 1, 2, 3], [4, 5]], window=window)
    graph = OPERATORS[operator](source.as_source()).dead_letter(foreach(letters.append)).to(to_list())
    before = time.time()
    assert sorted(await graph.run(supervisor=PutAside())) == [0, 20, 40]
    assert sorted((letter.element, str(letter.error), letter.tries) for letter in letters) == [
        (1, "odd: 1", 1), (3, "odd: 3", 1), (5, "odd: 5", 1),
    ]  # fmt: skip
    assert all(letter.stage.startswith(operator) and before <= letter.at <= time.time() for letter in letters)
    window.check_all_settled()
    assert (window.ledger().written, window.ledger().dead_lettered) == (3, 3)


@pytest.mark.parametrize("operator", OPERATORS)
async def test_a_letter_says_where_the_source_was_behind_its_chunk(operator: str) -> None:
    letters: list[DeadLetter] = []
    source = SourceProbe([[0, 1], [2], [3]], window=AckWindow(10))
    graph = OPERATORS[operator](source.as_source()).dead_letter(foreach(letters.append)).to(ignore())
    await graph.run(supervisor=PutAside())
    assert sorted((letter.element, letter.position) for letter in letters) == [(1, 2), (3, 4)]
    without = OPERATORS[operator](iterate([1])).dead_letter(foreach(letters.append)).to(ignore())
    await without.run(supervisor=PutAside())
    assert letters[-1].position is None


class Shelf:
    """A place for a whole run."""

    def __init__(self) -> None:
        self.elements: list[Any] = []

    async def put(self, failure: Failure) -> None:
        self.elements.append(failure.element)


def refuse_large(_: None, numbers: list[int]) -> None:
    if max(numbers) > 100:
        raise ValueError("too large")


@pytest.mark.parametrize("operator", OPERATORS)
async def test_a_run_may_have_a_place_for_what_has_none_nearer(operator: str) -> None:
    shelf, letters = Shelf(), list[DeadLetter]()
    sink: Sink[int, None] = resource_sink(lambda: None, refuse_large, lambda _: None)
    above = OPERATORS[operator](iterate([1, 2, 20])).dead_letter(foreach(letters.append))
    graph = above.concat(iterate([3])).map(odd_fails).to(sink)
    await graph.run(supervisor=PutAside(), dead_letters=shelf)
    assert [letter.element for letter in letters] == [1], "what is nearer wins"
    assert sorted(shelf.elements) == [3, 200, 2000]


async def test_a_record_is_not_confirmed_before_its_letter_is_stored() -> None:
    window, letters = Witness(), SinkProbe()
    source = SourceProbe([[1]], window=window)
    graph = source.as_source().map(odd_fails).dead_letter(letters.as_sink()).to(ignore())
    run = asyncio.ensure_future(graph.run(supervisor=PutAside()))
    chunk = await letters.chunk(5)
    assert chunk is not None
    for _ in range(10):
        await asyncio.sleep(0)
    assert window.progress is None
    assert not run.done()
    chunk.written()
    assert await letters.pull(5) is None
    await run
    window.check_all_settled()


async def test_without_a_place_the_stream_fails_with_the_error_as_its_cause() -> None:
    with pytest.raises(NoPlaceForDeadLetters, match=r"dead_letter\(sink\)") as caught:
        await iterate([0, 1]).map(odd_fails).to(ignore()).run(supervisor=PutAside())
    assert isinstance(caught.value.__cause__, ValueError)


def refuse(_: DeadLetter) -> None:
    raise OSError("disk full")


@pytest.mark.parametrize("operator", OPERATORS)
async def test_a_sink_that_fails_fails_the_stream_and_nothing_is_confirmed(operator: str) -> None:
    window = Witness()
    source = SourceProbe([[1, 2]], window=window)
    letters = flow(DeadLetter).with_attributes(supervisor=None).to(foreach(refuse))
    graph = OPERATORS[operator](source.as_source()).dead_letter(letters).to(ignore())
    with pytest.raises(OSError, match="disk full"):
        await graph.run(supervisor=FirstAside())
    assert window.progress is None
    assert source.closes == 1


class FirstAside:
    """Puts elements aside; a dead letter that fails stops."""

    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.STOP if isinstance(failure.element, DeadLetter) else Action.DEAD_LETTER)


async def test_a_sink_that_leaves_takes_no_more() -> None:
    letters = flow(DeadLetter).take(1).to(ignore())
    with pytest.raises(LetterBoxClosed):
        await iterate([1, 3]).map(odd_fails).dead_letter(letters).to(ignore()).run(supervisor=PutAside())


async def test_only_what_is_above_is_put_aside_there() -> None:
    letters: list[Any] = []
    graph = iterate([0, 1]).map(odd_fails).dead_letter(foreach(letters.append)).map(lambda x: 1 / x).to(to_list())
    with pytest.raises(NoPlaceForDeadLetters):
        await graph.run(supervisor=PutAside())
    assert [letter.element for letter in letters] in ([], [1])


async def test_more_letters_than_the_box_has_room_for_wait() -> None:
    count = 3000
    letters: list[Any] = []
    graph = iterate([1] * count).map_async(2000, odd_fails_later).dead_letter(foreach(letters.append)).to(ignore())
    await graph.run(supervisor=PutAside())
    assert len(letters) == count


async def test_a_run_without_failures_ends_its_letter_box() -> None:
    assert await iterate([2]).map(odd_fails).dead_letter(ignore()).to(to_list()).run(supervisor=Resume()) == [20]


async def test_the_box_is_open_as_long_as_a_side_branch_may_fail() -> None:
    letters: list[DeadLetter] = []
    window = Witness()
    source = SourceProbe([[0, 1], [2, 3]], window=window)
    slow = flow(int).buffer(100).map_async(1, odd_fails_later).to(ignore())
    graph = source.as_source().also_to(slow).dead_letter(foreach(letters.append)).take(4).to(to_list())
    assert await graph.run(supervisor=PutAside()) == [0, 1, 2, 3]
    assert [letter.element for letter in letters] == [1, 3]
    window.check_all_settled()
