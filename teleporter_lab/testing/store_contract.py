"""What every store promises, as tests. Owns the promise; refuses to know a backend: subclass it once for each.

class TestMyStore(StoreContract):
    async def open_store(self, folder: Path) -> Store:
        return await MyStore.open(folder / "store")
"""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleporter_lab.broker.stores.base import ANYTHING, Expect, Item, Store
from teleporter_lab.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

KEYS = st.text("ab/._-é", min_size=1, max_size=4)
VALUES = st.text(max_size=6).filter(lambda text: text.isprintable())
EXPECTED = st.one_of(st.just(ANYTHING), st.none(), VALUES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), KEYS, VALUES, EXPECTED),
        st.tuples(st.just("delete"), KEYS, st.just(""), EXPECTED),
    ),
    max_size=25,
)


class StoreContract(ABC):
    """Tests that hold for every Store."""

    lasting: ClassVar[bool] = True
    """What was written is there when the same folder is opened again."""

    @abstractmethod
    async def open_store(self, folder: Path) -> Store:
        """The store in `folder`, which is empty the first time."""

    @asynccontextmanager
    async def _store(self, folder: Path) -> AsyncGenerator[Store]:
        store = await self.open_store(folder)
        try:
            yield store
        finally:
            await store.close()

    async def test_a_key_that_was_never_written_has_nothing(self, tmp_path: Path) -> None:
        async with self._store(tmp_path) as store:
            assert await store.get("/a") is None
            assert await store.range("") == []
            assert await store.delete("/a") is False

    async def test_a_value_is_kept_replaced_and_forgotten(self, tmp_path: Path) -> None:
        async with self._store(tmp_path) as store:
            await store.write("/a", "1")
            assert await store.get("/a") == "1"
            await store.write("/a", "")
            assert await store.get("/a") == ""
            assert await store.delete("/a") is True
            assert await store.get("/a") is None

    @pytest.mark.parametrize("text", ["x" * 1_000_000, "é\n\0\U0001f600'\"%_"])
    async def test_any_text_is_a_value(self, tmp_path: Path, text: str) -> None:
        async with self._store(tmp_path) as store:
            await store.write("/a", text)
            assert await store.get("/a") == text
            assert await store.range("/") == [("/a", text)]

    async def test_a_range_is_sorted_and_paged(self, tmp_path: Path) -> None:
        async with self._store(tmp_path) as store:
            for name in ("c", "a", "b", "d"):
                await store.write(f"/x/{name}", name)
            await store.write("/w", "before")
            await store.write("/y", "after")
            every: list[Item] = [("/x/a", "a"), ("/x/b", "b"), ("/x/c", "c"), ("/x/d", "d")]
            assert await store.range("/x/") == every
            assert await store.range("/x/", 1, 2) == every[1:3]
            assert await store.range("/x/", 3, 9) == every[3:]
            assert await store.range("/x/", 4) == []
            assert await store.range("/x/", 0, 0) == []
            assert [key for key, _ in await store.range("")] == ["/w", *(key for key, _ in every), "/y"]

    async def test_a_prefix_is_literal(self, tmp_path: Path) -> None:
        async with self._store(tmp_path) as store:
            for key in ("a_c", "abc", "a%c", "a*c", "A_c"):
                await store.write(key, key)
            for prefix in ("a_", "a%", "a*", "A"):
                assert [key for key, _ in await store.range(prefix)] == [f"{prefix[:2]}c" if len(prefix) > 1 else "A_c"]

    async def test_what_is_expected_must_be_there(self, tmp_path: Path) -> None:
        async with self._store(tmp_path) as store:
            await store.write("/a", "1", None)
            await store.write("/a", "2", "1")
            for wrong in (None, "1"):
                with pytest.raises(Conflict, match="/a"):
                    await store.write("/a", "3", wrong)
                with pytest.raises(Conflict, match="/a"):
                    await store.delete("/a", wrong)
            assert await store.get("/a") == "2"
            with pytest.raises(Conflict, match="/b"):
                await store.write("/b", "1", "0")
            assert await store.get("/b") is None
            assert await store.delete("/a", "2") is True
            assert await store.delete("/a", None) is False

    async def test_of_many_who_expect_nothing_one_succeeds(self, tmp_path: Path) -> None:
        async with self._store(tmp_path) as store:
            tries = [store.write("/a", str(number), None) for number in range(20)]
            outcomes = await asyncio.gather(*tries, return_exceptions=True)
            winners = [number for number, outcome in enumerate(outcomes) if outcome is None]
            assert [type(outcome) for outcome in outcomes if outcome is not None] == [Conflict] * 19
            assert await store.get("/a") == str(winners[0])

    async def test_no_increment_is_lost(self, tmp_path: Path) -> None:
        async with self._store(tmp_path) as store:
            await store.write("/n", "0")

            async def increment() -> None:
                for _ in range(5):
                    while True:
                        now = await store.get("/n") or ""
                        try:
                            await store.write("/n", str(int(now) + 1), now)
                            break
                        except Conflict:
                            continue

            await asyncio.gather(*(increment() for _ in range(8)))
            assert await store.get("/n") == "40"

    async def test_what_was_written_lasts(self, tmp_path: Path) -> None:
        async with self._store(tmp_path) as store:
            await store.write("/a", "1")
            await store.write("/b", "2")
            await store.delete("/b")
        async with self._store(tmp_path) as store:
            assert await store.range("") == ([("/a", "1")] if self.lasting else [])

    async def test_closing_twice_does_nothing(self, tmp_path: Path) -> None:
        store = await self.open_store(tmp_path)
        await store.close()
        await store.close()

    # every subclass runs it on its own: that one function is called for several classes is what is meant
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(steps=STEPS, prefix=st.text("ab/", max_size=2), start=st.integers(0, 5), limit=st.integers(0, 5))
    async def test_it_behaves_as_a_sorted_dict(
        self, steps: list[tuple[str, str, str, Expect]], prefix: str, start: int, limit: int
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with self._store(Path(folder)) as store:
                model: dict[str, str] = {}
                for step in steps:
                    assert await _outcome(store, step) == _model_outcome(model, step)
                wanted = sorted(item for item in model.items() if item[0].startswith(prefix))
                assert await store.range(prefix) == wanted
                assert await store.range(prefix, start, limit) == wanted[start : start + limit]
                assert [await store.get(key) for key in model] == list(model.values())


async def _outcome(store: Store, step: tuple[str, str, str, Expect]) -> object:
    verb, key, value, expect = step
    try:
        return await (store.write(key, value, expect) if verb == "write" else store.delete(key, expect))
    except Conflict:
        return Conflict


def _model_outcome(model: dict[str, str], step: tuple[str, str, str, Expect]) -> object:
    verb, key, value, expect = step
    if expect is not ANYTHING and model.get(key) != expect:
        return Conflict
    if verb == "delete":
        return model.pop(key, None) is not None
    model[key] = value
    return None
