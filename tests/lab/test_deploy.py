"""A deployment at a real broker and an instance of this process: checked, saved, placed, running; or nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from teleporter_lab.config.document import MAX_TEXT
from teleporter_lab.config.key import Key
from teleporter_lab.errors import InvalidConfig, InvalidKey, NotFound, Problem, StreamError, TemplateError
from teleporter_lab.instance.logic import content_hash
from teleporter_lab.lab.deploy import Deployer, check_cell, stream_view
from tests.instance.seat import COPY

if TYPE_CHECKING:
    from tests.lab.conftest import Space


@pytest.fixture
def deployer(space: Space) -> Deployer:
    return Deployer(space.client)


# ---- checked


def test_a_cell_that_stands_alone_is_good() -> None:
    check_cell(COPY)


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("def", "does not compile: invalid syntax, line 1: def"),
        ("x = 1\0", "null bytes"),
        (COPY + "print(frame, other)", "The cell uses `frame`, `other` without defining it; define or import it"),
        (COPY + "get_ipython()", "uses `get_ipython`"),
    ],
)
def test_a_cell_that_cannot_run_elsewhere_is_refused(cell: str, sentence: str) -> None:
    with pytest.raises(TemplateError) as caught:
        check_cell(cell)
    assert sentence in str(caught.value)


def test_checking_runs_nothing() -> None:
    check_cell("raise SystemExit")


@pytest.mark.parametrize("key", ["/task/{}/task", "/source/{}/task/copy/rows"])
def test_only_streams_are_deployed(space: Space, deployer: Deployer, key: str) -> None:
    with pytest.raises(InvalidKey, match="is no stream; deploy to /stream/"):
        deployer.deploy(Key.parse(key.format(space.ns)), COPY, None)
    assert space.keys() == []


def test_a_bad_cell_saves_nothing(space: Space, deployer: Deployer) -> None:
    with pytest.raises(TemplateError):
        deployer.deploy(space.stream, "def", space.embedded)
    with pytest.raises(InvalidKey):
        deployer.deploy(space.stream, COPY, space.stream.task)
    assert space.keys() == []


def test_a_mistake_of_the_config_comes_with_its_place_and_saves_nothing(space: Space, deployer: Deployer) -> None:
    with pytest.raises(InvalidConfig, match="Nothing was deployed") as caught:
        deployer.deploy(space.stream, f"{COPY}#{'x' * MAX_TEXT}", space.embedded)
    (problem,) = caught.value.problems
    assert problem.path == str(space.stream)
    assert "characters of text" in problem.message
    assert space.keys() == []


def test_a_dry_run_saves_nothing(space: Space, deployer: Deployer) -> None:
    found = deployer.deploy(space.stream, COPY, space.embedded, dry_run=True)
    assert found.dry_run
    assert found.hash == content_hash(COPY)
    assert [key.split("/")[1] for key in found.saved] == ["stream", "instance", "group", "task", "partition"]
    assert space.keys() == []


# ---- running


def test_it_runs_where_it_was_deployed_to(space: Space, deployer: Deployer) -> None:
    space.save_ends()
    target = Key.parse(space.bridge.embed(space.ns, "default"))
    found = deployer.deploy(space.stream, space.gated, target)
    assert (found.view["status"], found.view["instance"]) == ("RUNNING", str(target))
    assert found.view == {**found.view, "key": str(space.stream), "partition": f"/partition/{space.ns}/task/all"}
    (space.folder / "gate").touch()
    assert space.until("COMPLETE")["counts"]["written"] == 200
    assert len(space.written) == 200


def test_deployed_again_it_goes_on_with_the_new_text(space: Space, deployer: Deployer) -> None:
    space.save_ends()
    target = Key.parse(space.bridge.embed(space.ns, "default"))
    deployer.deploy(space.stream, space.gated, target)
    space.client.save(
        str(space.stream), {"template": "old", "status": "STOPPED", "arguments": {"a": 1}, "name": "Mine"}
    )
    (space.folder / "gate").touch()
    found = deployer.deploy(space.stream, space.gated + "\n", None)
    assert found.saved == [str(space.stream)]
    space.until("COMPLETE")
    assert len(space.written) == 200
    value = space.client.get(str(space.stream))["value"]
    assert (value["template"], value["status"]) == (space.gated + "\n", "NORMAL")
    assert (value["arguments"], value["name"]) == ({"a": 1}, "Mine")


def test_a_failure_on_the_instance_is_raised_with_its_error(space: Space, deployer: Deployer) -> None:
    target = Key.parse(space.bridge.embed(space.ns, "default"))
    with pytest.raises(StreamError) as caught:
        deployer.deploy(space.stream, COPY, target)
    assert str(caught.value).startswith(f"{space.stream} was deployed and failed on {target}: ")
    assert "has no source 'rows'" in str(caught.value)
    with pytest.raises(StreamError, match="must mark one function with @stream_logic"):
        deployer.deploy(Key.parse(f"{space.stream}2"), "x = 1", target)


def test_what_runs_goes_on_when_its_instance_refuses_the_new_text(space: Space, deployer: Deployer) -> None:
    space.save_ends()
    target = Key.parse(space.bridge.embed(space.ns, "default"))
    deployer.deploy(space.stream, space.gated, target)
    with pytest.raises(InvalidConfig, match="its instance refused it; what ran before goes on") as caught:
        deployer.deploy(space.stream, "1 / 0", target)
    (problem,) = caught.value.problems
    assert isinstance(problem, Problem)
    assert "raised ZeroDivisionError at line 1" in problem.message
    assert stream_view(space.client, space.stream)["status"] == "RUNNING"


def test_without_a_target_it_waits_for_one(space: Space, deployer: Deployer) -> None:
    found = deployer.deploy(space.stream, COPY, None)
    assert (found.view["status"], found.view["instance"]) == ("NORMAL", "")
    assert space.keys() == [str(space.stream)]
    found = deployer.deploy(space.stream, COPY, Key.parse(f"/instance/{space.ns}/later"))
    assert (found.view["status"], found.view["instance"]) == ("NORMAL", "")


def test_a_task_that_only_names_its_group_is_moved(space: Space, deployer: Deployer) -> None:
    """No group changes, and still the change has to come into force."""
    space.save_ends()
    target = Key.parse(space.bridge.embed(space.ns, "default"))
    group = Key.parse(f"/group/{space.ns}/all")
    for key, value in {
        str(group): {"tasks": [str(space.stream.task)], "instances": [str(target)]},
        str(space.stream.task): {"group": f"/group/{space.ns}/elsewhere"},
        f"/partition/{space.ns}/task/all": {"keys": [f"/stream/{space.ns}/task/.*"]},
    }.items():
        space.client.save(key, value)
    space.client.refresh(str(group))
    found = deployer.deploy(space.stream, space.gated, group)
    assert found.saved == [str(space.stream), str(space.stream.task)]
    assert (found.view["status"], found.view["instance"]) == ("RUNNING", str(target))


def test_a_stream_is_seen_among_others_that_begin_like_it(space: Space) -> None:
    for name in ("copy", "copy-2", "copy.x", "cop"):
        space.client.save(f"/stream/{space.ns}/task/{name}", {"template": "x"})
    for name in ("copy", "copy-2", "copy.x"):
        assert stream_view(space.client, Key.parse(f"/stream/{space.ns}/task/{name}"))["key"].endswith(f"/{name}")
    with pytest.raises(NotFound, match=f"There is no stream at /stream/{space.ns}/task/co; deploy one"):
        stream_view(space.client, Key.parse(f"/stream/{space.ns}/task/co"))
