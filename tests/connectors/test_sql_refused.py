"""Records that a database refuses in the middle of a stream are put aside or left out, and no other one is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.stages.writing import write_to, write_to_blocking
from teleporter_lab.engine.supervision import Action, Decision, Failure
from teleporter_lab.errors import BadRecord
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe
from tests.connectors.sql_target import DRIVERS, Target, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNT, ONE_IN, BATCH = 4000, 100, 250
BAD: list[dict[str, Any]] = [{"name": None}, {"name": "x" * 30}, {"price": -1.0}, {"id": 1 << 70}]
"""What makes a record one that the table does not take: not null, too long, a check, out of range."""
TABLE = (
    "CREATE TABLE goods (id BIGINT PRIMARY KEY, name VARCHAR(20) NOT NULL CHECK (length(name) <= 20), "
    "price DOUBLE PRECISION CHECK (price >= 0))"
)


@pytest.fixture(params=DRIVERS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    made = target_of(request, tmp_path / "goods.db")
    yield made
    made.database.close()


class Rules:
    """Lets every record pass in one way, and keeps the dead letters."""

    def __init__(self, action: Action) -> None:
        self._action = action
        self.letters: list[Any] = []
        self.kinds: set[type] = set()

    def decide(self, failure: Failure) -> Decision:
        self.kinds.add(type(failure.error))
        return Decision(self._action, 0.0)

    async def put(self, failure: Failure) -> None:
        self.letters.append(failure.element)


@pytest.mark.parametrize("action", [Action.DEAD_LETTER, Action.RESUME])
@pytest.mark.parametrize("mode", ["insert", "upsert", "updateElseInsert"])
async def test_one_in_a_hundred_is_refused(target: Target, mode: str, action: Action) -> None:
    target.run(TABLE)
    chance, rules, window = random.Random(f"{mode} {action}"), Rules(action), Witness(COUNT)
    records: list[dict[str, Any]] = [{"id": n, "name": f"name {n}", "price": n / 2} for n in range(COUNT)]
    bad = sorted(chance.sample(range(COUNT), COUNT // ONE_IN))
    for number, place in enumerate(bad):
        records[place] |= BAD[number % len(BAD)]
    source = SourceProbe([records[at : at + 100] for at in range(0, COUNT, 100)], window=window)
    write: Any = write_to_blocking if target.sink().blocking else write_to
    sink = write("sql", lambda: target.sink(mode=mode, keys=["id"]), BATCH, 60.0)
    await source.as_source().to(sink).run(None, rules, rules)
    assert target.rows() == [record for at, record in enumerate(records) if at not in set(bad)]
    aside = [records[at] for at in bad] if action is Action.DEAD_LETTER else []
    assert sorted(rules.letters, key=repr) == sorted(aside, key=repr)
    ledger = window.ledger()
    assert (ledger.written, ledger.skipped + ledger.dead_lettered) == (COUNT - len(bad), len(bad))
    assert rules.kinds == {BadRecord}
    window.check_all_settled()
