"""What fold and reduce do beyond the laws: one value or none, and records that all wait for it."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.folding import NoElements
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import empty, iterate
from teleporter_lab.engine.supervision import Resume, Retry
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled


def add(a: int, b: int) -> int:
    return a + b


class Adding:
    """Adds; fails the first time it gets 3."""

    def __init__(self) -> None:
        self._failed = False

    def __call__(self, a: int, b: int) -> int:
        if b == 3 and not self._failed:
            self._failed = True
            raise ValueError(b)
        return a + b


async def test_fold_gives_one_value_and_reduce_too() -> None:
    assert await iterate([1, 2, 3]).fold("", lambda text, x: f"{text}{x}").to(to_list()).run() == ["123"]
    assert await iterate([1, 2, 3]).reduce(lambda a, b: a * 10 + b).to(to_list()).run() == [123]


async def test_the_only_element_is_its_own_reduction() -> None:
    assert await iterate(["x"]).reduce(max).to(to_list()).run() == ["x"]


async def test_fold_of_nothing_is_zero_and_answers_for_nothing() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3]], window=window)
    async with pulled(source.as_source().filter(lambda _: False).fold(7, add)) as stage:
        assert await drain(stage) == [7]
    window.check_all_settled()
    assert window.ledger().merged == 0


async def test_reduce_of_nothing_fails_and_says_what_would_be_right() -> None:
    async with pulled(empty().reduce(add)) as stage:
        for _ in range(2):
            with pytest.raises(NoElements, match=r"reduce\(add\) had no element .* use fold"):
                await stage.pull(1)


async def test_the_value_answers_for_every_record() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3], [4, 5]], window=window)
    async with pulled(source.as_source().fold(0, add)) as stage:
        chunk = await stage.pull(1)
        assert chunk is not None
        assert chunk.data == [15]
        assert window.room == window.size - 5
        assert window.progress is None
        chunk.written()
        assert await stage.pull(1) is None
    window.check_all_settled()
    assert (window.ledger().merged, window.ledger().written) == (4, 1)


async def test_the_value_is_accounted_for_when_the_last_elements_are_nobodys() -> None:
    window = Witness()
    source = SourceProbe([[1, 2], [3]], window=window)
    async with pulled(source.as_source().concat(iterate([4])).fold(0, add)) as stage:
        assert await drain(stage) == [10]
    window.check_all_settled()


@pytest.mark.parametrize("operator", [flow().fold(0, add), flow().reduce(add)], ids=repr)
async def test_there_is_no_value_before_an_error_and_nothing_is_confirmed(operator: Any) -> None:
    window = Witness()
    source = SourceProbe([[1, 2], OSError("lost")], window=window)
    found: list[int] = []
    with pytest.raises(OSError, match="lost"):
        await source.as_source().via(operator).tap(found.append).to(to_list()).run()
    assert found == []
    assert window.progress is None
    assert window.ledger().in_flight == 0


@pytest.mark.parametrize("make", [lambda f, call: f.fold(0, call), lambda f, call: f.reduce(call)])
async def test_an_element_that_fails_counts_once_or_not_at_all(make: Any) -> None:
    async def outcome(supervisor: Any) -> tuple[list[int], Witness]:
        window = Witness()
        source = SourceProbe([[1, 2, 3, 4]], window=window)
        found = await make(source.as_source(), Adding()).to(to_list()).run(supervisor=supervisor)
        window.check_all_settled()
        return found, window

    found, _ = await outcome(Retry(1))
    assert found == [10]
    found, window = await outcome(Resume())
    assert found == [7]
    assert window.ledger().skipped == 1


async def test_every_run_begins_anew() -> None:
    graph = iterate([1, 2]).fold(10, add).to(to_list())
    assert [await graph.run(), await graph.run()] == [[13], [13]]


async def test_columns_are_refused() -> None:
    with pytest.raises(RowsNeeded, match="fold"):
        await iterate([{"x": 1}]).to_batches().fold(0, add).to(to_list()).run()
