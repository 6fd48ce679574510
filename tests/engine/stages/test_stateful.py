"""What the operators that remember something do beyond the laws: one state a run, no trace of a failure in it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from teleporter_lab.engine.failure import Exited, RowsNeeded
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Action, Decision, Failure, Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled


class Once:
    """Fails the first time it gets one of `bad`."""

    def __init__(self, *bad: Any) -> None:
        self._bad = list(bad)

    def __call__(self, x: Any) -> Any:
        if x in self._bad:
            self._bad.remove(x)
            raise ValueError(f"bad {x}")
        return x


# ------------------------------------------------------------------------------------------------------------ scan


async def test_scan_keeps_its_state_over_an_element_that_is_left_out() -> None:
    call = Once(2)
    scanned = iterate([1, 2, 3]).scan(0, lambda total, x: total + call(x))
    assert await scanned.to(to_list()).run(supervisor=Resume()) == [1, 4]


async def test_scan_counts_an_element_once_that_was_tried_twice() -> None:
    call = Once(2)
    scanned = iterate([1, 2, 3]).scan(0, lambda total, x: total + call(x))
    assert await scanned.to(to_list()).run(supervisor=Retry(1)) == [1, 3, 6]


async def test_every_run_of_scan_begins_with_zero() -> None:
    graph = iterate([1, 2]).scan(10, lambda total, x: total + x).to(to_list())
    assert [await graph.run(), await graph.run()] == [[11, 13], [11, 13]]


# ---------------------------------------------------------------------------------------------------- stateful_map


def numbered(n: int, x: str) -> tuple[int, str]:
    return n + 1, f"{n}{x}"


async def test_every_run_of_stateful_map_has_a_state_of_its_own() -> None:
    made: list[list[str]] = []

    def create() -> list[str]:
        made.append([])
        return made[-1]

    def remember(state: list[str], x: str) -> tuple[list[str], int]:
        state.append(x)
        return state, len(state)

    graph = iterate("ab").stateful_map(create, remember).to(to_list())
    assert made == []
    assert [await graph.run(), await graph.run()] == [[1, 2], [1, 2]]
    assert made == [["a", "b"], ["a", "b"]]


async def test_an_element_that_fails_leaves_no_trace_in_the_state() -> None:
    call = Once("b")
    mapped = iterate("abc").stateful_map(lambda: 0, lambda n, x: numbered(n, call(x)))
    assert await mapped.to(to_list()).run(supervisor=Retry(1)) == ["0a", "1b", "2c"]
    call = Once("b")
    assert await mapped.to(to_list()).run(supervisor=Resume()) == ["0a", "1c"]


async def test_a_result_that_is_no_pair_is_the_elements_failure() -> None:
    bad: Any = lambda n, x: (n + 1, x) if x < 2 else None  # noqa: E731
    assert await iterate([0, 1, 2]).stateful_map(lambda: 0, bad).to(to_list()).run(supervisor=Resume()) == [0, 1]


async def test_on_complete_gives_one_element_more_that_answers_for_nothing() -> None:
    window = Witness()
    source = SourceProbe([["a", "b"], ["c"]], window=window)
    async with pulled(source.as_source().stateful_map(lambda: 0, numbered, str)) as stage:
        assert await drain(stage, 1) == ["0a", "1b", "2c", "3"]
    window.check_all_settled()
    assert window.ledger().expanded == 0


async def test_on_complete_may_give_nothing() -> None:
    assert await iterate("a").stateful_map(lambda: 0, numbered, lambda _: None).to(to_list()).run() == ["0a"]


async def test_on_complete_comes_before_an_error_from_above() -> None:
    found: list[str] = []
    broken = SourceProbe([["a"], OSError("lost")]).as_source().stateful_map(lambda: 0, numbered, str)
    with pytest.raises(OSError, match="lost"):
        await broken.to(foreach(found.append)).run()
    assert found == ["0a", "1"]


async def test_on_complete_comes_before_an_error_of_its_own_function() -> None:
    found: list[str] = []
    call = Once("b")
    with pytest.raises(ValueError, match="bad b"):
        await (
            iterate("ab")
            .stateful_map(lambda: 0, lambda n, x: numbered(n, call(x)), str)
            .to(foreach(found.append))
            .run()
        )
    assert found == ["0a", "1"]


def refuse(*_: Any) -> Any:
    raise LookupError("refused")


async def test_an_error_of_on_complete_fails_the_stream_and_stays() -> None:
    async with pulled(iterate("a").stateful_map(lambda: 0, numbered, refuse)) as stage:
        assert await stage.pull(5) is not None
        for _ in range(3):
            with pytest.raises(LookupError, match="refused"):
                await stage.pull(5)


async def test_an_error_that_was_there_before_on_complete_failed_stays_the_error() -> None:
    broken = SourceProbe([OSError("lost")]).as_source().stateful_map(lambda: 0, numbered, refuse)
    with pytest.raises(OSError, match="lost") as failed:
        await broken.to(to_list()).run()
    assert "refused" in failed.value.__notes__[0]


async def test_on_complete_is_not_called_when_the_stream_is_cancelled() -> None:
    called: list[int] = []
    cut = iterate("abc").stateful_map(lambda: 0, numbered, called.append).take(2)
    assert await cut.to(to_list()).run() == ["0a", "1b"]
    assert called == []


async def test_a_state_that_cannot_be_made_fails_the_stream_before_anything_is_read() -> None:
    source = SourceProbe([["a"]])
    async with pulled(source.as_source().stateful_map(refuse, numbered, str)) as stage:
        for _ in range(2):
            with pytest.raises(LookupError, match="refused"):
                await stage.pull(1)
    assert source.demands == []
    assert source.closes == 1


# ----------------------------------------------------------------------------------------------- map_with_resource


class Resource:
    """Says what is done with it; `opened` counts."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.opened = 0

    def create(self) -> int:
        self.opened += 1
        self.said.append(f"open {self.opened}")
        return self.opened

    def close(self, number: int) -> str:
        self.said.append(f"close {number}")
        return "this goes nowhere"


def used(number: int, x: Any) -> str:
    return f"{number}{x}"


async def test_a_resource_is_opened_by_the_first_pull_and_closed_at_the_end() -> None:
    resource = Resource()
    source = SourceProbe([["a", "b"], ["c"]])
    async with pulled(source.as_source().map_with_resource(resource.create, used, resource.close)) as stage:
        assert resource.said == []
        assert await drain(stage) == ["1a", "1b", "1c"]
    assert resource.said == ["open 1", "close 1"]


async def test_a_resource_that_was_never_opened_is_not_closed() -> None:
    resource = Resource()
    async with pulled(iterate("a").map_with_resource(resource.create, used, resource.close)):
        pass
    assert resource.said == []


async def test_a_resource_is_closed_after_a_failure() -> None:
    resource = Resource()
    for graph in (
        SourceProbe([["a"], OSError("lost")]).as_source().map_with_resource(resource.create, used, resource.close),
        iterate("a").map_with_resource(resource.create, refuse, resource.close),
        iterate("a").map_with_resource(resource.create, used, resource.close).map(refuse),
    ):
        resource.said.clear()
        with pytest.raises((OSError, LookupError)):
            await graph.to(to_list()).run()
        assert resource.said == [f"open {resource.opened}", f"close {resource.opened}"]


async def test_a_resource_is_closed_before_what_is_above_when_the_stream_is_cancelled() -> None:
    resource = Resource()
    source = SourceProbe(wait=True)

    def close(number: int) -> None:
        assert source.closes == 0
        resource.close(number)

    run = asyncio.ensure_future(source.as_source().map_with_resource(resource.create, used, close).to(to_list()).run())
    while not source.demands:
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert resource.said == ["open 1", "close 1"]
    assert source.closes == 1


async def test_a_resource_that_cannot_be_made_fails_the_stream_before_anything_is_read() -> None:
    resource = Resource()
    source = SourceProbe([["a"]])
    async with pulled(source.as_source().map_with_resource(refuse, used, resource.close)) as stage:
        for _ in range(2):
            with pytest.raises(LookupError, match="refused"):
                await stage.pull(1)
    assert (source.demands, source.closes, resource.said) == ([], 1, [])


async def test_an_error_of_close_fails_the_stream_and_what_is_above_is_closed() -> None:
    def close(_: int) -> None:
        raise SystemExit(3)

    source = SourceProbe([["a"]])
    with pytest.raises(Exited, match=r"sys\.exit"):
        await source.as_source().map_with_resource(Resource().create, used, close).to(to_list()).run()
    assert source.closes == 1


class Reload:
    """Reload up to `reloads` times an element, then leave it out."""

    def __init__(self, reloads: int) -> None:
        self._reloads = reloads

    def decide(self, failure: Failure) -> Decision:
        return Decision(Action.RELOAD if failure.tries <= self._reloads else Action.RESUME)


async def test_reload_closes_the_resource_and_opens_another_for_the_same_element() -> None:
    resource = Resource()
    call = Once("b")
    mapped = iterate("abc").map_with_resource(resource.create, lambda n, x: used(n, call(x)), resource.close)
    assert await mapped.to(to_list()).run(supervisor=Reload(1)) == ["1a", "2b", "2c"]
    assert resource.said == ["open 1", "close 1", "open 2", "close 2"]


async def test_retry_keeps_the_resource() -> None:
    resource = Resource()
    call = Once("b")
    mapped = iterate("abc").map_with_resource(resource.create, lambda n, x: used(n, call(x)), resource.close)
    assert await mapped.to(to_list()).run(supervisor=Retry(1)) == ["1a", "1b", "1c"]
    assert resource.said == ["open 1", "close 1"]


@pytest.mark.parametrize(("reloads", "left"), [(1, "d"), (2, "cd"), (9, "bcd")])
async def test_what_fails_while_it_reloads_is_a_failure_of_the_element(reloads: int, left: str) -> None:
    """Three times there is no new resource: for `b` after its own failure, and for what comes next when `b` is left
    out before there is one."""
    resource = Resource()
    call, missing = Once("b"), [LookupError("gone")] * 3

    def create() -> int:
        if resource.opened and missing:
            raise missing.pop()
        return resource.create()

    window = Witness()
    source = SourceProbe([list("abcd")], window=window)
    mapped = source.as_source().map_with_resource(create, lambda n, x: used(n, call(x)), resource.close)
    found = await mapped.to(to_list()).run(supervisor=Reload(reloads))
    assert found == ["1a", *(f"2{x}" for x in left)]
    assert resource.said == ["open 1", "close 1", "open 2", "close 2"]
    assert window.ledger().skipped == 3 - len(left)
    window.check_all_settled()


# --------------------------------------------------------------------------------- zip_with_index and drop_repeated


async def test_every_run_counts_from_0() -> None:
    graph = iterate("ab").zip_with_index().to(to_list())
    assert [await graph.run(), await graph.run()] == [[("a", 0), ("b", 1)]] * 2


async def test_drop_repeated_looks_at_the_one_before_only_and_over_chunks() -> None:
    window = Witness()
    source = SourceProbe([[1, 1], [1], [1, 2, 1], [1, 1]], window=window)
    async with pulled(source.as_source().drop_repeated()) as stage:
        assert await drain(stage) == [1, 2, 1]
    assert window.ledger().filtered == 5
    window.check_all_settled()


async def test_drop_repeated_keeps_a_none_that_comes_first() -> None:
    assert await iterate([None, None, 0, False]).drop_repeated().to(to_list()).run() == [None, 0]


async def test_an_element_left_out_is_not_the_one_before() -> None:
    call = Once("b")
    flow = iterate(["a", "b", "a", "c"]).drop_repeated(call)
    assert await flow.to(to_list()).run(supervisor=Resume()) == ["a", "c"]


# ----------------------------------------------------------------------------------------------------- intersperse


async def test_intersperse_reads_no_more_than_what_fills_the_demand() -> None:
    source = SourceProbe([list(range(10))])
    async with pulled(source.as_source().intersperse("-", "[", "]")) as stage:
        given: list[list[Any]] = []
        for demand in (1, 1, 1, 1, 4, 5):
            chunk = await stage.pull(demand)
            assert chunk is not None
            given.append(chunk.data)
    assert given == [["["], [0], ["-"], [1], ["-", 2, "-", 3], ["-", 4, "-", 5, "-"]]
    assert source.demands == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("frame", "found"),
    [(("-",), []), (("-", "["), ["["]), (("-", None, "]"), ["]"]), (("-", "[", "]"), ["[", "]"])],
)
async def test_a_stream_without_elements_is_its_frame(frame: Any, found: list[str]) -> None:
    empty: list[str] = []
    assert await iterate(empty).intersperse(*frame).to(to_list()).run() == found


async def test_what_is_added_answers_with_the_element_behind_it() -> None:
    window = Witness()
    source = SourceProbe([[0], [1]], window=window)
    async with pulled(source.as_source().intersperse("-", "[", "]")) as stage:
        for _ in range(3):
            chunk = await stage.pull(1)
            assert chunk is not None
            chunk.written()
        assert window.progress is not None
        assert window.progress.count == 1, "1 waits behind its separator, which is written"
        assert await drain(stage) == [1, "]"]
    assert window.ledger().expanded == 2
    window.check_all_settled()


async def test_there_is_no_end_before_an_error() -> None:
    found: list[Any] = []
    broken = SourceProbe([[0], OSError("lost")]).as_source().intersperse("-", "[", "]")
    with pytest.raises(OSError, match="lost"):
        await broken.to(foreach(found.append)).run()
    assert found == ["[", 0]


@pytest.mark.parametrize(
    "operator",
    [
        flow().zip_with_index(),
        flow().drop_repeated(),
        flow().intersperse("-"),
        flow().scan(0, lambda total, _: total),
        flow().stateful_map(list, refuse),
        flow().map_with_resource(list, refuse, len),
    ],
    ids=repr,
)
async def test_columns_are_refused(operator: Any) -> None:
    async with pulled(iterate([{"x": 1}]).to_batches().via(operator)) as stage:
        for _ in range(2):
            with pytest.raises(RowsNeeded, match=repr(operator).partition("(")[0]):
                await stage.pull(5)
