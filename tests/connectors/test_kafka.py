"""The forms of the Kafka connector say what is right, cost no driver, and show no secret."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from teleporter_lab.connectors.base import Registry
from teleporter_lab.connectors.kafka import KafkaAddressOptions, KafkaConnector, KafkaSinkOptions, KafkaSourceOptions
from teleporter_lab.connectors.kafka_cluster import Cluster
from teleporter_lab.errors import ConnectorError


def test_it_is_found_by_its_names() -> None:
    registry = Registry.load()
    assert registry.get("kafka") is KafkaConnector
    assert registry.get("kafka_consumer") is KafkaConnector
    assert registry.get("kafka_producer") is KafkaConnector
    assert registry.problems == {}
    assert KafkaConnector.describe()["columnar"] == ["source", "sink"]
    sink, source = KafkaConnector.spec("sink"), KafkaConnector.spec("source")
    assert sink.exactly_once == "kafka"
    assert source.distance is not None
    assert source.distance({"t": {"0": 1}}, {"t": {"0": 5}}) == 4


def test_a_form_costs_no_driver() -> None:
    code = (
        "import sys; from teleporter_lab.connectors.base import Registry; "
        "spec = Registry.load().get('kafka').spec('source'); spec.model.model_json_schema(); "
        "print([name for name in ('aiokafka', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"group": "g"}, "either topics or a pattern must be given"),
        ({"topics": ["t"], "pattern": "t", "group": "g"}, "either topics or a pattern must be given"),
        ({"topics": ["t"]}, "a group must be given, or else assign must be all"),
        ({"topics": ["t"], "assign": "all", "group": "g"}, "a group must be given, or else assign must be all"),
        ({"pattern": "(", "group": "g"}, "pattern is no regular expression"),
        ({"topics": ["a b"], "group": "g"}, "String should match pattern"),
        ({"topics": ["t"], "group": "g", "start": "first"}, "start must be earliest, latest, a time such as"),
        ({"topics": ["t"], "group": "g", "start": {"t": {"x": 1}}}, "start must have offsets of 0 or more"),
        ({"topics": ["t"], "group": "g", "format": "avro"}, "Input should be 'json', 'string' or 'bytes'"),
    ],
)
def test_a_mistake_in_a_source_is_told(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as failure:
        KafkaSourceOptions(**options)
    assert wrong in str(failure.value)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, "either topic or topicField must be given"),
        ({"topic": "t", "topic_field": "f"}, "either topic or topicField must be given"),
        ({"topic": "t", "transactional_id": "x"}, "transactionalId may be given only with exactlyOnce"),
    ],
)
def test_a_mistake_in_a_sink_is_told(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as failure:
        KafkaSinkOptions(**options)
    assert wrong in str(failure.value)


def test_one_topic_may_stand_alone() -> None:
    options = KafkaSourceOptions.model_validate({"topics": "t", "group": "g", "start": "2026-01-01T00:00Z"})
    assert options.topics == ["t"]


def test_credentials_are_wanted_with_sasl_and_shown_nowhere() -> None:
    with pytest.raises(ValidationError, match="user and password must be given with SASL_PLAINTEXT"):
        KafkaAddressOptions(bootstrap_servers="h:1", security_protocol="SASL_PLAINTEXT")
    options = KafkaAddressOptions.model_validate(
        {"bootstrapServers": "h:1, i:2", "securityProtocol": "SASL_SSL", "user": "u", "password": "hidden"}
    )
    cluster = Cluster(options)
    assert "hidden" not in repr(options) + str(cluster) + options.model_dump_json()
    assert str(cluster) == "h:1, i:2"
    settings = cluster.settings()
    assert settings["bootstrap_servers"] == ["h:1", "i:2"]
    assert (settings["sasl_plain_username"], settings["sasl_plain_password"]) == ("u", "hidden")
    assert settings["ssl_context"].check_hostname


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Any) -> None:
    for ca_file in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        (tmp_path / "empty.pem").write_text("nothing")
        options = KafkaAddressOptions(bootstrap_servers="h:1", security_protocol="SSL", ca_file=str(ca_file))
        with pytest.raises(ConnectorError, match="A certificate or key of the address cannot be read: "):
            Cluster(options)


def test_an_address_is_wanted() -> None:
    for table, options in (
        ("source", KafkaSourceOptions(topics=["t"], group="g")),
        ("sink", KafkaSinkOptions(topic="t")),
    ):
        with pytest.raises(ConnectorError, match="The connector kafka needs an address of category kafka"):
            KafkaConnector.spec(table).make(options, None)
