"""Kafka Connect with Debezium's JDBC sink, from Maven: a standalone worker, and one connector at a time."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from rows import BATCH, TABLE, TOPIC

HERE = Path(__file__).parent
WORKER = """bootstrap.servers={bootstrap}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=true
value.converter.schemas.enable=true
offset.storage.file.filename={folder}/connect-offsets
offset.flush.interval.ms=5000
listeners=http://127.0.0.1:{port}
plugin.path={plugins}
plugin.discovery=service_load
consumer.auto.offset.reset=earliest
consumer.max.poll.records={batch}
consumer.fetch.min.bytes=1
consumer.max.partition.fetch.bytes=4194304
connector.client.config.override.policy=All
"""
SECONDS = 120.0


def fetch(cache: Path) -> None:
    """The jars of the worker and of the connector, once. Raises FileNotFoundError where there is no Maven."""
    for pom, target in (("connect.xml", cache / "connect"), ("plugin.xml", cache / "plugins" / "debezium-jdbc")):
        if not any(target.glob("*.jar")):
            subprocess.run(
                ["mvn", "-q", "-B", "-f", HERE / pom, "dependency:copy-dependencies", f"-DoutputDirectory={target}"],
                check=True,
            )


class Worker:
    """The process; `start`, `sink` … `remove`, `stop`."""

    def __init__(self, cache: Path, folder: Path, bootstrap: str, port: int) -> None:
        self._cache = cache
        self._folder = folder
        self._bootstrap = bootstrap
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it answers."""
        settings = self._folder / "worker.properties"
        settings.write_text(
            WORKER.format(
                bootstrap=self._bootstrap, folder=self._folder, port=self._port, plugins=self._cache / "plugins",
                batch=BATCH,
            )
        )  # fmt: skip
        with (self._folder / "connect.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["java", "-Xmx1g", "-Xms256m", f"-Dlog4j2.configurationFile=file:{HERE / 'log4j2.properties'}", "-cp",
                 f"{self._cache / 'connect'}/*", "org.apache.kafka.connect.cli.ConnectStandalone", settings],
                stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self._call("GET", "/connector-plugins")
            except (urllib.error.URLError, ConnectionError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def sink(self, name: str, dsn: str, tasks: int) -> None:
        """Starts an upserting sink. `dsn`: postgresql://user@host:port/database."""
        user, _, where = dsn.removeprefix("postgresql://").partition("@")
        config = {
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "tasks.max": str(tasks),
            "topics": TOPIC,
            "connection.url": f"jdbc:postgresql://{where}?reWriteBatchedInserts=true",
            "connection.username": user,
            "connection.password": "unused",
            "insert.mode": "upsert",
            "primary.key.mode": "record_key",
            "primary.key.fields": "id",
            "schema.evolution": "none",
            "collection.name.format": TABLE,
            "batch.size": str(BATCH),
            "consumer.override.max.poll.records": str(BATCH),
        }
        self._call("POST", "/connectors", {"name": name, "config": config})

    def failures(self, name: str) -> list[str]:
        status = self._call("GET", f"/connectors/{name}/status")
        return [task["trace"][:500] for task in status["tasks"] if task["state"] == "FAILED"]

    def remove(self, name: str) -> None:
        self._call("DELETE", f"/connectors/{name}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}", method=method, data=data,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")
