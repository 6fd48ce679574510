"""What the operators that only look do beyond the laws: which lines are written, and what is called when."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from teleporter_lab.engine.failure import Exited, RowsNeeded
from teleporter_lab.engine.stages.sinks import foreach, head, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.engine.supervision import Resume
from teleporter_lab.testing.laws import Witness, drain
from teleporter_lab.testing.probes import SourceProbe, pulled


class Lines(logging.Handler):
    """A logger's lines, as `LEVEL text`."""

    def __init__(self, level: int = logging.DEBUG) -> None:
        super().__init__()
        self.found: list[str] = []
        self.logger = logging.Logger("lines", level)
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"{record.levelname} {record.getMessage()}")


def refuse(*_: Any) -> Any:
    raise LookupError("refused")


# ------------------------------------------------------------------------------------------------------------- log


async def test_there_is_a_line_for_each_element_and_for_the_end() -> None:
    lines = Lines()
    async with pulled(iterate(["a", 2]).log("orders", logger=lines.logger)) as stage:
        await drain(stage)
    assert lines.found == ["DEBUG orders: a", "DEBUG orders: 2", "DEBUG orders: ended"]


async def test_a_line_shows_what_extract_makes_of_the_element() -> None:
    lines = Lines()
    logged = iterate([{"id": 7, "secret": "x"}]).log("orders", logging.INFO, lines.logger, lambda x: x["id"])
    assert await logged.to(to_list()).run() == [{"id": 7, "secret": "x"}]
    assert lines.found == ["INFO orders: 7", "INFO orders: ended"]


async def test_nothing_is_looked_at_when_the_level_is_not_enabled() -> None:
    lines = Lines(logging.INFO)
    assert await iterate("ab").log("orders", logger=lines.logger, extract=refuse).to(to_list()).run() == ["a", "b"]
    assert lines.found == []


async def test_a_failure_is_an_error_whatever_the_level() -> None:
    lines = Lines(logging.WARNING)
    with pytest.raises(OSError, match="lost"):
        await SourceProbe([["a"], OSError("lost")]).as_source().log("orders", logger=lines.logger).to(to_list()).run()
    assert lines.found == ["ERROR orders: failed: OSError('lost')"]


async def test_the_last_line_comes_once() -> None:
    lines = Lines()
    async with pulled(SourceProbe([OSError("lost")]).as_source().log("orders", logger=lines.logger)) as stage:
        for _ in range(3):
            with pytest.raises(OSError, match="lost"):
                await stage.pull(1)
    assert lines.found == ["ERROR orders: failed: OSError('lost')"]


async def test_a_stream_that_is_cut_was_cancelled_here() -> None:
    lines = Lines()
    assert await iterate("abc").log("orders", logger=lines.logger).to(head()).run() == "a"
    assert lines.found == ["DEBUG orders: a", "DEBUG orders: cancelled"]


async def test_an_extract_that_fails_is_supervised() -> None:
    lines = Lines()
    window = Witness()
    flow = SourceProbe([[1, 0, 2]], window=window).as_source().log("orders", 20, lines.logger, lambda x: 2 // x)
    assert await flow.to(to_list()).run(supervisor=Resume()) == [1, 2]
    assert lines.found == ["INFO orders: 2", "INFO orders: 1", "INFO orders: ended"]
    window.check_all_settled()
    with pytest.raises(ZeroDivisionError):
        await iterate([0]).log("orders", 20, lines.logger, lambda x: 2 // x).to(to_list()).run()
    assert lines.found[-1].startswith("ERROR orders: failed: ZeroDivisionError")


async def test_columns_have_a_line_for_each_batch() -> None:
    lines = Lines()
    batches = iterate([{"x": 1}]).to_batches().log("orders", logger=lines.logger, extract=refuse)
    assert await batches.to_rows().to(to_list()).run() == [{"x": 1}]
    assert lines.found == ["DEBUG orders: a batch of 1 rows", "DEBUG orders: ended"]


async def test_without_a_logger_it_is_the_projects(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="teleporter_lab"):
        await iterate("a").log("orders", logging.INFO).to(to_list()).run()
    assert caplog.messages == ["orders: a", "orders: ended"]


# ------------------------------------------------------------------------------------------------- tap, do_on_first


async def test_tap_gives_the_element_and_not_what_the_function_gave() -> None:
    seen: list[int] = []
    assert await iterate([1, 2]).tap(seen.append).to(to_list()).run() == [1, 2]
    assert seen == [1, 2]


async def test_an_element_whose_tap_fails_goes_no_further() -> None:
    window = Witness()
    source = SourceProbe([[1, 0, 2]], window=window)
    assert await source.as_source().tap(lambda x: 1 // x).to(to_list()).run(supervisor=Resume()) == [1, 2]
    assert window.ledger().skipped == 1
    window.check_all_settled()
    found: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await iterate([1, 0, 2]).tap(lambda x: 1 // x).to(foreach(found.append)).run()
    assert found == [1]


async def test_do_on_first_is_called_with_the_first_element_before_it_goes_on() -> None:
    order: list[Any] = []
    flow = SourceProbe([[1, 2], [3]]).as_source().do_on_first(lambda x: order.append(("first", x)))
    await flow.to(foreach(order.append)).run()
    assert order == [("first", 1), 1, 2, 3]


async def test_when_the_first_element_is_left_out_the_next_one_is_the_first() -> None:
    seen: list[float] = []
    flow = SourceProbe([[0], [0, 2, 4]]).as_source().do_on_first(lambda x: seen.append(1 / x))
    assert await flow.to(to_list()).run(supervisor=Resume()) == [2, 4]
    assert seen == [0.5]


async def test_a_stream_without_elements_has_no_first() -> None:
    empty: list[int] = []
    assert await iterate(empty).do_on_first(refuse).to(to_list()).run() == []


@pytest.mark.parametrize("operator", ["tap", "do_on_first"])
async def test_columns_are_refused(operator: str) -> None:
    columns = iterate([{"x": 1}]).to_batches()
    with pytest.raises(RowsNeeded, match=operator):
        await getattr(columns, operator)(print).to(to_list()).run()


# ---------------------------------------------------------------------------------------------------- do_on_cancel


class Called:
    """Counts, and notes how often the source was closed by then."""

    def __init__(self, source: SourceProbe) -> None:
        self._source = source
        self.closes: list[int] = []

    def __call__(self) -> None:
        self.closes.append(self._source.closes)


async def test_a_stream_that_ends_or_fails_was_not_cancelled() -> None:
    source = SourceProbe([[1]])
    called = Called(source)
    assert await source.as_source().do_on_cancel(called).to(to_list()).run() == [1]
    with pytest.raises(OSError, match="lost"):
        await SourceProbe([OSError("lost")]).as_source().do_on_cancel(called).to(to_list()).run()
    assert called.closes == []


async def test_what_has_enough_below_cancels_before_what_is_above_is_closed() -> None:
    source = SourceProbe([[1, 2]])
    called = Called(source)
    assert await source.as_source().do_on_cancel(called).take(1).to(to_list()).run() == [1]
    assert called.closes == [0]
    assert source.closes == 1


async def test_what_fails_below_cancels() -> None:
    source = SourceProbe([[1, 2]])
    called = Called(source)
    with pytest.raises(LookupError, match="refused"):
        await source.as_source().do_on_cancel(called).map(refuse).to(to_list()).run()
    assert called.closes == [0]


async def test_a_stream_that_was_never_pulled_is_cancelled_when_it_is_closed() -> None:
    source = SourceProbe([[1, 2]])
    called = Called(source)
    async with pulled(source.as_source().do_on_cancel(called)) as stage:
        await stage.close()
        await stage.close()
    assert called.closes == [0]


async def test_a_run_that_is_cancelled_calls_it_once() -> None:
    source = SourceProbe(wait=True)
    called = Called(source)
    run = asyncio.ensure_future(source.as_source().do_on_cancel(called).to(to_list()).run())
    while not source.demands:
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait((run,))
    assert run.cancelled()
    assert called.closes == [0]
    assert source.closes == 1


async def test_an_error_of_the_function_fails_the_stream_when_all_is_closed() -> None:
    def leave() -> None:
        raise SystemExit(1)

    for function, error in ((refuse, LookupError), (leave, Exited)):
        source = SourceProbe([[1, 2]])
        with pytest.raises(error):
            await source.as_source().do_on_cancel(function).take(1).to(to_list()).run()
        assert source.closes == 1
