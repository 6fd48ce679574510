"""Where a daemon is and the token it wants, as a file only its user can read.

Owns form, place and mode of that file. Refuses to believe it: a file says where to ask, and only an answer with the
same id says that the daemon lives (`lifecycle.alive`).
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self, get_args

import msgspec
from jupyter_core.paths import secure_write

from teleporter_lab._version import __version__
from teleporter_lab.errors import DaemonError, InvalidInput
from teleporter_lab.settings import runtime_dir

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["broker", "instance"]
FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def runtime_file(kind: Kind, name: str, suffix: str) -> Path:
    """`<kind>-<name><suffix>` in the runtime folder. Raises InvalidInput for a name that is none."""
    if kind not in get_args(Kind):
        raise InvalidInput(f"{kind!r} is no kind of daemon: broker or instance.")
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name of a daemon: 1 to 100 of A-Z a-z 0-9 _ . -")
    return runtime_dir() / f"{kind}-{name}{suffix}"


@dataclass(frozen=True, slots=True)
class ConnectionFile:
    """One daemon. `rpc` is `host:port` or empty, `started` a time with its zone, `log` a path."""

    kind: Kind
    name: str
    url: str
    rpc: str
    token: str = field(repr=False)
    pid: int
    id: str
    started: str
    package: str
    host: str
    log: str
    format: int = FORMAT

    @classmethod
    def new(cls, kind: Kind, name: str, *, url: str, rpc: str, token: str, log: str) -> Self:
        """One of this process, with a fresh id."""
        return cls(
            kind,
            name,
            url=url,
            rpc=rpc,
            token=token,
            pid=os.getpid(),
            id=uuid.uuid4().hex,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            package=__version__,
            host=socket.gethostname(),
            log=log,
        )

    @staticmethod
    def path_of(kind: Kind, name: str) -> Path:
        return runtime_file(kind, name, ".json")

    @property
    def path(self) -> Path:
        return self.path_of(self.kind, self.name)

    @property
    def here(self) -> bool:
        """Whether it is of this host, so that its pid means something."""
        return self.host == socket.gethostname()

    def write(self) -> None:
        """Puts it in place, readable by this user alone; a reader sees the old one or the new one, whole.

        Raises DaemonError when it cannot be written.
        """
        path = self.path
        draft = path.with_name(f".{path.name}.{self.id}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with secure_write(str(draft), binary=True) as file:
                    file.write(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:
            raise DaemonError(f"Cannot write {path}: {error}.") from error

    def remove(self) -> bool:
        """Removes it where it is still this one; False where it is not: gone, or of a later daemon."""
        current = self.read(self.kind, self.name)
        if current is None or current.id != self.id:
            return False
        self.path.unlink(missing_ok=True)
        return True

    @classmethod
    def read(cls, kind: Kind, name: str) -> Self | None:
        """The one of that name, None where there is none. Raises DaemonError for a file that is not one."""
        path = cls.path_of(kind, name)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DaemonError(f"{path} is not a connection file; delete it.") from error
        except OSError as error:
            raise DaemonError(f"Cannot read {path}: {error}.") from error
        if (found.kind, found.name) != (kind, name):
            raise DaemonError(f"{path} is the connection file of another daemon; delete it.")
        if found.format > FORMAT:
            raise DaemonError(f"{path} was written by a later version ({found.package}); use that one.")
        return found

    @classmethod
    def all(cls, kind: Kind) -> list[Self]:
        """Those of that kind, by name. Raises DaemonError for a file that is not one."""
        prefix = f"{kind}-"
        names = sorted(path.name[len(prefix) : -len(".json")] for path in runtime_dir().glob(f"{prefix}*.json"))
        found = [cls.read(kind, name) for name in names if _NAME.fullmatch(name)]
        return [file for file in found if file is not None]
