"""Passes behind a key read every row, also one whose key becomes visible after greater ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.connectors.rollers.passes import AskGreatest, AskPage, Passes
from teleporter_lab.errors import ConnectorError


def ints(keys: range) -> list[tuple[int]]:
    return [(key,) for key in keys]


def test_without_lag_a_pass_is_what_is_behind_the_last_key() -> None:
    passes = Passes("id", 0, (3,))
    assert passes.ask() == AskPage((3,))
    assert passes.fetched(ints(range(4, 7)), last=True) == [0, 1, 2]
    assert passes.ask() == AskPage((6,))
    assert passes.fetched([], last=True) == []
    assert passes.ask() == AskPage((6,))
    assert passes.given((5,)) == (5,)


def test_with_lag_a_pass_reads_the_overlap_up_to_what_was_seen_at_its_start() -> None:
    passes = Passes("id", 10, None)
    assert passes.ask() == AskGreatest()
    assert not passes.greatest(None)
    assert passes.greatest((30,))
    assert passes.ask() == AskPage(None, (30,), None)
    assert passes.fetched(ints(range(1, 20)), last=False) == list(range(19))
    assert passes.ask() == AskPage((19,), (30,), None)
    assert passes.fetched(ints(range(21, 31)), last=True) == list(range(10))
    assert passes.remembered == 10  # 21 to 30; 20 is missing yet
    assert passes.greatest((31,))
    assert passes.ask() == AskPage(None, (31,), 20)
    assert passes.fetched(ints(range(20, 32)), last=True) == [0, 11]
    assert (passes.given((30,)), passes.given((20,)), passes.given((31,))) == ((30,), (30,), (31,))


def test_a_restart_reads_the_overlap_again() -> None:
    passes = Passes("id", 10, (30,))
    passes.greatest((40,))
    assert passes.ask() == AskPage(None, (40,), 20)


def test_keys_that_are_gone_do_not_set_it_back() -> None:
    passes = Passes("id", 5, (30,))
    passes.greatest((12,))
    assert passes.fetched([], last=True) == []
    passes.greatest((13,))
    assert passes.ask() == AskPage(None, (13,), 25)


def test_a_lag_that_does_not_fit_is_told_before_a_row_is_read() -> None:
    with pytest.raises(ConnectorError, match="write how many ids"):
        Passes("id", timedelta(minutes=1), None).greatest((5,))


@dataclass(frozen=True)
class Case:
    """Ids 0, 1, 2, …: each becomes visible so many ids late; pages of `size`; after how many rows to go on anew."""

    late: list[int]
    lag: int
    size: int
    restarts: list[int]
    pace: list[int]
    """Ids that come up between two queries."""


CASES = st.builds(
    Case,
    late=st.lists(st.integers(0, 6), max_size=25),
    lag=st.integers(0, 6),
    size=st.integers(1, 5),
    restarts=st.lists(st.integers(0, 12), max_size=3),
    pace=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any),
)


@dataclass
class Table:
    """Time is counted in ids: at the time n the ids up to n are handed out, and those that are not late are there."""

    case: Case
    time: int = 0

    def there(self) -> list[tuple[int]]:
        late = self.case.late
        return [(key,) for key in range(len(late)) if key + min(late[key], self.case.lag) <= self.time]

    def page(self, ask: AskPage) -> list[tuple[int]]:
        return [
            key
            for key in self.there()
            if (ask.after is None or key > ask.after)
            and (ask.upto is None or key <= ask.upto)
            and (ask.since is None or key[0] >= ask.since)
        ]


def read(case: Case) -> list[int]:
    """The ids that are given until all are there and were looked for."""
    table, pace, restarts = Table(case), cycle(case.pace), list(case.restarts)
    given: list[int] = []
    position: Any = None
    passes, left = Passes("id", case.lag, position), restarts.pop() if restarts else -1
    over = 0
    while over < 3:
        ask = passes.ask()
        if isinstance(ask, AskGreatest):
            passes.greatest(max(table.there(), default=None))
        else:
            page = table.page(ask)
            last = len(page) <= case.size
            keys = page[: case.size]
            new = passes.fetched(keys, last)
            if last and table.time > len(case.late) + case.lag:
                over += 1
            for at in new:
                given.append(keys[at][0])
                position = passes.given(keys[at])
                left -= 1
                if left == 0:
                    passes, left = Passes("id", case.lag, position), restarts.pop() if restarts else -1
                    over = 0
                    break
        if not table.there() and table.time > len(case.late) + case.lag:
            over += 1
        table.time += next(pace)
    return given


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=10_000, deadline=None)
@given(case=CASES)
def test_every_row_is_read_and_once_without_a_restart(case: Case) -> None:
    given_ = read(case)
    assert sorted(set(given_)) == list(range(len(case.late)))
    if not case.restarts or not case.lag:
        assert len(given_) == len(case.late)
