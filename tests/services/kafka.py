"""A Kafka broker of the tests' own: one for the session, topics with fresh names for each test.

Fetched by Maven, run by Java on free loopback ports in a temporary folder, in KRaft mode: broker and controller in one
process. It can be killed and started again on what it had.
"""

from __future__ import annotations

import base64
import itertools
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.services import CACHE, Unavailable, give_up
from tests.services.kafka_client import Kafka
from tests.services.process import ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "4.3.1"
FETCHED = CACHE / "kafka"
LOG_BINDING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4")
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{}
  </dependencies>
</project>
"""
DEPENDENCY = """
    <dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"""
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "4",
}
"""Single node, small, quick to start, also after a crash, when the controller waits for the end of the old broker's
session; a topic is there only when somebody has made it."""
LOGGING = """\
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
"""


def installation() -> Path:
    """The folder with the jars; fetches them where there are none. Raises Unavailable."""
    if shutil.which("java") is None:
        raise Unavailable(f"Kafka {VERSION} needs Java 17 or later, and there is no java on the PATH.")
    jars = FETCHED / f"libs-{VERSION}"
    if not jars.is_dir():
        _fetch(jars)
    return jars


def _fetch(jars: Path) -> None:
    if shutil.which("mvn") is None:
        raise Unavailable(f"Kafka {VERSION} is fetched by Maven, and there is no mvn on the PATH.")
    FETCHED.mkdir(parents=True, exist_ok=True)
    wanted = (("org.apache.kafka", "kafka_2.13", VERSION), LOG_BINDING)
    pom = FETCHED / "pom.xml"
    pom.write_text(POM.format("".join(DEPENDENCY.format(*each) for each in wanted)), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=FETCHED) as folder:
        command = [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(pom),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={folder}/jars",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = ((done.stdout + done.stderr).strip().splitlines() or ["it does not say why"])[0]
            raise Unavailable(f"Kafka {VERSION} cannot be fetched by Maven: {said}")
        (Path(folder) / "jars").rename(jars)


class Server(ServerProcess):
    """One broker; `start`, then `stop` or `kill`, then perhaps `start` again."""

    def __init__(self, folder: Path, jars: Path) -> None:
        super().__init__(f"Kafka {VERSION}", folder)
        self._java = ("java", "-Xmx384m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={folder}/log4j2.properties")
        self._classes = ("-cp", f"{jars}/*")
        self.port = free_port()
        self._controller = free_port()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it serves clients. Raises Unavailable with what it said when it does not."""
        if not (self.folder / "data").exists():
            self._format()
        command = [*self._java, *self._classes, "kafka.Kafka", "server.properties"]
        self.launch(command, lambda: "Kafka Server started" in self.log)

    def _format(self) -> None:
        listeners = f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self._controller}"
        settings = {
            **SETTINGS,
            "listeners": listeners,
            "advertised.listeners": listeners,
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller}",
            "log.dirs": str(self.folder / "data"),
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.folder / "server.properties").write_text("".join(lines), encoding="utf-8")
        (self.folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        tool = ("kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", "server.properties", "--standalone")
        done = subprocess.run(
            [*self._java, *self._classes, *tool], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unavailable(f"{self.name} cannot make its folder: {(done.stdout + done.stderr).strip()}")


def _cluster_id() -> str:
    """An id in the form that the tool wants; one with a dash in front would be taken for an option."""
    return "T" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:].rstrip("=")


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[Server]:
    """The one broker of the session. Who kills it starts it again."""
    with tempfile.TemporaryDirectory(prefix="teleporter-kafka-") as folder:
        try:
            server = Server(Path(folder), installation())
            server.start()
        except Unavailable as why:
            give_up(why)
        yield server
        server.stop()


NUMBERS = itertools.count(1)


@pytest.fixture
def kafka(kafka_server: Server) -> Kafka:
    """The broker, and topics and groups that no other test has."""
    return Kafka(kafka_server.bootstrap, f"t{next(NUMBERS)}")
