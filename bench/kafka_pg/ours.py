"""Our contender: a broker and an instance as processes of their own, one stream from the topic to the table."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from rows import TABLE, TOPIC

from teleporter_lab.blocking import BlockingClient
from teleporter_lab.client import Client
from teleporter_lab.daemon.connection_file import ConnectionFile

STREAM = "/stream/bench/kafka/rows"
TEMPLATE = Path(__file__).with_name("stream.py").read_text(encoding="utf-8")
INSTANCE = "/instance/bench/one"


class Ours:
    """`start`, then a stream at a time, then `stop`."""

    def __init__(self, folder: Path, bootstrap: str, dsn: str) -> None:
        self._environment = {**os.environ, "TELEPORTER_HOME": str(folder / "home")}
        os.environ["TELEPORTER_HOME"] = self._environment["TELEPORTER_HOME"]
        self._bootstrap = bootstrap
        self._dsn = dsn

    def start(self) -> None:
        self._command("broker", "start", "--port", "0", "--rpc-port", "0")
        self._command("instance", "start", "--key", INSTANCE)
        with self._client() as client:
            client.save("/address/bench/kafka", {"category": "kafka", "client": {"bootstrapServers": self._bootstrap}})
            client.save("/address/bench/database", {"category": "sql", "client": {"url": self._dsn}})
            client.save(
                f"/sink{STREAM[len('/stream') :]}/table",
                {
                    "category": "sql", "address": {"key": "/address/bench/database"},
                    "client": {"table": TABLE, "mode": "upsert", "keys": ["id"]},
                },
            )  # fmt: skip
            client.save("/task/bench/kafka", {"group": "/group/bench/all"})
            client.save("/partition/bench/kafka/rows", {"keys": [STREAM]})
            client.save("/group/bench/all", {"tasks": ["/task/bench/kafka"], "instances": [INSTANCE]})

    def run(self) -> None:
        """Starts the stream, in a group of its own."""
        with self._client() as client:
            client.save(f"/source{STREAM[len('/stream') :]}/topic", self._source())
            client.save(STREAM, {"template": TEMPLATE})
            client.refresh("/group/bench/all")
            client.start(STREAM)

    def end(self) -> dict[str, Any]:
        """Stops the stream; its counts."""
        with self._client() as client:
            client.stop(STREAM)
            return client.streams(STREAM)[0]["counts"]

    def _source(self) -> dict[str, Any]:
        return {
            "category": "kafka", "address": {"key": "/address/bench/kafka"},
            "client": {
                "topics": [TOPIC], "group": f"ours-{uuid.uuid4()}", "start": "earliest", "format": "bytes",
                "payload": True,
            },
        }  # fmt: skip

    @property
    def pids(self) -> dict[str, int]:
        files = {
            "broker": ConnectionFile.read("broker", "default"),
            "instance": ConnectionFile.read("instance", "bench--one"),
        }
        return {f"ours: {name}": file.pid for name, file in files.items() if file is not None}

    def stop(self) -> None:
        self._command("instance", "stop", "--key", INSTANCE)
        self._command("broker", "stop")

    def _client(self) -> BlockingClient:
        return BlockingClient(Client.find())

    def _command(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "teleporter_lab", *arguments], check=True, env=self._environment,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
