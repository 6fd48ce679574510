"""Types of fields that several tables share. Owns their checks and descriptions; refuses to know a whole node.

Keys stand in a document as text and stay text in a node; they are checked here, and `x-table` tells forms which
tables a key may be of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.quote import describe, quote
from teleporter_lab.config.rules import EVERY_ACTION, PART_ACTIONS, Action, parse_rule
from teleporter_lab.config.tail_regex import TailRegex
from teleporter_lab.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

Status: TypeAlias = Literal["NORMAL", "STOPPED", "RUNNING", "COMPLETE", "CRON_COMPLETE", "FAILURE", "REMOVE"]


def _key_of(*tables: Table) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            key = Key.parse(text)
        except InvalidInput as error:
            raise _sentence(error.message) from error
        if key.table not in tables:
            forms = " or ".join(table.form for table in tables)
            raise _sentence(f"Must be a key such as {forms}, but {quote(text)} is in the table {key.table}.")
        return text

    return check


def _stream_pattern(text: str) -> str:
    try:
        pattern = TailRegex.parse(text)
    except InvalidInput as error:
        raise _sentence(error.message) from error
    if not pattern.prefix.startswith("/stream/"):
        raise _sentence(f"Must begin with /stream/, such as /stream/ns/task/.*, but is the text {quote(text)}.")
    return text


def _rule_with(actions: tuple[Action, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            parse_rule(text, actions)
        except InvalidInput as error:
            raise _sentence(error.message) from error
        return text

    return check


def at_least_one_or_for_ever(number: int) -> int:
    """The check of a count where -1 means "without end"."""
    if number == 0 or number < -1:
        raise _sentence(f"Must be at least 1, or -1 for ever, but is {describe(number)}.")
    return number


def longer_than_nothing(seconds: float) -> float:
    """The check of a time that must pass."""
    if seconds <= 0:
        raise _sentence("Must be longer than 0.seconds, or Inf for never.")
    return seconds


def _sentence(text: str) -> PydanticCustomError:
    return PydanticCustomError("sentence", "{text}", {"text": text})


def _key_field(*tables: Table) -> Any:
    return Field(json_schema_extra={"x-table": list(tables)})


def _refuse_truth(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticKnownError("int_type")
    return value


IS_NUMBER = BeforeValidator(_refuse_truth)
"""Put behind the limits of an `int`: text such as `"9021"` is taken, true and false are not."""
Whole = Annotated[int, IS_NUMBER]
Port = Annotated[int, Field(ge=1, le=65535), IS_NUMBER]
Id = Annotated[StrictInt | StrictStr | None, WithJsonSchema({"type": ["integer", "string"], "readOnly": True})]

AddressKey = Annotated[str, AfterValidator(_key_of(Table.ADDRESS)), _key_field(Table.ADDRESS)]
GroupKey = Annotated[str, AfterValidator(_key_of(Table.GROUP)), _key_field(Table.GROUP)]
TaskKey = Annotated[str, AfterValidator(_key_of(Table.TASK)), _key_field(Table.TASK)]
InstanceKey = Annotated[str, AfterValidator(_key_of(Table.INSTANCE)), _key_field(Table.INSTANCE)]
SinkKey = Annotated[str, AfterValidator(_key_of(Table.SINK)), _key_field(Table.SINK)]
ExtraKey = Annotated[
    str, AfterValidator(_key_of(Table.ADDRESS, Table.VARIABLE)), _key_field(Table.ADDRESS, Table.VARIABLE)
]
StreamPattern = Annotated[str, AfterValidator(_stream_pattern)]

ExtraKeys = Annotated[
    dict[str, ExtraKey],
    Field(
        title="Extra keys",
        description="Short names for further addresses and variables: name to key, used as ${name.field}.",
    ),
]
Arguments = Annotated[
    dict[str, Any],
    Field(title="Arguments", description="Free values that the stream logic can read by name."),
]
_RULES = Field(
    title="Error rules",
    description="What to do on errors, first match wins, such as `.*Timeout.*:WARN => retry(delay = 10.seconds)`.",
)
ErrorRules = Annotated[list[Annotated[str, AfterValidator(_rule_with(EVERY_ACTION))]], _RULES]
PartRules = Annotated[list[Annotated[str, AfterValidator(_rule_with(PART_ACTIONS))]], _RULES]
"""Error rules of a source or a sink, which has nothing to restart but the whole stream."""
Template = Annotated[
    str | None,
    Field(
        title="Template",
        description="Source text of the stream logic, `git:URL#path@ref`, or `builtin:` and a name.",
        json_schema_extra={"contentMediaType": "text/x-python"},
    ),
]
Client = Annotated[
    dict[str, Any],
    Field(title="Client", description="Settings of the connector that the category names."),
]
Roller = Annotated[
    dict[str, Any],
    Field(title="Roller", description="How reading or writing is cut into pages, windows or files."),
]
Category = Annotated[
    str, Field(title="Category", description="Name of the connector, such as kafka, sql or file.", min_length=1)
]
