from __future__ import annotations

import json
import logging
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from teleporter_lab.daemon.logs import (
    BACKUPS,
    HIDDEN,
    MAX_BYTES,
    Redaction,
    RotatingLog,
    configure,
    log_path,
    open_private,
    tail,
)
from teleporter_lab.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """One that nobody else has; its handlers are closed."""
    logger = logging.Logger("teleporter_lab.test")
    yield logger
    for handler in logger.handlers:
        handler.close()


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was written to the terminal since the last call."""
    return lambda: capsys.readouterr().err


def fail(message: str) -> None:
    raise ValueError(message)


def test_text_for_a_terminal_and_for_the_file(logger: Any, terminal: Any, tmp_path: Path) -> None:
    configure(logger=logger, file=tmp_path / "logs" / "log")
    logger.debug("not shown")
    logger.info("started %s", "main")
    (line,) = terminal().splitlines()
    assert line.endswith(" INFO teleporter_lab.test: started main")
    assert tail(tmp_path / "logs" / "log", 10) == [line]


def test_one_event_cannot_pretend_to_be_two(logger: Any, terminal: Any) -> None:
    configure(logger=logger)
    logger.warning("name %s", "x\n2025-01-01 00:00:00.000 INFO root: forged\rover")
    first, second = terminal().splitlines()
    assert first.endswith("name x")
    assert second == "  2025-01-01 00:00:00.000 INFO root: forged\\rover"


def test_json_lines(logger: Any, terminal: Any) -> None:
    configure(logger=logger, json_lines=True)
    logger.info("a\n%s", "b", extra={"stream": "/stream/a/b/c", "what": {1, 2}, "level": "ignored"})
    try:
        fail("broken")
    except ValueError:
        logger.exception("failed")
    first, second = map(json.loads, terminal().splitlines())
    assert first.pop("at").endswith("+00:00")
    assert first == {
        "level": "INFO",
        "logger": "teleporter_lab.test",
        "message": "a\nb",
        "stream": "/stream/a/b/c",
        "what": "{1, 2}",
    }
    assert second["level"] == "ERROR"
    assert second["error"].endswith("ValueError: broken")


@pytest.mark.parametrize("json_lines", [False, True])
def test_no_secret_is_written(logger: Any, terminal: Any, json_lines: bool) -> None:
    secrets = ["token-1", 'with "quotes"\\', "token-1-longer", "\n", ""]
    redaction = configure(logger=logger, json_lines=json_lines, secrets=[*secrets[:3], ""])
    redaction.add("added later")
    logger.info("see token-1 and %s", secrets[1], extra={"header": ["token-1"]})
    logger.info("%s added later", "token-1-longer")
    try:
        fail("token-1 in a traceback")
    except ValueError:
        logger.exception("failed")
    text = terminal()
    for secret in ("token-1", "quotes", "longer", "added later"):
        assert secret not in text
    assert text.count(HIDDEN) >= 5


def test_redaction_of_nothing() -> None:
    assert Redaction([""]).text("plain") == "plain"


def test_a_level_that_is_none(logger: Any) -> None:
    with pytest.raises(InvalidInput, match="'LOUD' is no log level: DEBUG"):
        configure(logger=logger, level="LOUD")


def test_levels(logger: Any, terminal: Any) -> None:
    configure(logger=logger, level="error")
    logger.warning("no")
    logger.error("yes")
    assert terminal().count("\n") == 1


def test_configuring_again_replaces(logger: Any, terminal: Any, tmp_path: Path) -> None:
    configure(logger=logger, file=tmp_path / "one")
    configure(logger=logger, file=tmp_path / "two")
    logger.info("once")
    assert tail(tmp_path / "one", 9) == []
    assert len(tail(tmp_path / "two", 9)) == 1
    assert terminal().count("\n") == 1


def test_it_rotates(logger: Any, tmp_path: Path) -> None:
    handler = RotatingLog(tmp_path / "log", max_bytes=1000)
    logger.addHandler(handler)
    for i in range(200):
        logger.info("event %04d %s", i, "x" * 80)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["log", *(f"log.{i}" for i in range(1, BACKUPS + 1))]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert tail(tmp_path / "log", 1)[0].startswith("event 0199")


def test_the_sizes_that_were_agreed(tmp_path: Path) -> None:
    handler = RotatingLog(tmp_path / "log")
    handler.close()
    assert (handler.maxBytes, handler.backupCount) == (MAX_BYTES, BACKUPS) == (10_000_000, 5)


def test_any_text_can_be_written(logger: Any, tmp_path: Path) -> None:
    logger.addHandler(RotatingLog(tmp_path / "log"))
    logger.info("half a character: \ud800")
    assert tail(tmp_path / "log", 1) == ["half a character: \\ud800"]


PRINTER = """
import logging, os, sys
from pathlib import Path
from teleporter_lab.daemon import logs
path = Path(sys.argv[1])
logger = logging.getLogger()
logger.addHandler(logs.RotatingLog(path, takes_output=True, max_bytes=300))
for i in range(60):
    logger.warning("event %s", "x" * 50)
os.write(1, b"printed\\n")
os.write(2, b"to both\\n")
"""


def test_what_a_detached_one_prints_moves_on_with_the_file(python: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with open_private(path) as output:
        subprocess.run([*python(PRINTER), str(path)], stdout=output, stderr=output, check=True)
    assert (tmp_path / "log.5").exists()
    assert tail(path, 2) == ["printed", "to both"]


def test_a_detached_one_has_no_terminal(logger: Any, terminal: Any, tmp_path: Path) -> None:
    configure(logger=logger, file=tmp_path / "log", detached=True)
    logger.info("once")
    assert terminal() == ""
    assert len(tail(tmp_path / "log", 9)) == 1


def test_where_logs_are(home: Path) -> None:
    assert log_path("broker", "main") == home / "data" / "logs" / "broker-main.log"
    with pytest.raises(InvalidInput):
        log_path("broker", "../main")


def test_a_log_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "log"
    for _ in range(2):
        with open_private(path) as file:
            file.write(b"line\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_bytes() == b"line\nline\n"


@pytest.mark.parametrize("count", [0, 1, 5, 3000, 20_000])
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_end_of_a_file(tmp_path: Path, count: int, end: str) -> None:
    lines = [f"line {i} ü\u2028 {'x' * (i % 50)}" for i in range(count)]
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + (end if lines else ""), encoding="utf-8")
    for n in (1, 3, 1000, 100_000):
        assert tail(path, n) == lines[-n:]
    assert tail(path, 0) == tail(path, -1) == []


def test_the_end_of_one_endless_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 20_000_000)
    (line,) = tail(path, 5)
    assert 8 * 2**20 <= len(line) <= 16 * 2**20
