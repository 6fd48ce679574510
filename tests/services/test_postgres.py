"""The server of the tests starts and ends, or its absence is told."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.services import Unavailable, give_up
from tests.services import postgres as module
from tests.services.postgres import Postgres, Server, installation
from tests.services.postgres import postgres as postgres
from tests.services.postgres import postgres_server as postgres_server


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.postgres
def test_every_test_has_a_database_of_its_own(postgres: Postgres, postgres_server: Server) -> None:
    postgres.run("CREATE TABLE t (id INT)")
    postgres.fill("t", [{"id": 1}, {"id": 2}])
    assert postgres.rows("SELECT * FROM t") == [{"id": 1}, {"id": 2}]
    assert postgres.there("t")
    assert not postgres.there("other")
    assert answers(postgres_server.port)


@pytest.mark.postgres
def test_a_stopped_server_is_gone(postgres_server: Server) -> None:
    with tempfile.TemporaryDirectory(prefix="teleporter-postgres-") as folder:
        server = Server(Path(folder), installation())
        server.start()
        assert answers(server.port)
        server.stop()
        server.stop()
        assert not answers(server.port)
    assert answers(postgres_server.port)


@pytest.mark.postgres
def test_a_killed_server_starts_again_with_what_it_had(postgres_server: Server) -> None:
    with tempfile.TemporaryDirectory(prefix="teleporter-postgres-") as folder:
        server = Server(Path(folder), installation())
        server.start()
        there = Postgres(server.url("postgres"))
        there.run("CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)")
        server.kill()
        server.kill()
        assert not answers(server.port)
        server.start()
        assert there.rows("SELECT * FROM t") == [{"id": 1}]
        server.stop()
    assert answers(postgres_server.port)


def test_a_server_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(command: Any, **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "looking\nNo network.\n")

    monkeypatch.setattr(module, "PLACES", ())
    monkeypatch.setattr(module, "FETCHED", tmp_path / "nothing")
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    monkeypatch.setattr(module.subprocess, "run", refused)
    with pytest.raises(Unavailable, match=r"^PostgreSQL is not installed, and .* cannot be fetched: No network\.$"):
        installation()


def test_its_absence_is_a_skip_or_where_servers_are_required_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEPORTER_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="It is not there"):
        give_up(Unavailable("It is not there."))
    monkeypatch.setenv("TELEPORTER_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="It is not there"):
        give_up(Unavailable("It is not there."))
