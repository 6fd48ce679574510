from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from jsonschema import Draft7Validator
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from teleporter_lab.config.duration import Duration
from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.schema import schema
from teleporter_lab.config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

ANCESTOR = sorted((Path(__file__).parents[1] / "data" / "ancestor").glob("*.json"))


class Csv(BaseModel):
    kind: Literal["csv"] = Field(default="csv", description="Form of the lines.")
    quote: str = Field(default='"', description="Character around values.")


class Lines(BaseModel):
    kind: Literal["lines"] = Field(default="lines", description="Form of the lines.")


class AckConfig(BaseModel):
    """A model whose name is also that of a block of the envelope."""

    level: int = Field(default=1, description="Replicas that confirm.")


class Client(BaseModel):
    """What a file source needs."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    path: str = Field(description="Path of the file.")
    batch_size: int = Field(default=2000, ge=1, description="Records in a batch.")
    batch_time: Duration = Field(default=0.1, description="How long a batch is collected.")
    ratio: float = Field(default=1.0, description="Share of records.")
    password: Secret | None = Field(default=None, description="Password.")
    encoding: str | None = Field(default=None, description="Encoding of the text.")
    header: bool = Field(default=True, description="Whether the first line names the columns.")
    columns: list[str] | None = Field(default=None, description="Columns to read.")
    offset: int | None = Field(default=None, description="First byte.")
    level: Literal[1, 2] = Field(default=1, description="Level.")
    form: Annotated[Csv | Lines, Field(discriminator="kind")] = Field(default=Csv(), description="Form.")
    ack: AckConfig = Field(default=AckConfig(), description="Acks.")


class Free(BaseModel):
    size: int = 1


def properties(root: dict[str, Any], part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of a schema with what it refers to merged in, however deep."""
    for name, field in part.get("properties", {}).items():
        whole = {**root["$defs"][field["$ref"].removeprefix("#/$defs/")], **field} if "$ref" in field else field
        yield f"{path}.{name}", whole
        yield from properties(root, whole, f"{path}.{name}")


@pytest.mark.parametrize("table", Table)
def test_every_field_has_a_title_and_a_sentence(table: Table) -> None:
    made = schema(table, {"client": Client})
    Draft7Validator.check_schema(made)
    json.dumps(made)
    assert made["description"].endswith(".")
    found = dict(properties(made, made))
    assert {".id", ".key", ".name"} <= set(found)
    for path, field in found.items():
        assert field["title"], path
        assert field["title"][0].isupper(), path
        assert field["description"], path


@pytest.mark.parametrize("path", ANCESTOR, ids=lambda path: path.stem)
def test_a_form_takes_the_documents_of_the_ancestor(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    made = schema(Key.parse(document["key"]).table)
    assert [error.message for error in Draft7Validator(made).iter_errors(document["value"])] == []


def test_a_form_refuses_what_is_plainly_wrong() -> None:
    made = schema(Table.SOURCE, {"client": Client})
    value = {"category": "", "nope": 1, "client": {"batchSize": "x"}, "ack": {"cacheSize": 0}}
    paths = {"/".join(map(str, error.absolute_path)) for error in Draft7Validator(made).iter_errors(value)}
    assert paths == {"category", "", "client", "client/batchSize", "ack/cacheSize"}


def test_the_connectors_model_takes_the_place_of_the_block() -> None:
    made = schema(Table.SOURCE, {"client": Client})
    client = dict(properties(made, made))[".client"]
    assert (client["title"], client["description"]) == ("Client", "Settings of the connector that the category names.")
    assert client["required"] == ["path"]
    assert "client" in made["required"]
    assert "client" not in schema(Table.SOURCE, {"client": Free})["required"]
    assert schema(Table.SOURCE)["properties"]["client"]["additionalProperties"] is True


def test_models_of_the_same_name_stay_apart() -> None:
    made = schema(Table.SOURCE, {"client": Client})
    found = dict(properties(made, made))
    assert ".ack.channelSize" in found
    assert ".client.ack.level" in found


def test_a_block_that_the_table_does_not_have_is_left_out() -> None:
    assert schema(Table.STREAM, {"client": Client}) == schema(Table.STREAM)


def test_what_forms_need() -> None:
    made = schema(Table.SOURCE, {"client": Client})
    client = {
        path.removeprefix(".client."): field for path, field in properties(made, made) if path.startswith(".client.")
    }
    assert client["batchSize"]["title"] == "Batch size"
    assert client["batchSize"]["type"] == ["integer", "string"]
    assert client["batchSize"]["minimum"] == 1
    assert client["ratio"]["type"] == ["number", "string"]
    assert client["batchTime"]["default"] == "100.millis"
    assert client["password"]["format"] == "password"
    assert client["password"]["type"] == ["string", "null"]
    assert client["encoding"]["type"] == ["string", "null"]
    assert client["columns"]["type"] == "array"
    assert client["offset"]["type"] == ["integer", "string"]
    assert client["header"]["type"] == "boolean"
    assert client["level"]["enum"] == [1, 2]
    assert "anyOf" not in json.dumps(client["offset"])
    assert '"default": null' not in json.dumps(made)


@pytest.mark.parametrize(
    ("size", "right"),
    [(5, True), ("5", True), (" 5 ", True), ("", True), ("${v.x}", True), ("x", False), ("5.5", False), (0, False)],
)
def test_a_number_may_be_text_or_a_reference(size: object, *, right: bool) -> None:
    validator = Draft7Validator(schema(Table.SOURCE, {"client": Client}))
    assert validator.is_valid({"category": "file", "client": {"path": "x", "batchSize": size}}) is right


def test_what_the_envelope_tells_a_form() -> None:
    group = schema(Table.GROUP)["properties"]
    assert group["tasks"]["items"] == {"type": "string", "x-table": ["task"]}
    assert group["instanceOfflineReBalanceTime"]["default"] == "1.minutes"
    assert group["instanceOfflineReBalanceTime"]["x-duration"] is True
    stream = schema(Table.STREAM)["properties"]
    assert stream["status"]["enum"][:2] == ["NORMAL", "STOPPED"]
    assert stream["template"]["contentMediaType"] == "text/x-python"
    assert stream["extraKeys"]["additionalProperties"]["x-table"] == ["address", "variable"]
    assert list(stream)[:4] == ["id", "key", "name", "cron"]
    assert schema(Table.SOURCE)["title"] == "Source"


def test_asking_twice_gives_separate_schemas() -> None:
    first = schema(Table.STREAM)
    first["properties"].clear()
    assert schema(Table.STREAM)["properties"]
