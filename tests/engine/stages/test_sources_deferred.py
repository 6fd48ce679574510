"""Ends that are made late, and sources made of several: when they are made, what becomes of what fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import Sink, flow
from teleporter_lab.engine.stages.combining import combine, zip_n
from teleporter_lab.engine.stages.deferred import MaybeValue, future_source, lazy_sink, lazy_source, maybe
from teleporter_lab.engine.stages.sinks import head, ignore, to_list
from teleporter_lab.engine.stages.sources import empty, iterate, never, repeat
from teleporter_lab.testing.laws import Witness, cut_off, drain
from teleporter_lab.testing.probes import SourceProbe, pulled

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import Source


async def test_a_lazy_source_is_made_by_the_first_pull_and_closed_with_the_stream() -> None:
    probes: list[SourceProbe] = []

    def make() -> Source[Any]:
        probes.append(SourceProbe([[1, 2], [3]]))
        return probes[-1].as_source()

    lazy = lazy_source(make)
    async with pulled(lazy):
        assert probes == []
    assert probes == [], "it was never needed"
    async with pulled(lazy) as stage:
        assert await drain(stage, 1) == [1, 2, 3]
        assert len(probes) == 1
    assert probes[0].closes == 1
    assert await lazy.take(2).to(to_list()).run() == [1, 2]
    assert [probe.closes for probe in probes] == [1, 1]


async def test_ends_made_late_have_side_ways_like_any_other() -> None:
    window = Witness()
    probe = SourceProbe([[1, 2], [3], [4, 5]], window=window)
    above = lazy_source(lambda: probe.as_source().also_to(flow().take(2).to(ignore())))
    below = lazy_sink(lambda _: flow().also_to(flow().take(1).to(ignore())).to(to_list()))
    assert await above.also_to(flow().take(3).to(ignore())).to(below).run() == [1, 2, 3, 4, 5]
    assert probe.closes == 1
    window.check_all_settled()


@pytest.mark.parametrize("error", [OSError("lost"), SystemExit(2)], ids=repr)
async def test_a_source_that_cannot_be_made_fails_the_stream(error: BaseException) -> None:
    def make() -> Source[int]:
        raise error

    async with pulled(lazy_source(make)) as stage:
        for _ in range(2):
            with pytest.raises((OSError, RuntimeError), match=r"lost|sys\.exit"):
                await stage.pull(1)


async def test_a_future_source_is_awaited_once_also_when_its_pull_is_cancelled() -> None:
    made: list[asyncio.Future[str]] = []

    def make() -> asyncio.Future[str]:
        made.append(asyncio.get_running_loop().create_future())
        return made[-1]

    async with pulled(future_source(make)) as stage:
        assert made == []
        assert await cut_off(stage.pull(3), 3) == (False, None)
        made[0].set_result("it")
        assert await drain(stage, 3) == ["it"]
    assert len(made) == 1


async def test_a_future_that_is_not_needed_any_more_is_cancelled() -> None:
    made: list[asyncio.Future[str]] = []

    async def make() -> str:
        made.append(asyncio.get_running_loop().create_future())
        return await made[-1]

    assert await future_source(make).merge(iterate("a")).take(1).to(to_list()).run() == ["a"]
    assert all(future.cancelled() for future in made)


@pytest.mark.parametrize("error", [OSError("lost"), SystemExit(2), asyncio.CancelledError()], ids=repr)
async def test_a_future_that_fails_fails_the_stream(error: BaseException) -> None:
    async def make() -> str:
        raise error

    async with pulled(future_source(make)) as stage:
        for _ in range(2):
            with pytest.raises((OSError, RuntimeError), match=r"lost|sys\.exit|cancelled by somebody"):
                await stage.pull(1)


# ------------------------------------------------------------------------------------------------------------ maybe


@pytest.mark.parametrize(("value", "out"), [("it", ["it"]), (None, []), (0, [0])])
async def test_a_maybe_is_what_was_set(value: Any, out: list[Any]) -> None:
    async with maybe().to(to_list()).start() as running:
        promise = running.value(MaybeValue)
        assert not running.done
        assert promise.set(value)
        assert not promise.set("another")
        assert await running.right() == out
        assert not promise.fail(OSError("late"))


async def test_a_maybe_may_fail() -> None:
    async def talk() -> None:
        async with maybe(str).map(str.upper).to(to_list()).start() as running:
            assert running.value(MaybeValue).fail(OSError("lost"))

    with pytest.raises(OSError, match="lost"):
        await talk()


async def test_a_maybe_whose_stream_has_ended_decides_nothing() -> None:
    async with maybe().merge(iterate([1])).take(1).to(to_list()).start() as running:
        assert await running.right() == [1]
        assert not running.value(MaybeValue).set(2)


async def test_a_maybe_that_is_waited_for_again_and_again_is_given_once() -> None:
    values: list[Any] = []

    async with pulled(maybe().map(values.append)) as stage:
        promise: Any = stage.upstream._value  # type: ignore[attr-defined]
        assert await cut_off(stage.pull(1), 2) == (False, None)
        promise.set("it")
        assert await cut_off(stage.pull(1), 0) == (False, None)
        await drain(stage, 1)
    assert values == ["it"]


# -------------------------------------------------------------------------------------------------------- lazy_sink


async def test_a_lazy_sink_is_made_of_the_first_element_and_gets_it_too() -> None:
    made: list[int] = []

    def make(first: int) -> Sink[int, list[int]]:
        made.append(first)
        return flow(int).map(lambda x: x * first).to(to_list())

    window = Witness()
    source = SourceProbe([[2, 3], [4]], window=window)
    assert await source.as_source().to(lazy_sink(make)).run() == [4, 6, 8]
    assert made == [2]
    assert source.closes == 1
    window.check_all_settled()
    assert await empty().to(lazy_sink(make)).run() is None
    assert made == [2]


async def test_a_lazy_sink_reads_no_more_than_the_sink_it_becomes() -> None:
    source = SourceProbe([[1, 2, 3]])
    assert await source.as_source().to(lazy_sink(lambda _: head())).run() == 1
    assert (source.given, source.closes) == (1, 1)


@pytest.mark.parametrize("error", [OSError("lost"), SystemExit(2)], ids=repr)
async def test_a_sink_that_cannot_be_made_fails_the_stream(error: BaseException) -> None:
    def make(_: int) -> Sink[int, None]:
        raise error

    window = Witness()
    source = SourceProbe([[1, 2]], window=window)
    with pytest.raises((OSError, RuntimeError), match=r"lost|sys\.exit"):
        await source.as_source().to(lazy_sink(make)).run()
    assert source.closes == 1
    assert (window.refused, window.progress) == (1, None)


async def test_a_lazy_sink_wants_rows() -> None:
    source = SourceProbe([pa.record_batch({"x": [1, 2]})])
    with pytest.raises(RowsNeeded, match="lazy_sink"):
        await source.as_source().to(lazy_sink(lambda _: ignore())).run()
    assert source.closes == 1


# -------------------------------------------------------------------------------------------------------- combining


async def test_combine_merges_or_goes_one_after_the_other() -> None:
    sources = [iterate("ab"), iterate("cd"), iterate("ef")]
    assert "".join(await combine(*sources, strategy="concat").to(to_list()).run()) == "abcdef"
    assert sorted(await combine(*sources).to(to_list()).run()) == list("abcdef")
    assert await combine(iterate("ab")).to(to_list()).run() == ["a", "b"]


async def test_zip_n_ends_and_fails_with_the_first_that_does_although_others_wait() -> None:
    assert await zip_n(never(), iterate("ab"), empty()).to(to_list()).run() == []
    source = SourceProbe([[1], OSError("lost")])
    with pytest.raises(OSError, match="lost"):
        await zip_n(iterate("a").concat(never()), source.as_source()).to(ignore()).run()
    assert source.closes == 1


async def test_a_tuple_answers_for_the_records_of_all() -> None:
    window = Witness()
    sources = [SourceProbe([list(range(5)), list(range(5))], window=window), SourceProbe([[i] for i in range(10)])]
    third = SourceProbe([list(range(3)), list(range(7))], window=window)
    zipped = zip_n(sources[0].as_source(), sources[1].as_source(), third.as_source(), repeat("x"))
    async with pulled(zipped) as stage:
        found = await drain(stage, 3, 1, 1000)
        assert len(found) == 10
        assert found[7] == (2, 7, 4, "x")
    window.check_all_settled()
    assert window.ledger().merged == 10


async def test_zip_n_holds_no_more_of_one_than_was_asked_for() -> None:
    slow, fast = SourceProbe([[1, 2], [3, 4, 5, 6]]), SourceProbe([list(range(100))])
    async with pulled(zip_n(slow.as_source(), fast.as_source())) as stage:
        found = 0
        while found < 6:
            chunk = await stage.pull(3)
            assert chunk is not None
            found += len(chunk)
            assert fast.given <= found + 3
        assert await stage.pull(50) is None


async def test_zip_n_wants_rows() -> None:
    window = Witness()
    source = SourceProbe([pa.record_batch({"x": [1, 2]})], window=window)
    with pytest.raises(RowsNeeded, match="zip_n"):
        await zip_n(source.as_source(), repeat(1)).to(ignore()).run()
    assert window.refused == 1
