from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.broker.letter_filter import LetterFilter
from teleporter_lab.broker.redriving import LENGTH
from teleporter_lab.errors import Conflict, InvalidInput, ProtocolError, Unreachable
from teleporter_lab.rpc.messages import Done, Message, Redrive, Redriven
from tests.broker.conftest import Remote, World, group, partitions
from tests.broker.letters import STREAM, letter, letters, names

if TYPE_CHECKING:
    from collections.abc import Callable

A = "/instance/ns/a"
ALL = LetterFilter()
ALL_IDS = [letter(number)[0] for number in range(2)]


class Post:
    """A stream on an instance that answers redrives as it is told."""

    def __init__(self, world: World, remote: Remote) -> None:
        self.world = world
        self.remote = remote
        self.letters = world.service.letters
        self.redriving = world.service.redriving
        self.failing: dict[str, str] = {}

    async def answer(self, message: Message) -> Message:
        if not isinstance(message, Redrive):
            return Done()
        done = [name for name, _ in message.letters if name not in self.failing]
        return Redriven(done, [(name, self.failing[name]) for name, _ in message.letters if name in self.failing])

    def sent(self) -> list[int]:
        """How many letters each request had."""
        return [len(message.letters) for message in self.remote.asked if isinstance(message, Redrive)]

    async def left(self) -> list[int]:
        return names(await self.letters.page(STREAM, ALL))


@pytest.fixture
async def post(world: World) -> Post:
    await world.put({"/group/ns/g": group(A), "/task/ns/t": {}, **partitions(1), STREAM: {}})
    await world.service.refresh("/group/ns/g")
    found = Post(world, await world.come(A))
    found.remote.answer = found.answer
    return found


async def test_what_has_arrived_is_forgotten_and_the_rest_stays_with_the_reason(post: Post) -> None:
    await post.letters.put(STREAM, letters(4))
    post.failing = {letter(2)[0]: "ValueError: still no number"}
    done = await post.redriving.page(STREAM, ALL)
    assert done["redriven"] == 3
    assert done["failed"] == [{"id": letter(2)[0], "why": "ValueError: still no number"}]
    assert await post.left() == [2]
    assert (await post.letters.tally.all(STREAM))[STREAM]["redriven"] == 3


async def test_a_filter_is_redriven_page_by_page_and_passes_over_what_fails(post: Post) -> None:
    await post.letters.put(STREAM, letters(10))
    post.failing = {letter(0)[0]: "no", letter(3)[0]: "no"}
    after: str | None = ""
    redriven = 0
    while after is not None:
        page = await post.redriving.page(STREAM, ALL, after, 4)
        redriven += page["redriven"]
        after = page["next"]
    assert (redriven, await post.left(), post.sent()) == (8, [0, 3], [4, 4, 2])


async def test_ids_are_redriven_and_those_that_are_not_there_are_said(post: Post) -> None:
    await post.letters.put(STREAM, letters(3))
    done = await post.redriving.page(STREAM, [letter(1)[0], letter(8)[0], letter(1)[0]])
    assert (done["redriven"], done["next"]) == (1, None)
    assert done["failed"] == [{"id": letter(8)[0], "why": "It is not there any more."}]
    assert await post.left() == [0, 2]


async def test_only_a_filter_that_matches_is_sent(post: Post) -> None:
    await post.letters.put(STREAM, [*letters(3), letter(5, place="sql(out)")])
    assert (await post.redriving.page(STREAM, LetterFilter(place="sql")))["redriven"] == 1
    assert await post.left() == [0, 1, 2]


async def test_what_cannot_be_made_again_is_not_sent_until_it_is_edited(post: Post) -> None:
    await post.letters.put(STREAM, [letter(1, {"$repr": "<Socket>"}, redrivable=False)])
    refused = await post.redriving.page(STREAM, ALL)
    assert (refused["redriven"], post.sent()) == (0, [])
    assert "edit it before" in refused["failed"][0]["why"]
    await post.letters.edit(STREAM, letter(1)[0], {"n": 1})
    assert (await post.redriving.page(STREAM, ALL))["redriven"] == 1


async def test_long_letters_go_in_requests_that_fit_into_a_frame(post: Post) -> None:
    await post.letters.put(STREAM, [letter(number, "x" * (LENGTH // 3)) for number in range(4)])
    await post.letters.put(STREAM, [letter(4, "x" * (LENGTH + 10)), letter(5)])
    done = await post.redriving.page(STREAM, [letter(number)[0] for number in range(6)])
    assert (done["redriven"], post.sent()) == (6, [2, 2, 1, 1])


async def test_pages_of_a_filter_are_not_too_long(post: Post) -> None:
    await post.letters.put(STREAM, [letter(number, "x" * (LENGTH // 2)) for number in range(4)])
    first = await post.redriving.page(STREAM, ALL)
    assert (first["redriven"], first["next"]) == (1, letter(0)[0])


@pytest.mark.parametrize("away", ["gone", "nobody"])
async def test_without_its_instance_nothing_is_redriven(post: Post, away: str) -> None:
    await post.letters.put(STREAM, letters(2))
    if away == "gone":
        await post.world.go(A)
    stream = STREAM if away == "gone" else "/stream/ns/t/unassigned"
    with pytest.raises(Conflict, match="run by no instance that is connected"):
        await post.redriving.page(stream, ALL)
    assert await post.left() == [0, 1]


def _raise(error: Exception) -> Callable[[Message], Any]:
    async def answer(message: Message) -> Message:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "kind"),
    [(TimeoutError(), Unreachable), (InvalidInput("An instance does not answer Redrive."), InvalidInput)],
)
async def test_an_instance_that_does_not_answer_keeps_every_letter(
    post: Post, error: Exception, kind: type[Exception]
) -> None:
    await post.letters.put(STREAM, letters(2))
    post.remote.answer = _raise(error)
    with pytest.raises(kind):
        await post.redriving.page(STREAM, ALL)
    assert await post.left() == [0, 1]
    post.remote.answer = post.answer
    assert (await post.redriving.page(STREAM, ALL))["redriven"] == 2


async def test_an_answer_that_is_none(post: Post) -> None:
    await post.letters.put(STREAM, letters(3))

    async def nonsense(message: Message) -> Message:
        return Done()

    post.remote.answer = nonsense
    with pytest.raises(ProtocolError, match="answered a Redrive with a Done"):
        await post.redriving.page(STREAM, ALL)

    async def half(message: Message) -> Message:
        return Redriven([letter(0)[0], "never sent"], [])

    post.remote.answer = half
    done = await post.redriving.page(STREAM, ALL)
    assert done["redriven"] == 1
    assert [each["why"] for each in done["failed"]] == ["The instance says nothing about it."] * 2


async def test_what_is_edited_on_the_way_stays(post: Post) -> None:
    await post.letters.put(STREAM, letters(2))

    async def slow(message: Message) -> Message:
        await post.letters.edit(STREAM, letter(1)[0], {"n": "edited"})
        return await post.answer(message)

    post.remote.answer = slow
    done = await post.redriving.page(STREAM, ALL)
    assert done["redriven"] == 1
    assert "edited meanwhile" in done["failed"][0]["why"]
    assert (await post.letters.get(STREAM, letter(1)[0]))["record"] == {"n": "edited"}


async def test_no_letter_is_on_its_way_twice(post: Post) -> None:
    await post.letters.put(STREAM, letters(2))
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(message: Message) -> Message:
        begun.set()
        await go.wait()
        return await post.answer(message)

    post.remote.answer = slow
    first = asyncio.create_task(post.redriving.page(STREAM, ALL))
    await begun.wait()
    second = await post.redriving.page(STREAM, ALL)
    assert [each["why"] for each in second["failed"]] == ["It is being redriven already."] * 2
    go.set()
    assert (await first)["redriven"] == 2
    assert post.sent() == [2]


async def test_nor_is_one_that_waits_for_a_later_request(post: Post) -> None:
    await post.letters.put(STREAM, [letter(number, "x" * (LENGTH - 1000)) for number in range(2)])
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(message: Message) -> Message:
        begun.set()
        await go.wait()
        return await post.answer(message)

    post.remote.answer = slow
    first = asyncio.create_task(post.redriving.page(STREAM, ALL_IDS))
    await begun.wait()
    second = await post.redriving.page(STREAM, ALL_IDS[1:])
    assert second["failed"] == [{"id": ALL_IDS[1], "why": "It is being redriven already."}]
    go.set()
    assert ((await first)["redriven"], post.sent()) == (2, [1, 1])
    assert (await post.redriving.page(STREAM, ALL_IDS))["failed"][0]["why"] == "It is not there any more."


async def test_nor_one_that_has_arrived_and_is_about_to_be_forgotten(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.letters.put(STREAM, letters(2))
    begun, go, inner = asyncio.Event(), asyncio.Event(), post.letters.remove

    async def slow(*args: Any) -> Any:
        begun.set()
        await go.wait()
        return await inner(*args)

    monkeypatch.setattr(post.letters, "remove", slow)
    first = asyncio.create_task(post.redriving.page(STREAM, ALL))
    await begun.wait()
    second = asyncio.create_task(post.redriving.page(STREAM, ALL))
    for _ in range(20):
        await asyncio.sleep(0)
    go.set()
    assert (await first)["redriven"] == 2
    assert (await second) == {"redriven": 0, "failed": [], "next": None}
    assert post.sent() == [2]
