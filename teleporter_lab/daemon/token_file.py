"""The token of a broker, kept over its restarts, so that its instances may come back without being told a new one.

Owns one file in the data folder, mode 0600. Refuses to say what a token allows. Deleting the file, and starting the
broker again, makes a new token: whoever had the old one is out.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from teleporter_lab.daemon.connection_file import Kind, runtime_file
from teleporter_lab.errors import DaemonError
from teleporter_lab.settings import data_dir

if TYPE_CHECKING:
    from pathlib import Path


def token_path(kind: Kind, name: str) -> Path:
    """Where the token of the daemon of that name is kept. Raises InvalidInput for a name that is none."""
    return data_dir() / runtime_file(kind, name, ".token").name


def kept_token(kind: Kind, name: str) -> str:
    """The token of that daemon; made, and kept, when there is none. Raises DaemonError where it cannot be."""
    path = token_path(kind, name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read(path)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            token = secrets.token_urlsafe(32)
            file.write(token)
    except OSError as error:
        raise DaemonError(f"The token {path} cannot be kept: {error}.") from error
    return token


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise DaemonError(f"Others can read {path}: run `chmod 600 {path}`, or delete it to get a new token.")
    token = path.read_text(encoding="ascii", errors="replace").strip()
    if not token:
        raise DaemonError(f"There is no token in {path}: delete it to get a new one.")
    return token
