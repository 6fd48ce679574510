from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from teleporter_lab.broker.tree import Tree, shown
from teleporter_lab.config.secret import MASK
from teleporter_lab.errors import Conflict, InvalidConfig, InvalidInput, InvalidKey, NotFound, UnknownTable

if TYPE_CHECKING:
    from tests.broker.conftest import World

SOURCE = "/source/ns/t/s/in"
KAFKA = {"category": "kafka", "client": {"topics": "orders"}}


@pytest.fixture
def tree(world: World) -> Tree:
    return world.service.tree


async def test_what_is_saved_is_found_as_it_was_written(tree: Tree) -> None:
    saved = await tree.save("/ns/shop", {"name": "The shop"})
    assert saved.key == "/namespace/shop"
    assert (await tree.get("/namespace/shop")).value == {"name": "The shop"}
    for pattern in ("/namespace/", "/ns/", "/ns/sh.*"):
        assert [entry.key for entry in await tree.range(pattern)] == ["/namespace/shop"]
    await tree.delete("/ns/shop")
    with pytest.raises(NotFound):
        await tree.get("/namespace/shop")


async def test_five_mistakes_are_five_problems_and_nothing_is_saved(tree: Tree) -> None:
    value = {
        "category": "kafka",
        "client": {"topic": "orders", "batch": "many"},
        "ack": {"cacheSize": 0},
        "address": {"key": "/nonsense"},
    }
    with pytest.raises(InvalidConfig) as caught:
        await tree.save(SOURCE, value)
    assert {problem.path for problem in caught.value.problems} == {
        "client.topic",
        "client.topics",
        "client.batch",
        "ack.cacheSize",
        "address.key",
    }
    assert await tree.find(SOURCE) is None
    assert {problem.path for problem in await tree.problems(SOURCE, value)} == {p.path for p in caught.value.problems}


@pytest.mark.parametrize("key", ["", "/", "nonsense", "/stream/ns/t", "/stream/ns/t/s/x", "/stream/ns/t/s x"])
async def test_a_malformed_key_is_refused(tree: Tree, key: str) -> None:
    for verb in (tree.get(key), tree.save(key, {}), tree.delete(key), tree.swap(key, None, {})):
        with pytest.raises(InvalidKey):
            await verb


async def test_an_unknown_table_is_named(tree: Tree) -> None:
    with pytest.raises(UnknownTable, match="strem"):
        await tree.save("/strem/ns/t/s", {})


@pytest.mark.parametrize("value", [None, 1, "text", [], True])
async def test_a_value_is_an_object(tree: Tree, value: object) -> None:
    with pytest.raises(InvalidInput):
        await tree.save("/namespace/ns", value)
    assert await tree.problems("/namespace/ns", value)


async def test_an_unknown_category_is_a_problem_that_lists_the_known_ones(tree: Tree) -> None:
    problems = await tree.problems(SOURCE, {"category": "kafak"})
    assert [problem.path for problem in problems] == ["category"]
    assert "kafka" in problems[0].message


async def test_a_tag_guards_against_writing_over_others(tree: Tree) -> None:
    first = await tree.save("/namespace/ns", {"name": "1"})
    await tree.save("/namespace/ns", {"name": "2"}, first.etag)
    for stale in (first.etag, "nonsense"):
        with pytest.raises(Conflict):
            await tree.save("/namespace/ns", {"name": "3"}, stale)
        with pytest.raises(Conflict):
            await tree.delete("/namespace/ns", stale)
    await tree.save("/namespace/ns", {"name": "3"}, "*")
    with pytest.raises(Conflict):
        await tree.save("/namespace/other", {}, "*")
    await tree.delete("/namespace/ns", (await tree.get("/namespace/ns")).etag)


async def test_compare_and_set(tree: Tree) -> None:
    await tree.swap("/namespace/ns", None, {"name": "1"})
    with pytest.raises(Conflict, match="exists already"):
        await tree.swap("/namespace/ns", None, {"name": "2"})
    with pytest.raises(Conflict):
        await tree.swap("/namespace/ns", {"name": "0"}, {"name": "2"})
    assert (await tree.swap("/namespace/ns", {"name": "1"}, {"name": "2"})).value == {"name": "2"}
    with pytest.raises(InvalidConfig):
        await tree.swap("/namespace/ns", {"name": "2"}, {"nam": "3"})


async def test_secrets_are_hidden_and_come_back(tree: Tree) -> None:
    written = {"category": "kafka", "client": {"topics": "${env:TOPICS}"}, "arguments": {"url": "a:${file:/run/pw}@b"}}
    entry = await tree.save("/address/ns/a", written)
    seen = shown(entry)
    assert seen["value"]["client"]["topics"] == MASK
    assert seen["value"]["arguments"]["url"] == f"a:{MASK}@b"
    assert seen["etag"] == entry.etag
    edited = {**seen["value"], "name": "edited"}
    assert (await tree.save("/address/ns/a", edited, seen["etag"])).value == {**written, "name": "edited"}
    assert await tree.problems("/address/ns/a", edited) == ()
    swapped = await tree.swap("/address/ns/a", shown(await tree.get("/address/ns/a"))["value"], seen["value"])
    assert swapped.value == written


async def test_a_mask_that_stands_for_nothing_is_a_problem(tree: Tree) -> None:
    with pytest.raises(InvalidConfig) as caught:
        await tree.save("/address/ns/a", {"category": "kafka", "client": {"topics": MASK}})
    assert "client.topics" in {problem.path for problem in caught.value.problems}


async def test_every_change_is_an_event(world: World) -> None:
    tree = world.service.tree
    with world.service.events.subscribe() as news:
        await tree.save("/namespace/ns", {})
        await tree.save("/namespace/ns", {"name": "x"})
        await tree.swap("/namespace/ns", {"name": "x"}, {})
        await tree.delete("/namespace/ns")
        events = [await anext(news) for _ in range(4)]
    assert [event["action"] for event in events] == ["ADD", "UPDATE", "UPDATE", "REMOVE"]
    assert {(event["type"], event["key"]) for event in events} == {("config", "/namespace/ns")}


async def test_ids_are_unique_and_grow(tree: Tree) -> None:
    ids = [await tree.next_id() for _ in range(3)]
    ids += await asyncio.gather(*(tree.next_id() for _ in range(10)))
    assert ids == list(range(1, 14))


async def test_an_edit_needs_something_to_edit(tree: Tree) -> None:
    with pytest.raises(NotFound):
        await tree.edit("/namespace/ns", lambda value: value)
    await tree.save("/namespace/ns", {"name": "x"})
    assert (await tree.edit("/namespace/ns", lambda value: value | {"id": 7})).value == {"name": "x", "id": 7}
    with pytest.raises(InvalidConfig):
        await tree.edit("/namespace/ns", lambda value: value | {"zap": 7})
