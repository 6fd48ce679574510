from __future__ import annotations

import asyncio
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from teleporter_lab.broker import documents as module
from teleporter_lab.broker.documents import Documents, literal_head, runtime_key
from teleporter_lab.broker.stores.base import ANYTHING, Expect
from teleporter_lab.broker.stores.memory import MemoryStore
from teleporter_lab.errors import Conflict, InvalidInput, InvalidKey, InvalidPattern, NotFound


@pytest.fixture
def documents() -> Documents:
    return Documents(MemoryStore())


@pytest.mark.parametrize("key", ["/position/ns/t/s/source", "/group/ns/g", "/a/b", "/instance/ns/a-b.c_d"])
def test_a_path_is_a_runtime_key(key: str) -> None:
    assert runtime_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/b",
        "/a/b/",
        "//a/b",
        "/a/b c",
        "/a/..",
        "/a/./b",
        "/a/b/c/d/e/f/g",
        "/a/" + "x" * 600,
        "/a\n/b",
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(key: str) -> None:
    with pytest.raises(InvalidKey, match="write a path"):
        runtime_key(key)


async def test_a_value_is_found_by_key(documents: Documents) -> None:
    await documents.write("/a/b", {"y": 1, "x": 2})
    assert (await documents.get("/a/b")).text == '{"x":2,"y":1}'
    await documents.delete("/a/b")
    assert await documents.find("/a/b") is None
    for verb in (documents.get, documents.delete):
        with pytest.raises(NotFound, match="/a/b"):
            await verb("/a/b")


async def test_swap_compares_values_not_texts(documents: Documents) -> None:
    await documents.swap("/a/b", None, {"y": 1, "x": 2})
    await documents.swap("/a/b", {"x": 2, "y": 1}, 7)
    with pytest.raises(Conflict):
        await documents.swap("/a/b", None, 8)
    with pytest.raises(InvalidInput):
        await documents.swap("/a/b", 7, float("nan"))
    assert (await documents.get("/a/b")).value == 7


async def test_a_range_by_prefix_and_by_regex(documents: Documents) -> None:
    for name in ("a1", "a2", "b1", "b-1"):
        await documents.write(f"/x/{name}", name)

    async def keys(pattern: str, start: int = 0, limit: int | None = None) -> list[str]:
        return [entry.key for entry in await documents.range(pattern, start, limit)]

    assert await keys("/x/a") == ["/x/a1", "/x/a2"]
    assert await keys("/x/.*1") == ["/x/a1", "/x/b-1", "/x/b1"]
    assert await keys("/x/.*1", 1, 1) == ["/x/b-1"]
    assert await keys("/x/.*1", 3, 1) == []
    assert await keys("/x/.*", 0, 0) == []
    assert await keys("") == ["/x/a1", "/x/a2", "/x/b-1", "/x/b1"]
    assert await keys("/x/b-1") == ["/x/b-1"]
    with pytest.raises(InvalidPattern):
        await keys("/x/(")


async def test_a_regex_looks_at_all_pages(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    for number in range(10):
        await documents.write(f"/x/{number}", number)
    assert [entry.value for entry in await documents.range("/x/[1-9]", 1, 7)] == [2, 3, 4, 5, 6, 7, 8]
    assert [entry.value for entry in await documents.range("/x/[1-9]")] == list(range(1, 10))


@pytest.mark.parametrize(
    ("pattern", "head"),
    [
        ("-ns/t50/.*", "-ns/t50/"),
        ("-ns/a*", "-ns/"),
        ("-ns/a{0,1}b", "-ns/"),
        ("-a?", "-"),
        ("-ns/a|x", ""),
        ("-ns/(?i)a", ""),
        (".*-a", ""),
        (r"\.x", ""),
        ("-", "-"),
        ("-?", ""),
    ],
)
def test_the_literal_head_of_a_pattern(pattern: str, head: str) -> None:
    assert literal_head(pattern) == head


@given(
    st.text("ab-/", max_size=4),
    st.lists(
        st.sampled_from(["a", "b", "-", "/", ".", ".*", "a*", "b?", "-+", "a{0,2}", "(a|b)", "[ab]", "|b"]), max_size=5
    ),
)
def test_a_match_begins_with_the_literal_head(key: str, parts: list[str]) -> None:
    pattern = "".join(parts)
    if regex.fullmatch(pattern, key):
        assert key.startswith(literal_head(pattern))


async def test_a_regex_may_not_look_for_ever(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    await documents.write("/x/1", 1)
    monkeypatch.setattr(module, "SCAN_SECONDS", -1.0)
    with pytest.raises(InvalidPattern, match="took longer"):
        await documents.range("/x/.*")


class Contested(MemoryStore):
    """Somebody else writes first, as often as it is told."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def write(self, key: str, value: str, expect: Expect = ANYTHING) -> None:
        if self.times:
            self.times -= 1
            await super().write(key, f"[{self.times}]")
        await super().write(key, value, expect)


async def test_an_edit_is_tried_again_when_others_are_faster() -> None:
    documents = Documents(Contested(5))
    assert (await documents.edit("/a/b", lambda value: [*value, "mine"] if value else [])).value == [0, "mine"]
    with pytest.raises(Conflict, match="changes all the time"):
        await Documents(Contested(1000)).edit("/a/b", lambda value: value)


async def test_edits_at_once_lose_nothing(documents: Documents) -> None:
    def add(value: Any) -> int:
        return (value or 0) + 1

    await asyncio.gather(*(documents.edit("/a/b", add) for _ in range(10)))
    assert (await documents.get("/a/b")).value == 10
