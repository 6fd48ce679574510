"""What an error becomes below: a last element, another source or error, an end that was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.stages.sinks import foreach, ignore, to_list
from teleporter_lab.engine.stages.sources import failed, iterate, single
from teleporter_lab.engine.supervision import Resume, Retry, StopOnError
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe, pulled

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow, Source


def bad(x: int) -> int:
    if x == 3:
        raise OSError("away")
    return x


def leaves(error: Exception) -> Any:
    raise SystemExit(2)


def stops(error: Exception) -> Any:
    raise StopIteration


def worse(error: Exception) -> Any:
    raise KeyError("worse")


FAILING: dict[str, tuple[Callable[[Exception], Any], str]] = {
    "error": (worse, "worse"),
    "exit": (leaves, "sys.exit"),
    "stop": (stops, "StopIteration"),
}
OPERATORS: dict[str, Callable[[Source[Any], Any], Flow[Any, Any]]] = {
    "recover": lambda source, function: source.recover(function),
    "recover_with": lambda source, function: source.recover_with(1, function),
    "map_error": lambda source, function: source.map_error(function),
    "on_error_complete": lambda source, function: source.on_error_complete(function),
}


@pytest.mark.parametrize("how", FAILING)
@pytest.mark.parametrize("operator", OPERATORS)
async def test_a_function_that_fails_is_an_error_and_stays_one(operator: str, how: str) -> None:
    """It is called once, and what it was called for is the cause, if there is no nearer one."""
    function, said = FAILING[how]
    calls: list[Exception] = []

    def counted(error: Exception) -> Any:
        calls.append(error)
        return function(error)

    source = SourceProbe([[1], OSError("away")])
    async with pulled(OPERATORS[operator](source.as_source(), counted)) as stage:
        assert await stage.pull(1) is not None
        for _ in range(3):
            with pytest.raises(Exception, match=said) as caught:
                await stage.pull(1)
    assert len(calls) == 1
    assert caught.value.__cause__ is not None
    assert source.closes == 1


@pytest.mark.parametrize("operator", OPERATORS)
async def test_a_stream_that_does_not_fail_passes_as_it_is(operator: str) -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3]], window=window).as_source()
    assert await OPERATORS[operator](source, worse).to(to_list()).run() == [1, 2, 3]
    window.check_all_settled()


@pytest.mark.parametrize("operator", OPERATORS)
async def test_a_cancellation_is_no_failure(operator: str) -> None:
    calls: list[Exception] = []
    source = SourceProbe(wait=True)
    run = asyncio.ensure_future(OPERATORS[operator](source.as_source(), calls.append).to(ignore()).run())
    for _ in range(5):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert calls == []


# ------------------------------------------------------------------------------------------------------------- recover


async def test_recover_gives_a_last_element_after_all_before_the_error() -> None:
    window = Witness()
    source = SourceProbe([[1, 2, 3, 4], [5]], window=window)
    found = await source.as_source().map(bad).recover(lambda error: len(str(error))).to(to_list()).run()
    assert found == [1, 2, 4]
    assert window.progress is None, "a failed record is not confirmed by a recovery"
    assert window.refused == 1


async def test_what_a_rule_leaves_out_is_nothing_to_recover() -> None:
    graph = iterate([1, 3, 5]).map(bad).recover(lambda _: -1).to(to_list())
    assert await graph.run() == [1, -1]
    assert await graph.run(supervisor=Resume()) == [1, 5]


async def test_recover_with_closes_what_has_failed_and_goes_on_elsewhere() -> None:
    source, other = SourceProbe([[1], OSError("away")]), SourceProbe([[2], [3]])

    def function(error: Exception) -> Source[int]:
        assert source.closes == 1
        assert str(error) == "away"
        return other.as_source()

    assert await source.as_source().recover_with(1, function).to(to_list()).run() == [1, 2, 3]
    assert (source.closes, other.closes) == (1, 1)


@pytest.mark.parametrize(("retries", "found"), [(0, [1]), (1, [1, 10]), (2, [1, 10, 20])])
async def test_recover_with_gives_up_after_so_many(retries: int, found: list[int]) -> None:
    seen: list[int] = []
    errors: list[str] = []

    def function(error: Exception) -> Source[int]:
        errors.append(str(error))
        n = 10 * len(errors)
        return single(n).concat(failed(OSError(str(n))))

    source = SourceProbe([[1], OSError("0")]).as_source()
    with pytest.raises(OSError, match=str(10 * retries)):
        await source.recover_with(retries, function).to(foreach(seen.append)).run()
    assert seen == found
    assert errors == [str(10 * i) for i in range(retries)]


async def test_recover_with_goes_on_for_ever_and_lets_pass_what_it_has_nothing_for() -> None:
    tries = 0

    def function(error: Exception) -> Source[int] | None:
        nonlocal tries
        tries += 1
        return failed(OSError("away")) if tries < 50 else None

    with pytest.raises(OSError, match="away"):
        await failed(OSError("away")).recover_with(-1, function).to(ignore()).run()
    assert tries == 50
    with pytest.raises(ValueError, match="-1 for ever"):
        single(1).recover_with(-2, function)
    wrong: Any = lambda _: [1]  # noqa: E731
    with pytest.raises(TypeError, match="has to give a source"):
        await failed(OSError("away")).recover_with(1, wrong).to(ignore()).run()


async def test_a_side_sink_of_the_source_in_its_place_that_fails_is_its_failure() -> None:
    def store(x: int) -> None:
        raise OSError("side")

    places = iter([single(1).also_to(foreach(store)), single(2)])
    probe = failed(OSError("away")).recover_with(2, lambda _: next(places))
    assert (await probe.to(to_list()).run())[-1] == 2


async def test_what_has_failed_and_does_not_close_is_noted() -> None:
    error = OSError("away")
    source = SourceProbe([error])

    async def close() -> None:
        raise KeyError("closing")

    source.on_close = close  # type: ignore[method-assign]
    assert await source.as_source().recover_with(1, lambda _: single(1)).to(to_list()).run() == [1]
    assert "did not go well either" in error.__notes__[-1]


# -------------------------------------------------------------------------------------------------------- other errors


async def test_map_error_names_its_cause() -> None:
    found: list[int] = []
    with pytest.raises(ValueError, match="told away") as caught:
        await iterate([1, 3]).map(bad).map_error(lambda e: ValueError(f"told {e}")).to(foreach(found.append)).run()
    assert found == [1]
    assert isinstance(caught.value.__cause__, OSError)


async def test_map_error_may_give_the_same_error_and_nothing_but_an_error() -> None:
    error = OSError("away")
    with pytest.raises(OSError, match="away") as caught:
        await failed(error).map_error(lambda e: e).to(ignore()).run()
    assert caught.value is error
    assert error.__cause__ is None
    wrong: Any = str
    with pytest.raises(TypeError, match="gives an error, and it gave 'away'"):
        await failed(error).map_error(wrong).to(ignore()).run()


@pytest.mark.parametrize("when", [None, OSError, (KeyError, OSError), lambda e: str(e) == "away"])
async def test_on_error_complete_ends_without_one(when: Any) -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3, 4]], window=window).as_source()
    assert await source.map(bad).on_error_complete(when).to(to_list()).run() == [1, 2]
    assert window.progress is not None
    assert window.progress.position == 2
    assert window.refused == 1


@pytest.mark.parametrize("when", [KeyError, lambda _: False])
async def test_on_error_complete_lets_others_pass(when: Any) -> None:
    with pytest.raises(OSError, match="away"):
        await iterate([1, 3]).map(bad).on_error_complete(when).to(ignore()).run()


# ---------------------------------------------------------------------------------------------------- on_error_continue


async def later(x: int) -> int:
    return bad(x)


async def test_on_error_continue_leaves_out_and_tells() -> None:
    told: list[tuple[str, Any]] = []
    window = Witness()
    source = SourceProbe([[1, 2, 3, 4], [3, 5]], window=window).as_source()
    chain = source.map(bad).map_async(2, later).on_error_continue(lambda error, x: told.append((str(error), x)))
    assert await chain.to(to_list()).run() == [1, 2, 4, 5]
    assert told == [("away", 3), ("away", 3)]
    assert window.ledger().skipped == 2
    window.check_all_settled()


async def test_on_error_continue_is_for_what_stands_above_and_the_nearer_rule_wins() -> None:
    told: list[int] = []
    above = iterate([1, 3, 5]).on_error_continue(lambda _, x: told.append(x))
    with pytest.raises(OSError, match="away"):
        await above.map(bad).to(ignore()).run()
    nearer = iterate([1, 3, 5]).map(bad).with_attributes(supervisor=StopOnError())
    with pytest.raises(OSError, match="away"):
        await nearer.on_error_continue(lambda _, x: told.append(x)).to(ignore()).run(supervisor=Retry(2))
    assert told == []
    with pytest.raises(OSError, match="source"):
        await failed(OSError("source")).on_error_continue(lambda _, x: told.append(x)).to(ignore()).run()


@pytest.mark.parametrize("how", FAILING)
async def test_an_error_of_its_function_stops_the_stream_with_both(how: str) -> None:
    function, said = FAILING[how]
    chain = iterate([1, 3]).map(bad).on_error_continue(lambda error, _: function(error))
    with pytest.raises(OSError, match="away") as caught:
        await chain.to(ignore()).run()
    assert any("on_error_continue failed" in note and said in note for note in caught.value.__notes__)
