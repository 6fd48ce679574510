"""`teleporter.toml` as defaults of options. Owns how a table reaches a command; refuses to read the file.

A table is named after a command and holds its options with `_`: `[broker]` `rpc_port = 9100`. What stands in a table
holds for the subcommands too, unless their own table says otherwise.
"""

from __future__ import annotations

from typing import Any, cast

import typer
import typer.main

from teleporter_lab.errors import InvalidInput


def default_map(app: typer.Typer, toml: dict[str, Any]) -> dict[str, Any]:
    """The defaults for all commands of `app`. Raises InvalidInput for a table that no command has the name of."""
    return _of_command(typer.main.get_command(app), toml, "")


def _of_command(command: Any, table: dict[str, Any], path: str) -> dict[str, Any]:
    below: dict[str, Any] = getattr(command, "commands", {})
    scalars = {name: value for name, value in table.items() if not isinstance(value, dict)}
    tables = {name: cast("dict[str, Any]", value) for name, value in table.items() if isinstance(value, dict)}
    if strangers := sorted(set(tables) - set(below)):
        known = ", ".join(f"[{path}{name}]" for name in below) or "no tables"
        raise InvalidInput(f"teleporter.toml: there is no command for [{path}{strangers[0]}]; there are {known}.")
    children = {
        name: _of_command(child, scalars | tables.get(name, {}), f"{path}{name}.") for name, child in below.items()
    }
    return scalars | children
