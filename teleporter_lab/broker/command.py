"""The command line of a broker process, for whoever starts one detached. Owns its options; refuses to start it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from teleporter_lab import settings
from teleporter_lab.broker.stores.base import SERVERS, split_url


def command_line(
    name: str,
    *,
    host: str = settings.LOOPBACK,
    port: int = settings.HTTP_PORT,
    rpc_port: int = settings.RPC_PORT,
    store: str = "",
    more: tuple[str, ...] = (),
) -> list[str]:
    """What runs a detached broker called `name` with this interpreter. `more`: further options, as they are written.

    A path in `store` becomes absolute, since a detached process runs in another folder. Raises InvalidInput for a
    `store` that is none.
    """
    line = [sys.executable, "-m", "teleporter_lab", "broker", "--detached", "--name", name]
    line += ["--host", host, "--port", str(port), "--rpc-port", str(rpc_port)]
    if store and (where := _store(store)):
        line += ["--store", where]
    return [*line, *more]


def _store(url: str) -> str:
    """How the new process is told; empty where it sees the same environment, as others may read a command line."""
    scheme, path = split_url(url)
    if scheme not in SERVERS:
        return f"{scheme}:{Path(path).absolute() if path else ''}"
    return "" if os.environ.get("TELEPORTER_STORE") == url else url
