"""The broker of the tests starts, ends, and comes back after a crash with what it had; its absence is told."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services import Unavailable
from tests.services import kafka as module
from tests.services.kafka import Server, installation
from tests.services.kafka import kafka as kafka
from tests.services.kafka import kafka_server as kafka_server
from tests.services.kafka_client import Kafka

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.kafka
def test_every_test_has_topics_of_its_own(kafka: Kafka) -> None:
    one, two = kafka.topic(2), kafka.topic()
    kafka.produce(one, [b"a", b"b"], partition=1)
    kafka.transaction(one, [b"c"], commit=True)
    kafka.transaction(one, [b"d"], commit=False)
    assert kafka.values(one) == [b"c", b"a", b"b"]
    assert kafka.values(one, committed=False) == [b"c", b"d", b"a", b"b"]
    assert kafka.values(two) == []
    assert kafka.committed(kafka.name()) == {}


@pytest.mark.kafka
@pytest.mark.faults
def test_a_killed_broker_comes_back_with_what_it_had() -> None:
    with tempfile.TemporaryDirectory(prefix="teleporter-kafka-") as folder:
        try:
            server = Server(Path(folder), installation())
        except Unavailable as why:
            module.give_up(why)
        server.start()
        kafka = Kafka(server.bootstrap, "killed")
        topic = kafka.topic()
        kafka.produce(topic, [b"kept"])
        first = server.pid
        server.kill()
        server.kill()
        with pytest.raises(Unavailable, match="does not run"):
            _ = server.pid
        server.start()
        assert server.pid != first
        assert kafka.values(topic) == [b"kept"]
        server.stop()
        server.stop()


@pytest.mark.parametrize(
    ("missing", "why"),
    [("java", "needs Java 17 or later, and there is no java"), ("mvn", "is fetched by Maven, and there is no mvn")],
)
def test_a_program_that_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, why: str
) -> None:
    monkeypatch.setattr(module, "FETCHED", tmp_path / "nothing")
    monkeypatch.setattr(module.shutil, "which", lambda name: None if name == missing else f"/bin/{name}")
    with pytest.raises(Unavailable, match=why):
        installation()


def maven(code: int) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(command: Any, **_: Any) -> subprocess.CompletedProcess[str]:
        if not code:
            Path(command[-1].partition("=")[2]).mkdir()
        return subprocess.CompletedProcess(command, code, "[ERROR] No network.\nMore.\n", "")

    return run


def test_what_maven_fails_with_is_told_and_what_it_fetches_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "FETCHED", tmp_path / "kafka")
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(module.subprocess, "run", maven(1))
    with pytest.raises(Unavailable, match=r"cannot be fetched by Maven: \[ERROR\] No network\.$"):
        installation()
    monkeypatch.setattr(module.subprocess, "run", maven(0))
    assert installation().is_dir()
    assert "<artifactId>kafka_2.13</artifactId><version>4.3.1</version>" in (tmp_path / "kafka/pom.xml").read_text()
    monkeypatch.setattr(module.subprocess, "run", maven(1))
    assert installation().is_dir(), "it is not fetched again"
