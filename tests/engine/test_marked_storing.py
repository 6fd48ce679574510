"""Marked batches under each rule: what is left out is left out with a mark, letters first, and never twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from teleporter_lab.engine.blocking import DriverThreads
from teleporter_lab.engine.failure import RowsNeeded
from teleporter_lab.engine.marked_storing import Marks, kept_mark
from teleporter_lab.engine.stages.marking import write_exactly
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.errors import AddressUnreachable, BadRecord, Conflict
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe
from tests.engine.vault import KEY, Deputy, Vault, marks_of, numbers, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.endpoints import Mark
    from teleporter_lab.engine.graph import RunnableGraph

RESUME, RETRY, RELOAD, STOP, ASIDE = Action.RESUME, Action.RETRY, Action.RELOAD, Action.STOP, Action.DEAD_LETTER


class Rules:
    """Decides as `of` says, and takes dead letters, each with how many records and marks the vault had by then."""

    def __init__(self, vault: Vault, of: Callable[[Failure], Action]) -> None:
        self.vault = vault
        self.asked: list[Failure] = []
        self.letters: list[Any] = []
        self.before: set[tuple[int, int]] = set()
        self._of = of

    def decide(self, failure: Failure) -> Decision:
        self.asked.append(failure)
        return Decision(self._of(failure))

    async def put(self, failure: Failure) -> None:
        await asyncio.sleep(0)
        self.letters.append(failure.element)
        self.before.add((len(self.vault.records), len(self.vault.batches)))


def always(vault: Vault, action: Action) -> Rules:
    return Rules(vault, lambda _: action)


async def run(vault: Vault, rules: Rules, window: Witness, *chunks: Any, size: int = 6) -> None:
    source = SourceProbe(chunks or [[0, 1, 2, 3, 4, 5]], window=window)
    sink = write_exactly("vault", vault.writer, marks_of(vault, window), size, 60.0)
    await source.as_source().to(sink).run(None, rules, rules)


def accounts(vault: Vault) -> tuple[int, int, int, int]:
    ledger = vault.ledger
    return ledger["read"], ledger["written"], ledger["skipped"], ledger["dead_lettered"]


@pytest.mark.parametrize("action", [RESUME, ASIDE])
async def test_records_that_the_writer_names_are_left_out_and_all_others_stored_with_the_mark(action: Action) -> None:
    vault, window = Vault(), Witness()
    vault.bad = {1, 4}
    rules = always(vault, action)
    await run(vault, rules, window)
    assert (vault.records, vault.position) == ([0, 2, 3, 5], 6)
    assert [failure.element for failure in rules.asked] == [1, 4]
    assert accounts(vault) == ((6, 4, 2, 0) if action is RESUME else (6, 4, 0, 2))
    assert rules.letters == ([] if action is RESUME else [1, 4])
    assert rules.before <= {(0, 0)}, "a letter was stored after the mark"
    assert window.progress is not None
    assert window.progress.ledger.as_dict() == vault.ledger
    window.check_all_settled()


@pytest.mark.parametrize("action", [RESUME, ASIDE])
async def test_of_records_that_nobody_names_the_whole_batch_goes_with_the_mark(action: Action) -> None:
    vault, window = Vault(), Witness()
    vault.bad, vault.names = {1}, False
    rules = always(vault, action)
    await run(vault, rules, window, [0, 1, 2], [3, 4, 5], size=3)
    assert (vault.records, vault.position) == ([3, 4, 5], 6)
    assert vault.batches == [[], [3, 4, 5]]
    assert accounts(vault) == ((6, 3, 3, 0) if action is RESUME else (6, 3, 0, 3))
    assert rules.letters == ([] if action is RESUME else [0, 1, 2])
    assert rules.before <= {(0, 0)}
    window.check_all_settled()


async def test_columns_are_picked_and_rows_put_aside() -> None:
    vault, window = Vault(), Witness()
    vault.bad = {1, 4}
    rules = always(vault, ASIDE)
    await run(vault, rules, window, pa.record_batch({"x": [0, 1, 2]}), pa.record_batch({"x": [3, 4, 5]}))
    assert (vault.records, rules.letters) == ([0, 2, 3, 5], [{"x": 1}, {"x": 4}])
    window.check_all_settled()


async def test_a_named_record_may_be_tried_again_with_its_batch() -> None:
    class Heals(Rules):
        def decide(self, failure: Failure) -> Decision:
            if failure.tries == 2:
                self.vault.bad.discard(4)
            return super().decide(failure)

    vault, window = Vault(), Witness()
    vault.bad = {1, 4}
    rules = Heals(vault, lambda failure: RETRY if failure.element == 4 else RESUME)
    await run(vault, rules, window)
    assert vault.calls.count("write 6") == 1
    assert vault.calls.count("write 5") == 2
    assert (vault.records, accounts(vault)) == ([0, 2, 3, 4, 5], (6, 5, 1, 0))
    window.check_all_settled()


async def test_rows_only_for_a_writer_of_rows() -> None:
    class OfRows(Deputy):
        columnar = False

    vault, window = Vault(), Witness()
    sink = write_exactly("vault", lambda: OfRows(vault), marks_of(vault, window), 6, 60.0)
    source = SourceProbe([pa.record_batch({"x": [0]})], window=window)
    with pytest.raises(RowsNeeded, match="vault works on rows"):
        await source.as_source().to(sink).run()
    assert window.refused == 1


# ------------------------------------------------------------------------------------------------ outcomes not known


@pytest.mark.parametrize("action", [RESUME, ASIDE])
async def test_a_batch_that_is_stored_after_all_is_not_left_out(action: Action) -> None:
    vault, window = Vault(["after"]), Witness()
    rules = always(vault, action)
    await run(vault, rules, window)
    assert (vault.records, rules.letters) == ([0, 1, 2, 3, 4, 5], [])
    assert accounts(vault) == (6, 6, 0, 0)
    assert window.ledger().written == 6
    window.check_all_settled()


@pytest.mark.parametrize("action", [RESUME, ASIDE])
async def test_a_batch_that_is_not_stored_is_left_out_with_a_mark_of_a_fresh_writer(action: Action) -> None:
    vault, window = Vault(["before"]), Witness()
    rules = always(vault, action)
    await run(vault, rules, window)
    assert (vault.records, vault.position) == ([], 6)
    assert rules.letters == ([] if action is RESUME else [0, 1, 2, 3, 4, 5])
    assert vault.calls.count("make") == vault.calls.count("close") == 2
    window.check_all_settled()


async def test_a_try_that_comes_through_late_counts_and_not_the_one_after_it() -> None:
    vault, window = Vault(["late"]), Witness()
    rules = always(vault, ASIDE)
    await run(vault, rules, window)
    assert vault.records == [0, 1, 2, 3, 4, 5]
    assert rules.letters == [0, 1, 2, 3, 4, 5], "they were put aside when it was not stored yet"
    assert accounts(vault) == (6, 6, 0, 0)
    assert window.ledger().written == 6
    window.check_all_settled()


@pytest.mark.parametrize("action", [RESUME, ASIDE])
async def test_records_are_not_left_out_where_nobody_can_tell_whether_they_are_stored(action: Action) -> None:
    vault, window = Vault(), Witness()

    class Goes(Rules):
        def decide(self, failure: Failure) -> Decision:
            self.vault.away = True
            return super().decide(failure)

    vault.faults = ["before"]
    rules = Goes(vault, lambda _: action)
    with pytest.raises(AddressUnreachable) as caught:
        await run(vault, rules, window)
    assert caught.value.__notes__[0] == "The records are left out only with a mark, and it cannot be stored."
    assert (rules.letters, window.progress, window.refused) == ([], None, 1)


async def test_a_mark_alone_cannot_be_left_out() -> None:
    vault, window = Vault(), Witness()
    vault.bad, vault.names = {1}, False

    class Full(Deputy):
        async def write_marked(self, records: Any, mark: Any) -> None:
            if not len(records):
                raise BadRecord("There is no room for a mark.")
            await super().write_marked(records, mark)

    sink = write_exactly("vault", lambda: Full(vault), marks_of(vault, window), 6, 60.0)
    rules = always(vault, ASIDE)
    with pytest.raises(BadRecord, match="no room for a mark"):
        await SourceProbe([[0, 1]], window=window).as_source().to(sink).run(None, rules, rules)
    assert (rules.letters, window.progress) == ([0, 1], None), "they will be read again"


async def test_stop_leaves_the_batch_unconfirmed() -> None:
    vault, window = Vault(), Witness()
    vault.bad = {4}
    with pytest.raises(BadRecord, match="4 is bad") as caught:
        await run(vault, always(vault, STOP), window)
    assert caught.value.__notes__ == ["In vault, on the element 4"]
    assert (vault.records, window.progress, window.refused) == ([], None, 1)


async def test_a_writer_that_does_not_open_is_made_anew_and_nothing_is_read_before() -> None:
    vault, window = Vault(), Witness()
    vault.away = True
    source = SourceProbe([[1]], window=window)

    class Back(Rules):
        def decide(self, failure: Failure) -> Decision:
            assert source.demands == []
            self.vault.away = failure.tries < 3
            return super().decide(failure)

    sink = write_exactly("vault", vault.writer, marks_of(vault, window), 6, 60.0)
    await source.as_source().to(sink).run(None, Back(vault, lambda _: RETRY))
    assert vault.records == [1]
    assert vault.calls.count("make") == vault.calls.count("close") == 4


async def test_a_failure_is_retried_as_often_as_the_rule_says() -> None:
    vault, window = Vault(["before"] * 5), Witness()
    rules = Rules(vault, lambda failure: RELOAD if failure.tries <= 2 else STOP)
    with pytest.raises(AddressUnreachable):
        await run(vault, rules, window)
    assert [failure.tries for failure in rules.asked] == [1, 2, 3]


async def test_the_kept_mark_is_asked_of_a_writer_that_is_closed_again() -> None:
    vault = Vault()
    assert await kept_mark(vault.writer(), KEY) is None
    vault.marks[KEY] = "{}"
    assert await kept_mark(vault.writer(), KEY) == "{}"
    vault.away = True
    with pytest.raises(AddressUnreachable):
        await kept_mark(vault.writer(), KEY)
    assert vault.calls.count("make") == vault.calls.count("close") == 3


async def test_the_kept_mark_of_a_writer_that_blocks_is_asked_in_a_thread() -> None:
    class Blocks:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def open(self) -> None:
            self.calls.append("open")

        def marked(self, key: str) -> str:
            return f"of {key}"

        def close(self) -> None:
            self.calls.append("close")

    writer = Blocks()
    async with DriverThreads() as threads:
        assert await kept_mark(writer, KEY, threads) == f"of {KEY}"
    assert writer.calls == ["open", "close"]


async def test_a_run_goes_on_from_the_last_mark_with_the_next_one() -> None:
    vault = Vault()
    for end in (3, 6):
        window = Witness()
        sink = write_exactly("vault", vault.writer, marks_of(vault, window), 3, 60.0)
        await numbers(vault, end, window).to(sink).run()
    assert vault.batches == [[0, 1, 2], [3, 4, 5]]


# ---------------------------------------------------------------------------------- systems that keep groups' positions


class Holding(Deputy):
    """A writer of the vault that says no text; as a fresh one it ends what another one had begun."""

    async def marked(self, key: str) -> str | None:
        self.vault.late = None
        await super().marked(key)
        return None

    async def holds(self, mark: Mark) -> bool:
        self.vault.calls.append("holds")
        return self.vault.position == mark.position


def holding(vault: Vault, window: Witness, end: int) -> RunnableGraph[None]:
    sink = write_exactly("vault", lambda: Holding(vault), Marks(window, KEY, record, None), 3, 60.0)
    vault.marks.clear()
    return numbers(vault, end, window).to(sink)


@pytest.mark.parametrize("faults", [["", "before"], ["", "after"], ["", "late"], ["after", "before"]])
async def test_a_batch_is_looked_for_by_its_position_where_no_text_is_kept(faults: list[str]) -> None:
    vault, window = Vault(faults), Witness()
    await holding(vault, window, 9).run(None, always(vault, RELOAD))
    assert vault.batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    window.check_all_settled()


async def test_a_run_does_not_go_on_where_the_group_has_moved_and_shuts_out_nobody() -> None:
    vault, window = Vault(["", "before"]), Witness()

    class Moves(Rules):
        def decide(self, failure: Failure) -> Decision:
            vault.marks[KEY] = '{"position": 100}'
            return super().decide(failure)

    with pytest.raises(Conflict, match="Another run has gone on"):
        await holding(vault, window, 9).run(None, Moves(vault, lambda _: RELOAD))
    assert vault.batches == [[0, 1, 2]]

    class Overtaken(Holding):
        async def write_marked(self, records: Any, mark: Mark) -> None:
            vault.calls.clear()
            raise Conflict("Another one has begun.")

    vault = Vault()
    sink = write_exactly("vault", lambda: Overtaken(vault), Marks(window := Witness(), KEY, record, None), 3, 60.0)
    with pytest.raises(Conflict, match="Another one has begun"):
        await numbers(vault, 9, window).to(sink).run(None, always(vault, RELOAD))
    assert vault.calls == ["close"], "nobody was asked, which would have fenced the other one"
