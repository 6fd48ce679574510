"""Where letters begin: the operator of a name, with all that is below it, or a sentence why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.engine.graph import flow
from teleporter_lab.engine.stages.batches import from_batches
from teleporter_lab.engine.stages.sinks import foreach, to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.errors import NotFound
from teleporter_lab.instance.place import below

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import RunnableGraph


def add_one(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return x * 2


def shout(row: dict[str, Any]) -> str:
    return str(row["x"]) + "!"


ROWS = iterate([0]).map(add_one).map(double).to(to_list())


async def sent(graph: RunnableGraph[Any], place: str, *elements: Any, columnar: bool = False) -> Any:
    return await below(graph, place, iterate(elements), columnar=columnar).run()


async def test_letters_run_through_the_operator_and_all_below_it() -> None:
    assert await sent(ROWS, "map(add_one)", 1, 2) == [4, 6]
    assert await sent(ROWS, "map(double)", 1, 2) == [2, 4]
    assert await sent(ROWS, "to_list", 1, 2) == [1, 2]


async def test_a_name_of_its_own_is_the_place() -> None:
    graph = iterate([0]).map(add_one).map(add_one).with_attributes(name="second").to(to_list())
    assert await sent(graph, "second", 1) == [2]
    assert await sent(graph, "map(add_one)", 1) == [3]


async def test_an_operator_inside_another_is_a_place_and_keeps_what_surrounds_it() -> None:
    letters: list[Any] = []

    def odd(x: int) -> int:
        if x % 2:
            raise ValueError("odd")
        return x

    put_aside = flow(int).map(add_one).map(odd)
    graph = iterate([0]).via(put_aside).dead_letter(foreach(letters.append)).async_boundary().map(double).to(to_list())
    assert await sent(graph, "map(add_one)", 1, 3) == [4, 8]
    assert await sent(graph, "map(double)", 1) == [2]
    assert [step.name for step in below(graph, "map(odd)", iterate([1])).steps] == [
        "iterate",
        "async_boundary(1024)",
        "map(double)",
    ]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("map(gone)", "There is no operator 'map(gone)' in the stream"),
        ("iterate", "There is no operator 'iterate'"),
        ("map(merged)", "merged in, of sub-streams and of branches"),
        ("map(add_one)", "There are 2 operators 'map(add_one)' in the stream"),
    ],
)
def test_what_is_not_there_or_twice_says_what_to_do(place: str, said: str) -> None:
    other = iterate([1]).map(add_one).with_attributes(name="map(merged)")
    graph = iterate([0]).map(add_one).merge(other).map(add_one).to(to_list())
    with pytest.raises(NotFound) as caught:
        below(graph, place, iterate([1]))
    assert said in caught.value.message
    assert '.with_attributes(name="…")' in caught.value.message


async def test_rows_are_put_into_columns_where_the_stream_has_columns() -> None:
    graph = from_batches([]).select("x").to_rows().map(shout).to(to_list())
    assert await sent(graph, "select(x)", {"x": 1, "y": 2}, columnar=True) == ["1!"]
    assert await sent(graph, "to_rows", {"x": 1}, columnar=True) == ["1!"]
    assert await sent(graph, "map(shout)", {"x": 1}, columnar=True) == ["1!"]
    later = iterate([{"x": 0}]).map(dict).to_batches().select("x").to_rows().to(to_list())
    assert await sent(later, "map(dict)", {"x": 1, "y": 2}) == [{"x": 1}]
    assert await sent(later, "select(x)", {"x": 1, "y": 2}) == [{"x": 1}]
