"""What an error becomes below: a last element, or another error; never an end without a word."""

from __future__ import annotations

import pytest

from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.testing.laws import Witness
from teleporter_lab.testing.probes import SourceProbe, pulled


def bad(x: int) -> int:
    if x == 3:
        raise OSError("away")
    return x


async def test_recover_gives_a_last_element_after_all_before_the_error() -> None:
    window = Witness()
    source = SourceProbe([[1, 2, 3, 4], [5]], window=window)
    found = await source.as_source().map(bad).recover(lambda error: len(str(error))).to(to_list()).run()
    assert found == [1, 2, 4]
    assert window.progress is None, "a failed record is not confirmed by a recovery"
    assert window.refused == 1


async def test_a_recovery_that_fails_is_an_error_and_stays_one() -> None:
    def worse(_: Exception) -> int:
        raise KeyError("worse")

    source = SourceProbe([[1], OSError("away")])
    async with pulled(source.as_source().recover(worse)) as stage:
        assert await stage.pull(1) is not None
        for _ in range(3):
            with pytest.raises(KeyError, match="worse"):
                await stage.pull(1)


async def test_map_error_names_its_cause() -> None:
    found: list[int] = []
    with pytest.raises(ValueError, match="told away") as caught:
        await iterate([1, 3]).map(bad).map_error(lambda e: ValueError(f"told {e}")).to(foreach(found.append)).run()
    assert found == [1]
    assert isinstance(caught.value.__cause__, OSError)
