from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.nodes import (
    NODES,
    AckConfig,
    AddressNode,
    AddressRef,
    BrokerNode,
    GroupNode,
    Node,
    PartitionNode,
    SinkNode,
    SourceNode,
    StreamNode,
    TaskNode,
    VariableNode,
    parse_node,
    plain,
)
from teleporter_lab.config.secret import MASK
from teleporter_lab.errors import InvalidConfig, UnknownConnector

if TYPE_CHECKING:
    from collections.abc import Mapping

ANCESTOR = sorted((Path(__file__).parents[1] / "data" / "ancestor").glob("*.json"))
KEYS = {table: Key(table, tuple("abcd"[: table.depth])) for table in Table}
SOURCE = KEYS[Table.SOURCE]


class KafkaSource(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    topics: str = Field(description="Topics to read, comma separated.")
    batch_size: int = Field(default=2000, ge=1, description="Records in a batch.")
    password: str | None = Field(default=None, description="Password of the user.")


class Roller(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    page_size: int = Field(default=100, description="Records in a page.")


def blocks(table: Table, category: str) -> Mapping[str, type[BaseModel]] | None:
    if category == "unknown":
        raise UnknownConnector("There is no connector 'unknown'; known are kafka and file.")
    return {"client": KafkaSource, "roller": Roller} if category == "kafka" else {} if category == "file" else None


def problems(key: Key, value: object, *, with_blocks: bool = True) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        parse_node(key, value, blocks if with_blocks else None)
    assert caught.value.message.startswith(f"The config of {key} has ")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("path", ANCESTOR, ids=lambda path: path.stem)
def test_a_document_of_the_ancestor_loads_unchanged(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    key = Key.parse(document["key"])
    node = parse_node(key, document["value"])
    assert type(node) is NODES[key.table]
    assert plain(node) == document["value"]
    assert plain(parse_node(key, plain(node))) == document["value"]


def test_the_ancestors_documents_are_of_every_table() -> None:
    tables = {Key.parse(json.loads(path.read_text(encoding="utf-8"))["key"]).table for path in ANCESTOR}
    assert tables == set(Table) == set(NODES)


def test_an_ancestors_source_is_read() -> None:
    document = json.loads((ANCESTOR[0].parent / "source_jdbc.json").read_text(encoding="utf-8"))
    node = parse_node(Key.parse(document["key"]), document["value"])
    assert isinstance(node, SourceNode)
    assert node.category == "jdbc"
    assert node.address == AddressRef(key="/address/shop/warehouse", bind="/source/shop/orders/eu_daily/orders_db")
    assert node.ack == AckConfig(channel_size=2, commit_interval=60.0, cache_size=1024, max_age=120.0)
    assert node.roller["period"] == "10.minutes"
    assert node.extra_keys == {"env": "/variable/shop/env"}
    assert len(node.error_rules) == 2


def test_defaults() -> None:
    source = parse_node(SOURCE, {"category": "kafka"})
    assert isinstance(source, SourceNode)
    ack = source.ack
    assert (ack.channel_size, ack.cache_size, ack.commit_interval, ack.max_age, ack.max_deliveries) == (
        1,
        65536,
        1,
        60,
        -1,
    )
    assert (source.address.key, source.address.bind, source.client, source.roller) == (None, None, {}, {})
    assert (source.id, source.key, source.name) == (None, None, None)
    assert plain(source) == {"category": "kafka"}
    broker, stream, group = (parse_node(KEYS[table], {}) for table in (Table.BROKER, Table.STREAM, Table.GROUP))
    assert isinstance(broker, BrokerNode)
    assert (broker.port, broker.tcp_port) == (9021, 9022)
    assert isinstance(stream, StreamNode)
    assert (stream.status, stream.cron, stream.template) == ("NORMAL", None, None)
    assert isinstance(group, GroupNode)
    assert (group.tasks, group.instances, group.instance_offline_re_balance_time) == ([], [], 60.0)


def test_for_ever() -> None:
    group = parse_node(KEYS[Table.GROUP], {"instanceOfflineReBalanceTime": "Inf"})
    assert isinstance(group, GroupNode)
    assert group.instance_offline_re_balance_time == math.inf


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("maxAge", 0, "ack.maxAge: Must be longer than 0.seconds, or Inf for never."),
        ("maxAge", "0.seconds", "ack.maxAge: Must be longer than 0.seconds, or Inf for never."),
        ("batchCoordinateCommitNum", 0, "ack.batchCoordinateCommitNum: Must be at least 1, but is the number 0."),
        ("batchCoordinateCommitNum", -3, "ack.batchCoordinateCommitNum: Must be at least 1, but is the number -3."),
    ],
)
def test_acks_that_cannot_be(field: str, value: object, sentence: str) -> None:
    assert problems(SOURCE, {"category": "kafka", "ack": {field: value}}, with_blocks=False) == [sentence]


def test_every_mistake_comes_back_at_once() -> None:
    value = {
        "categry": "kafka",
        "address": {"key": "/stream/a/b/c", "bnd": 1},
        "ack": {"channelSize": True, "cacheSize": 0, "maxAge": "1 moon", "maxDeliveries": 0},
        "errorRules": [1, "x"],
        "extraKeys": {"v": "/variables/x/y"},
        "client": [1],
        "arguments": {"a": ["${evn:X}", {"b": MASK}]},
    }
    assert {text.split(":")[0] for text in problems(SOURCE, value)} == {
        "category",
        "categry",
        "address.key",
        "address.bnd",
        "ack.channelSize",
        "ack.cacheSize",
        "ack.maxAge",
        "ack.maxDeliveries",
        "errorRules[0]",
        "errorRules[1]",
        "extraKeys.v",
        "client",
        "arguments.a[0]",
        "arguments.a[1].b",
    }


@pytest.mark.parametrize(
    ("table", "value", "found"),
    [
        (Table.STREAM, {"status": "NORML"}, "status: Must be one of 'NORMAL', 'STOPPED', 'RUNNING'"),
        (Table.STREAM, {"cron": 5}, "cron: Must be text, but is the number 5."),
        (Table.STREAM, {"errorRules": "x"}, "errorRules: Must be a list, but is the text 'x'."),
        (Table.STREAM, {"errorRules": ["X => stop", "X -> stop"]}, "errorRules[1]: The rule 'X -> stop' is wrong at"),
        (Table.SINK, {"category": "file", "errorRules": ["X => restart"]}, "errorRules[0]: The rule 'X => restart' is"),
        (Table.STREAM, {"extra_keys": {}}, "extra_keys: There is no such field; did you mean 'extraKeys'?"),
        (Table.BROKER, {"port": "99999"}, "port: Must be at most 65535, but is the text '99999'."),
        (Table.BROKER, {"tcpPort": "x"}, "tcpPort: Must be a whole number, but is the text 'x'."),
        (Table.GROUP, {"tasks": ["/task/a"]}, "tasks[0]: A task key has the form /task/:ns/:task"),
        (Table.GROUP, {"instances": ["/task/a/b"]}, "instances[0]: Must be a key such as /instance/:ns/:instance"),
        (Table.GROUP, {"instanceOfflineReBalanceTime": "soon"}, "instanceOfflineReBalanceTime: A duration is needed"),
        (Table.INSTANCE, {"group": "/group/a"}, "group: A group key has the form /group/:ns/:group"),
        (Table.TASK, {"group": "/task/a/b"}, "group: Must be a key such as /group/:ns/:group"),
        (Table.PARTITION, {"keys": ["/stream/a/("]}, "keys[0]: '(' is no regular expression"),
        (Table.PARTITION, {"keys": ["/task/a/b"]}, "keys[0]: Must begin with /stream/"),
        (Table.SINK, {"category": "file", "deadLetter": "/source/a/b/c/d"}, "deadLetter: Must be a key such as /sink/"),
        (Table.VARIABLE, {"arguments": []}, "arguments: Must be an object with fields, but is a list of 0."),
        (Table.NAMESPACE, {"ip": "x"}, "ip: There is no such field; the fields here are id, key, name."),
        (Table.ADDRESS, {}, "category: Is needed: Name of the connector, such as kafka, sql or file."),
        (Table.ADDRESS, {"category": ""}, "category: Is needed: Name of the connector"),
        (Table.ADDRESS, {"category": 5}, "category: Must be text, but is the number 5."),
        (Table.ADDRESS, {"id": True, "category": "file"}, "id: Must be a whole number or text, but is true."),
    ],
)
def test_each_table_says_what_would_be_right(table: Table, value: dict[str, Any], found: str) -> None:
    [text] = problems(KEYS[table], value)
    assert text.startswith(found)


def test_a_connector_checks_its_blocks() -> None:
    value = {
        "category": "kafka",
        "client": {"topcis": "x", "batchSize": 0},
        "roller": {"pageSize": "x"},
        "ack": {"cacheSize": 0},
    }
    assert problems(SOURCE, value) == [
        "ack.cacheSize: Must be at least 1, but is the number 0.",
        "client.topics: Is needed: Topics to read, comma separated.",
        "client.batchSize: Must be at least 1, but is the number 0.",
        "client.topcis: There is no such field; did you mean 'topics'?",
        "roller.pageSize: Must be a whole number, but is the text 'x'.",
    ]
    assert problems(SOURCE, {"category": "kafka"}) == ["client.topics: Is needed: Topics to read, comma separated."]
    assert problems(SOURCE, {"category": "kafka", "client": 5}) == [
        "client: Must be an object with fields, but is the number 5."
    ]
    parse_node(SOURCE, {"category": "file", "client": {"anything": 1}}, blocks)


def test_blanks_of_a_connectors_block_are_not_filled_in() -> None:
    value = {"category": "kafka", "client": {"topics": "a", "batchSize": "", "password": None}, "roller": ""}
    assert plain(parse_node(SOURCE, value, blocks)) == value
    assert problems(SOURCE, {"category": "kafka", "client": {"topics": ""}}) == [
        "client.topics: Is needed: Topics to read, comma separated."
    ]


def test_an_unknown_category_is_said_in_the_connectors_words() -> None:
    assert problems(SOURCE, {"category": "unknown", "ack": {"cacheSize": 0}}) == [
        "ack.cacheSize: Must be at least 1, but is the number 0.",
        "category: There is no connector 'unknown'; known are kafka and file.",
    ]
    assert problems(SOURCE, {"category": "other"}) == [
        "category: There is no connector 'other' for a source; choose another category."
    ]


def test_tables_without_a_category_ask_no_connector() -> None:
    def never(table: Table, category: str) -> None:
        raise AssertionError(table)

    assert parse_node(KEYS[Table.STREAM], {}, never) == StreamNode()


def test_references_in_blocks_are_checked_for_their_form_only() -> None:
    value = {"category": "kafka", "client": {"topics": "${v.topics}", "batchSize": "${variable:/variable/ns/v#size}"}}
    assert plain(parse_node(SOURCE, value, blocks)) == value
    wrong = {
        "category": "kafka",
        "client": {"topics": "${v}", "batchSize": "${evn:X}"},
        "roller": {"pageSize": "${variable:/x#y}"},
    }
    assert {text.split(":")[0] for text in problems(SOURCE, wrong)} == {
        "client.topics",
        "client.batchSize",
        "roller.pageSize",
    }


def test_source_text_may_hold_anything() -> None:
    node = parse_node(KEYS[Table.STREAM], {"template": f"f'${{x}} ${{evn:X}} {MASK}'", "errorRules": ["${x} => stop"]})
    assert isinstance(node, StreamNode)
    assert node.template == f"f'${{x}} ${{evn:X}} {MASK}'"


def test_a_literal_secret_is_not_shown() -> None:
    found = problems(
        SOURCE, {"category": "kafka", "client": {"topics": "a", "password": ["hunter2"], "batchSize": "${env:PW}x"}}
    )
    assert found == ["client.password: Must be text, but is a list of 1."]


@pytest.mark.parametrize("wrong", [None, [], "x", "", 5, True, object(), "x" * 10_000_000, {1: 2}, {"a": {1, 2}}, [{}]])
@pytest.mark.parametrize("table", Table)
def test_what_is_no_object_is_refused(table: Table, wrong: object) -> None:
    for text in problems(KEYS[table], wrong):
        assert len(text) < 300


@pytest.mark.parametrize("table", Table)
def test_huge_and_deep_values_are_refused(table: Table) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"arguments": deep}
    assert "nested deeper than 64" in problems(KEYS[table], deep)[0]
    assert "4,194,304 characters" in problems(KEYS[table], {"name": "x" * 10_000_000})[0]
    assert "100,000 fields" in problems(KEYS[table], {"arguments": {"a": [0] * 1_000_000}})[0]
    many = problems(KEYS[table], {f"field{number}": 1 for number in range(50_000)})
    assert len(many) < 300


def test_a_changed_node_is_written_with_its_change() -> None:
    value = {"id": 9, "cron": "", "status": "NORMAL", "template": "x", "extraKeys": {}}
    node = parse_node(KEYS[Table.STREAM], value)
    assert plain(node.model_copy(update={"status": "STOPPED"})) == {**value, "status": "STOPPED"}
    assert plain(node) == value


def test_nodes_are_made_in_python() -> None:
    nodes: list[Node] = [
        SourceNode(category="file", client={"path": "/x"}),
        SinkNode(category="file", dead_letter="/sink/a/b/c/d"),
        AddressNode(category="kafka"),
        TaskNode(group="/group/a/b"),
        PartitionNode(keys=["/stream/a/b/.*"]),
        VariableNode(arguments={"a": 1}),
    ]
    assert [plain(node) for node in nodes] == [
        {"category": "file", "client": {"path": "/x"}},
        {"category": "file", "deadLetter": "/sink/a/b/c/d"},
        {"category": "kafka"},
        {"group": "/group/a/b"},
        {"keys": ["/stream/a/b/.*"]},
        {"arguments": {"a": 1}},
    ]


NAMES = st.sampled_from(
    sorted({info.alias or name for model in NODES.values() for name, info in model.model_fields.items()} | {"nope"})
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["kafka", "file", "1m"])
)
VALUES = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=3),
    ),
    max_size=5,
)


@given(st.sampled_from(Table), VALUES)
@settings(deadline=None, max_examples=400)
def test_any_value_is_a_node_that_says_it_or_a_list_of_mistakes(table: Table, value: dict[str, Any]) -> None:
    try:
        node = parse_node(KEYS[table], value, blocks)
    except InvalidConfig as error:
        sentences = [problem.message for problem in error.problems]
    else:
        assert plain(node) == value
        sentences = ["Fine."]
    assert sentences
    assert all(sentence[-1] in ".?!" for sentence in sentences)
