"""A daemon's log: one event a line, as text or as JSON, in files that do not grow for ever.

Owns format, rotation and redaction. Refuses to write a secret it was told of, wherever in an event it stands,
traceback included. The files are their user's alone.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from io import BufferedWriter, TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teleporter_lab.daemon.connection_file import Kind, runtime_file
from teleporter_lab.errors import InvalidInput
from teleporter_lab.settings import data_dir

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 10_000_000
BACKUPS = 5
HIDDEN = "••••"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_BLOCK = 64 * 1024
_MAX_TAIL = 8 * 1024 * 1024
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def log_path(kind: Kind, name: str) -> Path:
    """Where a detached daemon of that name writes. Raises InvalidInput for a name that is none."""
    return data_dir() / "logs" / runtime_file(kind, name, ".log").name


def open_private(path: Path) -> BufferedWriter:
    """Opens a log for appending; it and its folder are made for this user alone. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return open(path, "ab", opener=_open_private)


class Redaction:
    """Texts that may not be shown, and what to show instead. More can be added while it is in use."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._plain: tuple[str, ...] = ()
        self._escaped: tuple[str, ...] = ()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """From now on `secret` is hidden; an empty one is none."""
        if secret:
            self._plain = _longest_first({*self._plain, secret})
            self._escaped = _longest_first(json.dumps(one, ensure_ascii=False)[1:-1] for one in self._plain)

    def text(self, text: str) -> str:
        """`text` with its secrets hidden."""
        for secret in self._plain:
            text = text.replace(secret, HIDDEN)
        return text

    def json(self, text: str) -> str:
        """The same for text that is JSON, where a secret is written with escapes."""
        for secret in self._escaped:
            text = text.replace(secret, HIDDEN)
        return text


class TextLines(logging.Formatter):
    """`2025-01-31 12:00:00.000 INFO logger: message`; what follows in the same event is indented."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        return self._redaction.text(super().format(record)).replace("\r", "\\r").replace("\n", "\n  ")


class JsonLines(logging.Formatter):
    """One object a line: `at` (UTC), `level`, `logger`, `message`, `error` (a traceback), and what `extra=` gave."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["error"] = self.formatException(record.exc_info)
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                event.setdefault(name, value)
        return self._redaction.json(json.dumps(event, default=str, ensure_ascii=False))


class RotatingLog(RotatingFileHandler):
    """Ten megabytes, then the next file; five old ones are kept.

    With `takes_output`, what the process prints (descriptors 1 and 2) goes to the same file and moves on with it.
    """

    def __init__(self, path: Path, *, takes_output: bool = False, max_bytes: int = MAX_BYTES) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(path, maxBytes=max_bytes, backupCount=BACKUPS, encoding="utf-8", errors="backslashreplace")
        self._takes_output = takes_output

    def doRollover(self) -> None:
        super().doRollover()
        if self._takes_output and self.stream is not None:
            for descriptor in (1, 2):
                os.dup2(self.stream.fileno(), descriptor)

    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(open_private(Path(self.baseFilename)), encoding=self.encoding, errors=self.errors)


def configure(
    *,
    level: str = "INFO",
    file: Path | None = None,
    detached: bool = False,
    json_lines: bool = False,
    secrets: Iterable[str] = (),
    logger: logging.Logger | None = None,
) -> Redaction:
    """Sends all events from `level` on to the terminal and to `file`; returns what hides secrets, to add more.

    `detached`: there is no terminal, what is printed goes to `file` too. `logger`: the root by default. Raises
    InvalidInput for a level that is none, and OSError where `file` cannot be written.
    """
    if level.upper() not in LEVELS:
        raise InvalidInput(f"{level!r} is no log level: {', '.join(LEVELS)}.")
    redaction = Redaction(secrets)
    handlers: list[logging.Handler] = []
    if file is not None:
        handlers.append(RotatingLog(file, takes_output=detached))
    if not detached or file is None:
        handlers.append(logging.StreamHandler(sys.stderr))
    target = logger or logging.getLogger()
    for old in list(target.handlers):
        target.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(JsonLines(redaction) if json_lines else TextLines(redaction))
        target.addHandler(handler)
    target.setLevel(level.upper())
    return redaction


def tail(path: Path, n: int) -> list[str]:
    """The last `n` lines, of the last 8 MiB at most; none where there is no file. Raises OSError."""
    if n <= 0 or not path.exists():
        return []
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        end, data = at, b""
        while at > 0 and end - at < _MAX_TAIL and data.count(b"\n") <= n:
            step = min(at, max(_BLOCK, len(data)))
            at -= step
            file.seek(at)
            data = file.read(step) + data
    return data.decode("utf-8", "replace").removesuffix("\n").split("\n")[-n:] if data else []


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(secrets, key=len, reverse=True))
