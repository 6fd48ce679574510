from __future__ import annotations

import pytest
import typer

from teleporter_lab.cli import app
from teleporter_lab.cli.defaults import default_map
from teleporter_lab.errors import InvalidInput


def test_a_table_holds_for_its_command_and_those_below() -> None:
    found = default_map(app, {"broker": {"port": 9100, "start": {"rpc_port": 1}}})
    assert found["broker"]["port"] == 9100
    assert found["broker"]["start"] == {"port": 9100, "rpc_port": 1}
    assert found["broker"]["stop"] == {"port": 9100}
    assert found["config"] == {"get": {}, "range": {}, "put": {}, "delete": {}, "refresh": {}}


@pytest.mark.parametrize(
    ("toml", "name"), [({"brokr": {}}, r"\[brokr\]"), ({"broker": {"strt": {}}}, r"\[broker.strt\]")]
)
def test_a_table_without_a_command_is_refused(toml: dict[str, object], name: str) -> None:
    with pytest.raises(InvalidInput, match=f"no command for {name}; there are"):
        default_map(app, toml)


def test_a_command_without_commands_has_no_tables() -> None:
    one = typer.Typer()
    one.command()(lambda: None)
    with pytest.raises(InvalidInput, match="there are no tables"):
        default_map(one, {"x": {}})
