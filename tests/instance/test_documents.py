"""What a stream stands on, read from a real broker: found, resolved, and all mistakes told at once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.client import Client
from teleporter_lab.config.key import Key
from teleporter_lab.connectors.base import Registry
from teleporter_lab.errors import InvalidConfig, NotFound
from teleporter_lab.instance.documents import PAGE, DocumentReader, ProcessSecrets, StreamDocuments, read_all, read_one
from teleporter_lab.rpc.messages import KVRemove, KVSave
from tests.instance.conftest import INSTANCE
from tests.instance.seat import Seat, broker_in_thread, seat_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from teleporter_lab.broker.daemon import Running

STREAM = Key.parse("/stream/test/task/copy")
SOURCE = "/source/test/task/copy/rows"
SINK = "/sink/test/task/copy/lines"


class Tree:
    """A config tree at the broker, and the documents of one stream of it."""

    def __init__(self, client: Client, seat: Seat) -> None:
        self.client = client
        self.link = seat.link

    async def save(self, documents: dict[str, Any]) -> None:
        for key, value in documents.items():
            await self.client.save(key, value)

    async def read(self, key: Key = STREAM) -> StreamDocuments:
        return await DocumentReader(self.link, Registry.load()).read(key)

    async def problems(self) -> dict[str, str]:
        with pytest.raises(InvalidConfig) as caught:
            await self.read()
        assert caught.value.message == f"The config of {STREAM} has mistakes."
        return {problem.path: problem.message for problem in caught.value.problems}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with broker_in_thread(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
async def tree(shared: Running) -> AsyncIterator[Tree]:
    """With one stream in it, and nothing else."""
    async with Client(shared.url, shared.token) as client, seat_at(shared, INSTANCE) as seat:
        found = Tree(client, seat)
        await found.save({str(STREAM): {"template": "x = 1"}})
        yield found
        left = await client.range("/", limit=10_000)
        await asyncio.gather(*(seat.link.request(KVRemove("config", entry["key"])) for entry in left))


def csv(**client: Any) -> dict[str, Any]:
    return {"category": "csv", "client": {"path": "in.csv", **client}}


def lines(**client: Any) -> dict[str, Any]:
    return {"category": "file", "client": {"path": "out.jsonl", **client}}


# ---- found


async def test_a_stream_alone_is_enough(tree: Tree) -> None:
    found = await tree.read()
    assert (found.key, found.template, found.arguments) == (STREAM, "x = 1", {})
    assert (found.task, found.sources, found.sinks, found.addresses) == (None, {}, {}, {})
    assert found.keys == {str(STREAM)}


async def test_no_stream_is_not_found(tree: Tree) -> None:
    with pytest.raises(NotFound, match=r"There is no stream at /stream/test/task/none; save one there\."):
        await tree.read(Key.parse("/stream/test/task/none"))


async def test_all_it_stands_on_is_found_and_named(tree: Tree) -> None:
    memory = {"category": "memory", "address": {"key": "/address/test/m"}, "client": {"name": "a"}}
    await tree.save(
        {
            "/task/test/task": {"template": "y = 2", "arguments": {"a": 1, "b": 2}},
            str(STREAM): {"arguments": {"b": 3}},
            SOURCE: csv(),
            "/source/test/task/copy/more": memory,
            SINK: lines(batchSize=7),
            "/sink/test/task/copy/too": memory,
            "/address/test/m": {"category": "memory", "client": {"maxRecords": 9}},
        }
    )
    found = await tree.read()
    assert found.template == "y = 2"
    assert found.arguments == {"a": 1, "b": 3}
    assert {name: str(key) for name, (key, _) in found.sources.items()} == {
        "rows": SOURCE,
        "more": "/source/test/task/copy/more",
    }
    assert found.sinks["lines"][1].client == {"path": "out.jsonl", "batchSize": 7}
    assert found.addresses["/address/test/m"].client == {"maxRecords": 9}
    assert found.keys == {
        str(STREAM),
        "/task/test/task",
        SOURCE,
        "/source/test/task/copy/more",
        SINK,
        "/sink/test/task/copy/too",
        "/address/test/m",
    }


async def test_the_streams_own_template_goes_before_its_tasks(tree: Tree) -> None:
    await tree.save({"/task/test/task": {"template": "y = 2"}})
    assert (await tree.read()).template == "x = 1"


async def test_without_any_template_it_says_where_to_write_one(tree: Tree) -> None:
    await tree.save({str(STREAM): {}})
    found = await tree.read()
    with pytest.raises(InvalidConfig, match=r"/stream/test/task/copy has no template; .* or into that of /task/test/"):
        _ = found.template


async def test_names_with_dots_and_dashes_take_no_others_documents(tree: Tree) -> None:
    """`-` and `.` begin the regex of a pattern; neighbours differ by just that character."""
    mine = Key.parse("/stream/te-st/ta.sk/co-py.2")
    below = "/".join(mine.segments)
    neighbours = ("te-st/taXsk/co-py.2", "te-st/ta.sk/co-pyX2", "te-st/ta.sk/co-py.2x", "te-st/ta.sk/co-py")
    await tree.save(
        {
            str(mine): {"template": "x = 1"},
            f"/source/{below}/in-1.csv": csv(),
            f"/sink/{below}/out.1-x": lines(),
            **{f"/source/{other}/theirs": csv() for other in neighbours},
            **{f"/sink/{other}/theirs": lines() for other in neighbours},
        }
    )
    found = await tree.read(mine)
    assert (set(found.sources), set(found.sinks)) == ({"in-1.csv"}, {"out.1-x"})


async def test_more_documents_than_fit_a_page_are_all_found(tree: Tree) -> None:
    keys = [f"/variable/test/v{n}" for n in range(PAGE + 3)]
    await asyncio.gather(*(tree.link.request(KVSave("config", key, "{}")) for key in keys))
    assert {str(key) for key in await read_all(tree.link, "/variable/test/")} == set(keys)
    assert await read_all(tree.link, "/variable/nowhere/") == {}
    assert (await read_one(tree.link, keys[0]) or {}).get("arguments") is None
    assert await read_one(tree.link, "/variable/test/none") is None


# ---- resolved


async def test_variables_are_resolved_and_keep_their_type(tree: Tree) -> None:
    await tree.save(
        {
            "/variable/test/v": {"arguments": {"size": 7, "folder": "/data", "deep": {"er": [1]}}},
            str(STREAM): {"template": "x", "arguments": {"all": "${variable:/variable/test/v#deep.er}"}},
            SOURCE: csv(path="${variable:/variable/test/v#folder}/in.csv"),
            SINK: lines(batchSize="${variable:/variable/test/v#size}"),
        }
    )
    found = await tree.read()
    assert found.arguments == {"all": [1]}
    assert found.sources["rows"][1].client["path"] == "/data/in.csv"
    assert found.sinks["lines"][1].client["batchSize"] == 7
    assert "/variable/test/v" in found.keys


async def test_variables_may_refer_to_further_ones(tree: Tree) -> None:
    await tree.save(
        {
            "/variable/test/a": {"arguments": {"path": "${variable:/variable/test/b#path}"}},
            "/variable/test/b": {"arguments": {"path": "${c.root}/in.csv"}},
            "/variable/test/c": {"arguments": {"root": "/data"}},
            SOURCE: {**csv(path="${variable:/variable/test/a#path}"), "extraKeys": {"c": "/variable/test/c"}},
        }
    )
    found = await tree.read()
    assert found.sources["rows"][1].client["path"] == "/data/in.csv"
    assert {f"/variable/test/{name}" for name in "abc"} <= found.keys


async def test_variables_in_a_circle_are_a_problem_and_no_endless_loop(tree: Tree) -> None:
    await tree.save(
        {
            "/variable/test/a": {"arguments": {"x": "${variable:/variable/test/b#x}"}},
            "/variable/test/b": {"arguments": {"x": "${variable:/variable/test/a#x}"}},
            SOURCE: csv(path="${variable:/variable/test/a#x}"),
        }
    )
    assert "leads back to itself" in (await tree.problems())[SOURCE]


async def test_short_names_come_from_the_document_its_stream_and_its_task(tree: Tree) -> None:
    for name in ("t", "s", "d"):
        await tree.save({f"/variable/test/{name}": {"arguments": {"v": name}}})
    await tree.save(
        {
            "/task/test/task": {"extraKeys": {"of_task": "/variable/test/t", "same": "/variable/test/t"}},
            str(STREAM): {
                "template": "x",
                "extraKeys": {"of_stream": "/variable/test/s", "same": "/variable/test/s"},
                "arguments": {"all": "${of_task.v}${of_stream.v}${same.v}"},
            },
            SOURCE: {
                **csv(path="${of_task.v}${of_stream.v}${own.v}${same.v}"),
                "extraKeys": {"own": "/variable/test/d", "same": "/variable/test/d"},
            },
        }
    )
    found = await tree.read()
    assert found.arguments == {"all": "tss"}
    assert found.sources["rows"][1].client["path"] == "tsdd"


async def test_secrets_are_resolved_and_never_shown(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEPORTER_TEST_FOLDER", "hunter2")
    (tmp_path / "secret").write_text("open sesame\n")
    await tree.save({SOURCE: csv(path="${env:TELEPORTER_TEST_FOLDER}")})
    await tree.save({SINK: lines(path=f"${{file:{tmp_path}/secret}}")})
    found = await tree.read()
    path: Any = found.sources["rows"][1].client["path"]
    assert path.reveal() == "hunter2"
    assert path == "hunter2"
    assert found.sinks["lines"][1].client["path"] == "open sesame"
    assert "hunter2" not in repr(found)
    assert "sesame" not in repr(found)
    assert "hunter2" not in json.dumps((await tree.client.get(SOURCE, raw=True))["value"])


async def test_a_secret_of_a_wrong_form_is_a_problem_that_hides_it(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPORTER_TEST_SIZE", "hunter2")
    await tree.save({SINK: lines(batchSize="${env:TELEPORTER_TEST_SIZE}", format="${env:TELEPORTER_TEST_SIZE}")})
    problems = await tree.problems()
    assert set(problems) == {f"{SINK}: client.batchSize", f"{SINK}: client.format"}
    assert "hunter2" not in str(problems)


def test_a_secret_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    secrets = ProcessSecrets()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert secrets.env("TELEPORTER_TEST_IS_NOT_SET") is None
    assert [secrets.file(str(tmp_path / name)) for name in ("none", "bytes", ".")] == [None] * 3


@pytest.mark.parametrize("text", ["`${x}`", "${env:HOME}", "${", "${variable:nonsense}", "f'${price:.2f}'", "$${a}"])
async def test_the_text_of_a_template_is_left_alone(tree: Tree, text: str) -> None:
    await tree.save({"/task/test/task": {"template": f"t = '''{text}'''"}, SOURCE: csv()})
    assert (await tree.read()).sources
    await tree.save({str(STREAM): {"template": f"x = '''{text}'''", "name": text}})
    assert (await tree.read()).template == f"x = '''{text}'''"


# ---- mistakes


async def test_mistakes_of_all_documents_come_together(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPORTER_TEST_WORD", "many")
    await tree.save(
        {
            "/variable/test/v": {"arguments": {"word": "many"}},
            "/task/test/task": {"arguments": {"a": "${variable:/variable/test/none#x}"}},
            str(STREAM): {"template": "x", "arguments": {"a": "${unknown.x}"}},
            SOURCE: {**csv(), "address": {"key": "/address/test/none"}},
            "/source/test/task/copy/other": csv(path="${env:TELEPORTER_TEST_IS_NOT_SET}"),
            SINK: {
                **lines(batchSize="${v.word}", batchTime="${v.word}", format="${v.word}"),
                "extraKeys": {"v": "/variable/test/v"},
                "address": {"key": "/address/test/m"},
            },
            "/address/test/m": {"category": "memory", "client": {"maxRecords": "${env:TELEPORTER_TEST_WORD}"}},
        }
    )
    problems = await tree.problems()
    assert set(problems) == {
        "/task/test/task",
        str(STREAM),
        f"{SOURCE}: address.key",
        "/source/test/task/copy/other",
        f"{SINK}: client.batchSize",
        f"{SINK}: client.batchTime",
        f"{SINK}: client.format",
        "/address/test/m: client.maxRecords",
    }
    assert problems[f"{SOURCE}: address.key"] == "There is no address at /address/test/none; save one."
    assert "/variable/test/none, which does not exist" in problems["/task/test/task"]
    assert "TELEPORTER_TEST_IS_NOT_SET" in problems["/source/test/task/copy/other"]


async def test_an_address_that_is_missing_for_two_is_told_for_both(tree: Tree) -> None:
    missing = {"address": {"key": "/address/test/none"}}
    await tree.save({SOURCE: {**csv(), **missing}, SINK: {**lines(), **missing}})
    assert set(await tree.problems()) == {f"{SOURCE}: address.key", f"{SINK}: address.key"}
