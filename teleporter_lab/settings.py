"""Where things are kept and what a setting is worth: command line > TELEPORTER_* > teleporter.toml > default.

Owns directories, default ports and the reading of `teleporter.toml`. Refuses to parse a command line (`cli` does)
and to create anything: the one who writes a file makes its folder.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir
from platformdirs import user_config_path, user_data_path

from teleporter_lab.errors import InvalidInput

HTTP_PORT = 9021
RPC_PORT = 9022
LOOPBACK = "127.0.0.1"

HOME_VARIABLE = "TELEPORTER_HOME"
"""Moves everything (runtime files, stores, logs) below one folder; tests and containers set it."""


def runtime_dir() -> Path:
    """Folder of connection files and locks: `TELEPORTER_RUNTIME_DIR`, else below `TELEPORTER_HOME`, else Jupyter's."""
    if explicit := os.environ.get("TELEPORTER_RUNTIME_DIR"):
        return Path(explicit)
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home) / "runtime"
    return Path(jupyter_runtime_dir()) / "teleporter"


def data_dir() -> Path:
    """Folder of stores and logs, which outlive a reboot: `TELEPORTER_DATA_DIR`, `TELEPORTER_HOME`, else the user's."""
    if explicit := os.environ.get("TELEPORTER_DATA_DIR"):
        return Path(explicit)
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home) / "data"
    return user_data_path("teleporter-lab", appauthor=False)


def read_toml() -> dict[str, Any]:
    """The settings file as nested tables, `{}` when there is none: cwd's `teleporter.toml`, then the user's.

    Raises InvalidInput naming the file and the place when it is not TOML.
    """
    for path in (Path("teleporter.toml"), user_config_path("teleporter-lab", appauthor=False) / "teleporter.toml"):
        if path.is_file():
            try:
                return tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InvalidInput(f"{path} is not valid TOML: {error}.") from error
    return {}
