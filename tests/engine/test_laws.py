"""The laws every operator keeps, over one table of all of them: demand, end, errors, close, tokens, cancellation.

`engine/stage.py` states them and `teleporter_lab/testing/laws.py` has the witnesses; `stages/` tells what one operator
does, and has the table of sources. An operator that is missing here fails `test_every_operator_is_in_the_table`.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.graph import Flow
from teleporter_lab.engine.operators import Operators
from teleporter_lab.engine.stages.sinks import ignore, to_list
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.testing.laws import Witness, drain, drain_with_cuts
from teleporter_lab.testing.probes import SourceProbe, pulled
from tests.engine.laws.case import INPUT, Case

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.chunk import Chunk

CASES: list[Case] = [
    case
    for path in sorted((Path(__file__).parent / "laws").glob("*.py"))
    if path.stem != "case"
    for case in import_module(f"tests.engine.laws.{path.stem}").CASES
]
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
ENDS = {"balance", "broadcast", "partition", "unzip"}
"""Methods that end a flow, so that there is nothing to pull below them; `stages/` has their tests."""


def test_every_operator_is_in_the_table() -> None:
    families = [base for base in Flow.__mro__ if issubclass(base, Operators) and base not in (Flow, Operators)]
    operators = {name for family in families for name in vars(family) if not name.startswith("_")}
    assert operators - ENDS <= {case.operator for case in CASES}


def where(choose: Callable[[Case], bool]) -> Any:
    """The rows of the table for which `choose` is true."""
    return pytest.mark.parametrize("case", [case for case in CASES if choose(case)], ids=lambda case: case.name)


def same(found: list[Any], case: Case) -> bool:
    return found == case.out if case.ordered else sorted(found) == sorted(case.out)


def probe(size: int = 3, **options: Any) -> SourceProbe:
    return SourceProbe([INPUT[i : i + size] for i in range(0, 10, size)], **options)


# ---------------------------------------------------------------------------------------------------------- demand


@EVERY
@pytest.mark.parametrize("demands", [(1,), (2,), (3,), (7,), (1000,), (5, 1, 2), (1, 9)], ids=str)
@pytest.mark.parametrize("size", [1, 4, 10])
async def test_it_gives_what_it_should_and_never_more_than_asked(
    case: Case, demands: tuple[int, ...], size: int
) -> None:
    source = probe(size)
    async with pulled(case.flow(source.as_source())) as stage:
        assert same(await drain(stage, *demands), case)
    assert source.closes == 1


def one_to_one(case: Case) -> bool:
    return len(case.out) == len(INPUT) and not case.side and not case.own and case.reads_exactly


@where(one_to_one)
async def test_take_below_it_reads_just_what_it_takes(case: Case) -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(case.flow(source.as_source()).take(3)) as stage:
        assert len(await drain(stage, 1000)) == 3
    assert source.given == 3
    assert source.closes == 1


async def test_take_below_a_filter_reads_no_further_than_a_demand_of_three_can() -> None:
    source = SourceProbe([list(range(100))])
    async with pulled(source.as_source().filter(lambda x: x % 10 == 0).map(str).take(3)) as stage:
        assert await drain(stage, 1000) == ["0", "10", "20"]
    assert source.given == 21
    assert max(source.demands) == 3


async def test_take_while_reads_few_beyond_its_end() -> None:
    source = SourceProbe([list(range(1000))])
    async with pulled(source.as_source().take_while(lambda x: x < 5)) as stage:
        assert await drain(stage, 1000) == [0, 1, 2, 3, 4]
    assert source.demands == [1, 2, 4]


# ---------------------------------------------------------------------------------------------------------- tokens


@where(lambda case: case.counts and case.operator != "source_ack")
@pytest.mark.parametrize("demands", [(1,), (3,), (1000,), (4, 1)], ids=str)
async def test_every_token_is_settled_exactly_once(case: Case, demands: tuple[int, ...]) -> None:
    window = Witness()
    source = SourceProbe([[0, 1, 2], [3, 4, 5, 6], [7], [8, 9]], window=window)
    async with pulled(case.flow(source.as_source())) as stage:
        await drain(stage, *demands)
    window.check_all_settled()


@where(lambda case: not case.unsettled)
async def test_what_is_held_when_it_is_closed_stays_unconfirmed(case: Case) -> None:
    """The first record is never written, so nothing may be committed, whatever else was held back or read ahead."""
    window = Witness()
    async with pulled(case.flow(probe(2, window=window).as_source())) as stage:
        first: Chunk[Any] | None = await stage.pull(4)
        await asyncio.sleep(0)
    assert first is not None
    assert window.progress is None
    assert window.late == 0


@pytest.mark.parametrize("bad", [{0}, {4}, {9}, {0, 1, 2}, {6, 7, 8, 9}, set(INPUT)], ids=str)
@pytest.mark.parametrize("operator", ["map", "filter", "map_concat", "map_async", "map_async_unordered"])
async def test_what_a_rule_leaves_out_is_settled_too(operator: str, bad: set[int]) -> None:
    def plain(x: int) -> Any:
        if x in bad:
            raise ValueError(x)
        return [x, x] if operator == "map_concat" else x + 1

    async def waiting(x: int) -> int:
        await asyncio.sleep(0)
        return plain(x)

    arguments = (3, waiting) if operator.startswith("map_async") else (plain,)
    window = Witness()
    below: Flow[Any, Any] = getattr(SourceProbe([INPUT[:4], INPUT[4:]], window=window).as_source(), operator)(
        *arguments
    )
    async with pulled(below, supervisor=Resume()) as stage:
        found = await drain(stage, 3)
    assert len(found) == (10 - len(bad)) * (2 if operator == "map_concat" else 1)
    assert window.ledger().skipped == len(bad)
    window.check_all_settled()


# ---------------------------------------------------------------------------------------------------------- errors


async def outcome(case: Case, source: SourceProbe) -> tuple[list[Any], str]:
    """What a whole stream gives before it ends, or before its error."""
    found: list[Any] = []
    try:
        await case.flow(source.as_source()).map(found.append).to(ignore()).run()
    except OSError as error:
        return found, str(error)
    return found, ""


@EVERY
async def test_an_error_comes_after_all_that_came_before_it(case: Case) -> None:
    before = [[0, 1], [2]]
    found, error = await outcome(case, source := SourceProbe([*before, OSError("lost")]))
    whole, _ = await outcome(case, SourceProbe(before))
    if case.early:
        assert not error, "it had ended before the error"
    elif case.recovers is not None:
        assert (found, error) == ([*whole, *case.recovers], "")
    else:
        assert error == "lost"
        added, wanted = [x for x in found if x in case.own], [x for x in whole if x not in case.own]
        given = [x for x in found if x not in added]
        assert given == wanted if case.ordered else sorted(given) == sorted(wanted)
    assert source.closes == 1


@where(lambda case: not case.early and not case.side and case.recovers is None)
async def test_an_error_stays(case: Case) -> None:
    source = SourceProbe([[0, 1], OSError("lost"), [2, 3]])
    async with pulled(case.flow(source.as_source())) as stage:
        errors = 0
        for _ in range(30):
            try:
                chunk = await stage.pull(5)
            except OSError:
                errors += 1
            else:
                assert errors == 0, "something came after the error"
                assert chunk is not None
        assert errors > 2
    assert source.closes == 1


# ----------------------------------------------------------------------------------------------------------- close


@where(lambda case: not case.side)
@pytest.mark.parametrize("pulls", [0, 1])
async def test_closing_reaches_the_source_once(case: Case, pulls: int) -> None:
    source = SourceProbe([INPUT], wait=True)
    async with pulled(case.flow(source.as_source())) as stage:
        if case.out and pulls and not case.late:
            assert await stage.pull(1) is not None
        await stage.close()
        await stage.close()
    assert source.closes == 1


@EVERY
@pytest.mark.parametrize("again", [False, True], ids=["cancelled once", "cancelled twice"])
async def test_a_run_that_is_cancelled_at_any_step_closes_everything_once(case: Case, again: bool) -> None:
    """Cancels after k passes of the loop, for every k until the run is over before; a second time in the next pass."""
    before = asyncio.all_tasks()
    for k in range(1, 200):
        source = probe(passes=1, wait=k % 2 == 0)
        run = asyncio.ensure_future(case.flow(source.as_source()).to(to_list()).run())
        for _ in range(k):
            await asyncio.sleep(0)
        over = run.done()
        run.cancel()
        if again:
            await asyncio.sleep(0)
            run.cancel()
        await asyncio.wait((run,))
        await asyncio.sleep(0)
        assert source.closes == 1, f"cancelled after {k} passes"
        assert asyncio.all_tasks() == before, f"cancelled after {k} passes"
        if over or k > 60:
            break


# ---------------------------------------------------------------------------------------------------- cancellation


@EVERY
@pytest.mark.parametrize("often", [1, 3])
@pytest.mark.parametrize("slow", [0, 2])
async def test_a_pull_that_is_cancelled_at_any_step_loses_and_doubles_nothing(
    case: Case, often: int, slow: int
) -> None:
    for passes in range(9):
        window = Witness()
        source = probe(window=None if case.operator == "source_ack" else window, passes=slow)
        async with pulled(case.flow(source.as_source())) as stage:
            found = await drain_with_cuts(stage, passes, often)
            assert same(found, case), f"cancelled after {passes} passes"
        if case.counts:
            window.check_all_settled()
        assert source.closes == 1
