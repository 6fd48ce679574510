"""Which sinks are below a place: lines that split, flow together, come and go."""

from __future__ import annotations

from teleporter_lab.engine.ends import Line


class Called:
    """Counts how often it was called."""

    def __init__(self, line: Line) -> None:
        self.times = 0
        self.ends = line.ends
        self.ends.at_end(self)

    def __call__(self) -> None:
        self.times += 1


def test_the_end_of_a_line_is_its_sink() -> None:
    line = Line()
    called, forgotten = Called(line), Called(line)
    forgotten.ends.forget(forgotten)
    line.done()
    line.done()
    assert (called.times, forgotten.times) == (1, 0)


def test_above_a_split_all_ways_count_and_below_it_each_its_own() -> None:
    line = Line()
    above = Called(line)
    side, other = line.split(2, goes_on=True)
    main, here = Called(line), Called(side)
    line.done()
    assert (above.times, main.times, here.times) == (0, 1, 0)
    side.done()
    other.done()
    assert (above.times, main.times, here.times) == (1, 1, 1)


def test_a_way_may_split_again_and_a_line_may_end_in_ways() -> None:
    line = Line()
    top = Called(line)
    left, right = line.split(2, goes_on=False)
    inner = Called(left)
    (far,) = left.split(1, goes_on=True)
    line.done()
    right.done()
    left.done()
    assert (top.times, inner.times) == (0, 0)
    far.done()
    assert (top.times, inner.times) == (1, 1)


def test_a_line_that_flows_into_another_has_the_sinks_below_that_place() -> None:
    line = Line()
    side = line.side_line()
    before = Called(side)
    (way,) = side.split(1, goes_on=True)
    after = Called(side)
    (late,) = line.split(1, goes_on=True)  # below the place where they meet
    way.done()
    line.done()
    assert (before.times, after.times) == (0, 0)
    late.done()
    assert (before.times, after.times) == (1, 1)


def test_a_line_with_nothing_to_call_leaves_nothing_behind() -> None:
    line = Line()
    for _ in range(3):
        side = line.side_line()
        side.split(1, goes_on=True)
        one, other = Called(side), Called(side)
        assert len(line.ends._calls) == 1
        one.ends.forget(one)
        assert len(line.ends._calls) == 1
        other.ends.forget(other)
        other.ends.forget(other)
        assert not line.ends._calls
