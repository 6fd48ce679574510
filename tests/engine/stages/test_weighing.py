"""How many elements make up a weight, going by those seen."""

from __future__ import annotations

from typing import Any

import pytest

from teleporter_lab.engine.stages.weighing import Typical, checked
from teleporter_lab.engine.turnstile import MAX_CHUNK


def test_one_as_long_as_nothing_is_known_then_as_many_as_the_last_ones_say() -> None:
    typical = Typical()
    assert typical.count(100) == 1
    typical.saw(4, 40)
    assert typical.count(100) == 10
    assert typical.count(5) == 1
    assert typical.count(-5) == 1
    for _ in range(50):
        typical.saw(1, 2)
    assert typical.count(100) in (49, 50)


def test_never_more_than_a_chunk_holds_also_when_they_weigh_nothing() -> None:
    typical = Typical()
    typical.saw(3, 0)
    assert typical.count(1) == MAX_CHUNK
    typical.saw(1, 1e-300)
    assert typical.count(1e300) == MAX_CHUNK


@pytest.mark.parametrize("number", [-1, float("nan"), float("inf")])
def test_a_weight_is_finite_and_not_below_zero(number: Any) -> None:
    with pytest.raises(ValueError, match="finite number of 0 or more"):
        checked(number)
    assert checked(0) == 0
    assert checked(2.5) == 2.5
