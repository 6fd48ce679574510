"""A stream made ready: in one go, or refused with what was running untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.config.key import Key
from teleporter_lab.errors import InvalidConfig, NotFound, TemplateError
from teleporter_lab.instance.logic import content_hash
from teleporter_lab.instance.plan import prepare
from tests.instance.conftest import INSTANCE, STREAM, Desk
from tests.instance.seat import Seat, seat_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running
    from teleporter_lab.client import Client

KEY = Key.parse(STREAM)
COPY = "@stream_logic\ndef copy(s):\n    return s.source('rows').to(s.sink('lines'))\n"


@pytest.fixture
async def seat(broker: Running, client: Client, tmp_path: Path) -> AsyncIterator[Seat]:
    await Desk(client, tmp_path).prepare(10)
    await client.save(STREAM, {"template": COPY})
    async with seat_at(broker) as found:
        yield found


async def test_it_is_ready_and_nothing_is_opened(seat: Seat, tmp_path: Path) -> None:
    (tmp_path / "in.csv").unlink()
    plan = await prepare(seat.services, KEY)
    assert (plan.key, plan.hash) == (KEY, content_hash(COPY))
    assert callable(plan.logic)
    assert not (tmp_path / "out.jsonl").exists()


async def test_what_makes_a_difference_makes_another_plan(seat: Seat, client: Client) -> None:
    async def saved(key: str, **fields: Any) -> bool:
        value = (await client.get(key, raw=True))["value"]
        await client.save(key, {**value, **fields})
        return (await prepare(seat.services, KEY)).same_as(plan)

    plan = await prepare(seat.services, KEY)
    assert plan.same_as(plan)
    assert not plan.same_as(None)
    assert (await prepare(seat.services, KEY)).same_as(plan)
    assert await saved("/partition/test/task/all", name="Everything")
    source = (await client.get("/source/test/task/copy/rows"))["value"]
    assert not await saved("/source/test/task/copy/rows", client={**source["client"], "delimiter": ";"})
    assert await saved("/source/test/task/copy/rows", client=source["client"])
    assert not await saved(STREAM, template=COPY + "\n")
    assert await saved(STREAM, template=COPY)
    assert not await saved(STREAM, arguments={"a": 1})
    assert await saved(STREAM, arguments={})
    assert not await saved(STREAM, errorRules=["x => restart"])


async def test_a_changed_variable_or_secret_makes_another_plan(
    seat: Seat, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEPORTER_TEST_WORD", "one")
    await client.save("/variable/test/v", {"arguments": {"x": 1}})
    arguments = {"x": "${variable:/variable/test/v#x}", "y": "${env:TELEPORTER_TEST_WORD}"}
    await client.save(STREAM, {"template": COPY, "arguments": arguments})
    plan = await prepare(seat.services, KEY)
    await client.save("/variable/test/v", {"arguments": {"x": 2}})
    changed = await prepare(seat.services, KEY)
    assert not changed.same_as(plan)
    monkeypatch.setenv("TELEPORTER_TEST_WORD", "two")
    assert not (await prepare(seat.services, KEY)).same_as(changed)


async def test_the_broker_hears_what_is_used(seat: Seat, client: Client, broker: Running) -> None:
    await client.save("/address/test/m", {"category": "memory"})
    await client.save("/variable/test/v", {"arguments": {"x": 1}})
    await client.save(STREAM, {"template": COPY, "extraKeys": {"v": "/variable/test/v"}})
    sink = {"category": "memory", "address": {"key": "/address/test/m"}, "client": {"name": "a"}}
    await client.save("/sink/test/task/copy/lines", sink)
    await prepare(seat.services, KEY)
    await client.instances()  # later than what was told
    assert broker.service.sessions.links() == {"/address/test/m": {INSTANCE}, "/variable/test/v": {INSTANCE}}


REFUSED: tuple[tuple[dict[str, Any], type[Exception], str], ...] = (
    ({"template": "def"}, TemplateError, "does not compile: invalid syntax, line 1: def"),
    ({"template": "1 / 0"}, TemplateError, "raised ZeroDivisionError at line 1"),
    ({"template": "x = " + "-" * 100_000 + "1"}, TemplateError, "nested too deep"),
    ({"template": "import sys; sys.exit()"}, TemplateError, "raised SystemExit"),
    ({}, InvalidConfig, "has no template"),
)


async def test_what_cannot_run_is_refused(seat: Seat, client: Client) -> None:
    for fields, kind, sentence in REFUSED:
        await client.save(STREAM, fields)
        with pytest.raises(kind) as caught:
            await prepare(seat.services, KEY)
        assert sentence in str(caught.value)
    with pytest.raises(NotFound):
        await prepare(seat.services, Key.parse(f"{STREAM}2"))
