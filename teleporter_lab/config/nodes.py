"""The typed config behind a key: one model for each table. Owns the envelope's fields; refuses to know any connector.

What stands in `client` and `roller` is said by the connector of that `category`; its models are handed in
(`BlockModels`). The documents of the ancestor load unchanged, and `plain` gives them back unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from teleporter_lab.config import document
from teleporter_lab.config.block import Block, refused, without_blanks
from teleporter_lab.config.duration import Duration, parse_duration
from teleporter_lab.config.fields import (
    IS_NUMBER,
    AddressKey,
    Arguments,
    Category,
    Client,
    ErrorRules,
    ExtraKeys,
    GroupKey,
    Id,
    InstanceKey,
    PartRules,
    Port,
    Roller,
    SinkKey,
    Status,
    StreamPattern,
    TaskKey,
    Template,
    Whole,
    at_least_one_or_for_ever,
    longer_than_nothing,
)
from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.problems import explain
from teleporter_lab.config.quote import quote
from teleporter_lab.config.resolve import references
from teleporter_lab.config.secret import MASK
from teleporter_lab.errors import Problem, UnknownConnector, UnresolvedReference

BlockModels: TypeAlias = Callable[[Table, str], "Mapping[str, type[BaseModel]] | None"]
"""The models of a category's blocks in a table, by the block's name; None, or UnknownConnector, for an unknown one."""

RESOLVED: Final = ("client", "roller", "arguments")
"""The fields in which references are looked up; everywhere else `${` is plain text."""
_WITH_CATEGORY: Final = (Table.SOURCE, Table.SINK, Table.ADDRESS)


class Node(Block):
    """The fields that every table has."""

    id: Id = Field(
        default=None, title="Id", description="Number that the broker gives on the first save; unique in the tree."
    )
    key: str | None = Field(default=None, title="Key", description="Last name of the key, kept as it was written.")
    name: str | None = Field(default=None, title="Name", description="A name for people to read.")


class NamespaceNode(Node):
    """A namespace, under which everything of one team or purpose lies."""

    model_config = ConfigDict(title="Namespace")


class BrokerNode(Node):
    """A broker, as the others and the instances reach it."""

    model_config = ConfigDict(title="Broker")

    ip: str | None = Field(default=None, title="Host", description="Host name or IP address where the broker listens.")
    port: Port = Field(default=9021, title="HTTP port", description="TCP port of REST, 1 to 65535.")
    tcp_port: Port = Field(default=9022, title="RPC port", description="TCP port for instances, 1 to 65535.")


class InstanceNode(Node):
    """An instance: one process that runs streams."""

    model_config = ConfigDict(title="Instance")

    group: GroupKey | None = Field(default=None, title="Group", description="Key of the group whose work it shares.")


class GroupNode(Node):
    """A group: tasks, and the instances over which their partitions are spread."""

    model_config = ConfigDict(title="Group")

    tasks: list[TaskKey] = Field(
        default_factory=list[str], title="Tasks", description="Keys of the tasks that the group runs."
    )
    instances: list[InstanceKey] = Field(
        default_factory=list[str], title="Instances", description="Keys of the instances that run them."
    )
    instance_offline_re_balance_time: Duration = Field(
        default=parse_duration("1.minutes"),
        title="Rebalance an offline instance after",
        description="How long an instance that is gone keeps its partitions, such as 1.minutes; Inf: for ever.",
    )


class TaskNode(Node):
    """A task: streams that belong together, their shared template and arguments."""

    model_config = ConfigDict(title="Task")

    group: GroupKey | None = Field(default=None, title="Group", description="Key of the group that runs the task.")
    extra_keys: ExtraKeys = Field(default_factory=dict)
    arguments: Arguments = Field(default_factory=dict)
    template: Template = None


class PartitionNode(Node):
    """A partition: the streams of a task that one instance runs together."""

    model_config = ConfigDict(title="Partition")

    keys: list[StreamPattern] = Field(
        default_factory=list[str],
        title="Keys",
        description="Which streams belong to it: patterns of their keys, such as /stream/ns/task/orders.*",
    )


class StreamNode(Node):
    """A stream: what is run, when, and what happens on errors."""

    model_config = ConfigDict(title="Stream")

    cron: str | None = Field(
        default=None,
        title="Cron",
        description="When it starts: minute, hour, day, month and weekday; empty: at once.",
    )
    status: Status = Field(
        default="NORMAL", title="Status", description="What is wanted: NORMAL runs it, STOPPED keeps it from running."
    )
    extra_keys: ExtraKeys = Field(default_factory=dict)
    error_rules: ErrorRules = Field(default_factory=list)
    arguments: Arguments = Field(default_factory=dict)
    template: Template = None


class AddressRef(Block):
    """Which address a source or sink uses."""

    model_config = ConfigDict(title="Address")

    key: AddressKey | None = Field(default=None, title="Key", description="Its key, such as /address/ns/kafka.")
    bind: str | None = Field(
        default=None,
        title="Bind",
        description="Who gives the same text shares one client; empty: all share one.",
    )


class AckConfig(Block):
    """How a source's records are confirmed and its position is committed."""

    model_config = ConfigDict(title="Acks")

    channel_size: Annotated[int, Field(ge=1, le=64), IS_NUMBER] = Field(
        default=1, title="Channels", description="How many sinks must each confirm a record, 1 to 64."
    )
    cache_size: Annotated[int, Field(ge=1, le=16_777_216), IS_NUMBER] = Field(
        default=65536,
        title="Cache size",
        description="How many records may await confirmation, 1 to 16,777,216.",
    )
    commit_interval: Duration = Field(
        default=parse_duration("1.seconds"),
        title="Commit interval",
        description="How often the position is committed, such as 1.seconds.",
    )
    max_age: Annotated[Duration, AfterValidator(longer_than_nothing)] = Field(
        default=parse_duration("1.minutes"),
        title="Maximal age",
        description="After this time without confirmation a record is sent again; Inf: never.",
    )
    max_deliveries: Annotated[Whole, AfterValidator(at_least_one_or_for_ever)] = Field(
        default=-1, title="Maximal deliveries", description="How often a record is delivered at most; -1: without end."
    )
    batch_coordinate_commit_num: Annotated[int, Field(ge=1), IS_NUMBER] | None = Field(
        default=None,
        title="Commit every n records",
        description=(
            "The position is committed at once when so many confirmed records wait for it; otherwise when more than "
            "half of the cache size do, and in any case after the commit interval."
        ),
    )


class SourceNode(Node):
    """A source: where a stream's records come from."""

    model_config = ConfigDict(title="Source")

    category: Category
    address: AddressRef = Field(
        default_factory=AddressRef, title="Address", description="The shared client by which it reads."
    )
    ack: AckConfig = Field(
        default_factory=AckConfig, title="Acks", description="How its records are confirmed and its position is kept."
    )
    roller: Roller = Field(default_factory=dict)
    client: Client = Field(default_factory=dict)
    error_rules: PartRules = Field(default_factory=list)
    extra_keys: ExtraKeys = Field(default_factory=dict)
    arguments: Arguments = Field(default_factory=dict)


class SinkNode(Node):
    """A sink: where a stream's records go."""

    model_config = ConfigDict(title="Sink")

    category: Category
    address: AddressRef = Field(
        default_factory=AddressRef, title="Address", description="The shared client by which it writes."
    )
    roller: Roller = Field(default_factory=dict)
    client: Client = Field(default_factory=dict)
    dead_letter: SinkKey | None = Field(
        default=None,
        title="Dead letters",
        description="Key of a sink that takes the records refused here; empty: kept for you.",
    )
    error_rules: PartRules = Field(default_factory=list)
    extra_keys: ExtraKeys = Field(default_factory=dict)
    arguments: Arguments = Field(default_factory=dict)


class AddressNode(Node):
    """An address: a system outside and how it is reached, shared by all that use it."""

    model_config = ConfigDict(title="Address")

    category: Category
    client: Client = Field(default_factory=dict)
    arguments: Arguments = Field(default_factory=dict)


class VariableNode(Node):
    """A variable: values that other configs refer to, as ${variable:KEY#field} or ${name.field}."""

    model_config = ConfigDict(title="Variable")

    arguments: Arguments = Field(default_factory=dict)


NODES: Final[Mapping[Table, type[Node]]] = {
    Table.NAMESPACE: NamespaceNode,
    Table.BROKER: BrokerNode,
    Table.INSTANCE: InstanceNode,
    Table.GROUP: GroupNode,
    Table.TASK: TaskNode,
    Table.PARTITION: PartitionNode,
    Table.STREAM: StreamNode,
    Table.SOURCE: SourceNode,
    Table.SINK: SinkNode,
    Table.ADDRESS: AddressNode,
    Table.VARIABLE: VariableNode,
}


def parse_node(key: Key, value: object, blocks: BlockModels | None = None) -> Node:
    """The node that `value`, a JSON value, says for `key`; with `blocks`, connectors check their blocks as well.

    Raises InvalidConfig with all problems. A field of a block that holds a reference is not checked beyond the
    reference's form: what it stands for is known only where the stream runs.
    """
    problems = document.check(value)
    if problems:
        raise refused(f"The config of {key}", problems)
    given = cast("dict[str, Any]", value)
    problems = _text_problems(given)
    if blocks is not None and key.table in _WITH_CATEGORY:
        problems += _block_problems(key.table, given, blocks)
    model = NODES[key.table]
    try:
        node = model.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [*explain(error, model, given), *problems]
        raise refused(f"The config of {key}", list(dict.fromkeys(problems))) from error
    if problems:
        raise refused(f"The config of {key}", problems)
    return node


def plain(node: Node) -> dict[str, Any]:
    """The JSON form of `node`, as it was written: camelCase, fields that were not set left out."""
    return node.document()


def _text_problems(value: dict[str, Any]) -> list[Problem]:
    """References of a wrong form, and masks given back in place of secrets, in the fields that are resolved."""
    problems: list[Problem] = []
    for place, text in (found for name in RESOLVED for found in document.texts(value.get(name), (name,))):
        if MASK in text:
            sentence = f"Holds {MASK}, which only hides a secret; write the reference again, such as ${{env:NAME}}."
            problems.append(Problem(document.path_of(place), sentence))
            continue
        try:
            references(text)
        except UnresolvedReference as error:
            problems.append(Problem(document.path_of(place), error.message))
    return problems


def _block_problems(table: Table, value: dict[str, Any], blocks: BlockModels) -> list[Problem]:
    category = value.get("category")
    if not isinstance(category, str) or not category:
        return []
    try:
        models = blocks(table, category)
    except UnknownConnector as error:
        return [Problem("category", error.message)]
    if models is None:
        return [Problem("category", f"There is no connector {quote(category)} for a {table}; choose another category.")]
    return [problem for name, model in models.items() for problem in _problems_of(name, model, value.get(name))]


def _problems_of(name: str, model: type[BaseModel], value: Any) -> list[Problem]:
    if value is not None and value != "" and not isinstance(value, dict):
        return []
    filled = without_blanks(model, cast("dict[str, Any]", value or {}))
    try:
        model.model_validate(filled, by_alias=True, by_name=False)
    except ValidationError as error:
        return explain(error, model, filled, (name,), deferred=True)
    return []
