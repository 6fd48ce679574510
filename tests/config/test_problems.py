from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from teleporter_lab.config.document import MAX_PROBLEMS
from teleporter_lab.config.problems import explain
from teleporter_lab.config.secret import Secret


class Codec(StrEnum):
    GZIP = "gzip"
    LZ4 = "lz4"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    part_size: int = 1
    name: str = Field(default="", description="A name.")


class Csv(BaseModel):
    kind: Literal["csv"]
    quote: str


class Lines(BaseModel):
    kind: Literal["lines"]


class Client(BaseModel):
    """Every kind of field that a connector may declare."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    topics: str | list[str] = Field(description="Topics to read, comma separated")
    batch_size: int = Field(default=1, ge=1, le=10)
    ratio: float = Field(default=1, gt=0, lt=2, multiple_of=0.5, allow_inf_nan=False)
    quick: bool = False
    codec: Codec | None = None
    mode: Literal["append", "overwrite"] = "append"
    code: str = Field(default="abc", min_length=3, max_length=5, pattern="^[a-z]+$")
    hosts: list[str] = Field(default_factory=list, min_length=1, max_length=3)
    headers: dict[str, int] = Field(default_factory=dict)
    parts: list[Part] = Field(default_factory=list)
    by_name: dict[str, Part] = Field(default_factory=dict)
    format: Annotated[Csv | Lines, Field(discriminator="kind")] | None = None
    url: AnyUrl | None = None
    day: date | None = None
    start: datetime | None = None
    pin: SecretStr | None = None
    word: Secret | None = None
    password: str | None = None

    @field_validator("code")
    @classmethod
    def _not_bad(cls, code: str) -> str:
        if code == "bad":
            raise ValueError("write another code")
        if code == "worse":
            raise AssertionError("not\neven that!")
        return code


def problems(value: dict[str, Any], *, deferred: bool = False) -> list[str]:
    value = {"topics": "a"} | value
    with pytest.raises(ValidationError) as caught:
        Client.model_validate(value)
    return [str(problem) for problem in explain(caught.value, Client, value, ("client",), deferred=deferred)]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"batchSize": "x"}, "client.batchSize: Must be a whole number, but is the text 'x'."),
        ({"batchSize": 1.5}, "client.batchSize: Must be a whole number, but is the number 1.5."),
        ({"batchSize": None}, "client.batchSize: Must be a whole number, but is nothing."),
        ({"batchSize": [1]}, "client.batchSize: Must be a whole number, but is a list of 1."),
        ({"batchSize": 0}, "client.batchSize: Must be at least 1, but is the number 0."),
        ({"batchSize": 11}, "client.batchSize: Must be at most 10, but is the number 11."),
        ({"batchSize": "1" * 5000}, f"client.batchSize: Must be a whole number, but is the text '{'1' * 60}…'."),
        ({"ratio": "x"}, "client.ratio: Must be a number, but is the text 'x'."),
        ({"ratio": 0}, "client.ratio: Must be more than 0, but is the number 0."),
        ({"ratio": 2}, "client.ratio: Must be less than 2, but is the number 2."),
        ({"ratio": 0.7}, "client.ratio: Must be a multiple of 0.5, but is the number 0.7."),
        ({"ratio": float("nan")}, "client.ratio: Must be a finite number, but is the number nan."),
        ({"quick": "perhaps"}, "client.quick: Must be true or false, but is the text 'perhaps'."),
        ({"quick": {}}, "client.quick: Must be true or false, but is an object."),
        ({"codec": "gz"}, "client.codec: Must be one of 'gzip' or 'lz4', but is the text 'gz' (did you mean 'gzip'?)."),
        ({"codec": 5}, "client.codec: Must be one of 'gzip' or 'lz4', but is the number 5."),
        ({"mode": "x"}, "client.mode: Must be one of 'append' or 'overwrite', but is the text 'x'."),
        ({"code": 5}, "client.code: Must be text, but is the number 5."),
        ({"code": "ab"}, "client.code: Must be text of at least 3 characters, but is the text 'ab'."),
        ({"code": "abcdef"}, "client.code: Must be text of at most 5 characters, but is the text 'abcdef'."),
        ({"code": "ABC"}, "client.code: Must be text of the form ^[a-z]+$, but is the text 'ABC'."),
        ({"code": "bad"}, "client.code: Write another code."),
        ({"code": "worse"}, "client.code: Not even that!"),
        ({"hosts": "x"}, "client.hosts: Must be a list, but is the text 'x'."),
        ({"hosts": []}, "client.hosts: Must be at least 1 long, but is a list of 0."),
        ({"hosts": ["a"] * 4}, "client.hosts: Must be at most 3 long, but is a list of 4."),
        ({"hosts": ["a", 5]}, "client.hosts[1]: Must be text, but is the number 5."),
        ({"headers": []}, "client.headers: Must be an object with fields, but is a list of 0."),
        ({"headers": {"a.b": "x"}}, "client.headers[\"a.b\"]: Must be a whole number, but is the text 'x'."),
        ({"parts": [5]}, "client.parts[0]: Must be an object with fields, but is the number 5."),
        ({"parts": [{"name": 5}]}, "client.parts[0].name: Must be text, but is the number 5."),
        ({"parts": [{"partSzie": 5}]}, "client.parts[0].partSzie: There is no such field; did you mean 'partSize'?"),
        ({"byName": {"x": {"nmae": 1}}}, "client.byName.x.nmae: There is no such field; did you mean 'name'?"),
        ({"byName": {"x": {"q": 1}}}, "client.byName.x.q: There is no such field; the fields here are partSize, name."),
        ({"batch_size": 5}, "client.batch_size: There is no such field; did you mean 'batchSize'?"),
        ({"BATCHSIZE": 5}, "client.BATCHSIZE: There is no such field; did you mean 'batchSize'?"),
        ({"topics": 5}, "client.topics: Must be text or a list, but is the number 5."),
        ({"topics": ["a", 5]}, "client.topics[1]: Must be text, but is the number 5."),
        ({"format": {"kind": "csv"}}, "client.format.quote: Is needed; add it."),
        (
            {"format": {"kind": "x"}},
            "client.format: The field 'kind' must be one of 'csv', 'lines', but is 'x'.",
        ),
        ({"format": {}}, "client.format: Needs the field 'kind', which says what form it has."),
        ({"url": "x"}, "client.url: Must be a URL such as https://host:443/path, but is the text 'x'."),
        ({"day": "x"}, "client.day: Must be a date such as 2024-05-31, but is the text 'x'."),
        ({"start": "x"}, "client.start: Must be a date-time such as 2024-05-31T12:00:00, but is the text 'x'."),
    ],
)
def test_each_mistake_is_said_to_a_person(value: dict[str, Any], sentence: str) -> None:
    assert problems(value) == [sentence]


def test_a_missing_field_is_described() -> None:
    with pytest.raises(ValidationError) as caught:
        Client.model_validate({})
    assert [str(problem) for problem in explain(caught.value, Client, {})] == [
        "topics: Is needed: Topics to read, comma separated."
    ]


def test_all_mistakes_are_said_at_once() -> None:
    assert len(problems({"batchSize": "x", "code": 5, "mode": "y", "hosts": [1, 2], "nope": 1})) == 6


@pytest.mark.parametrize("name", ["pin", "word", "password"])
def test_what_may_be_a_secret_is_not_shown(name: str) -> None:
    assert problems({name: ["hunter2"]}) == [f"client.{name}: Must be text, but is a list of 1."]
    assert problems({name: 12345}) == [f"client.{name}: Must be text, but is a number."]


def test_a_resolved_secret_is_not_shown() -> None:
    assert problems({"batchSize": Secret("hunter2")}) == [
        "client.batchSize: Must be a whole number, but is the secret ••••."
    ]


@pytest.mark.parametrize("name", ["batchSize", "ratio", "quick", "codec", "mode", "url", "day", "hosts"])
def test_a_reference_is_checked_once_it_is_resolved(name: str) -> None:
    [left] = problems({name: "${v.x}", "nope": 1}, deferred=True)
    assert left.startswith("client.nope: There is no such field; the fields here are topics, batchSize, ratio, quick,")
    assert len(problems({name: "${v.x}", "nope": 1})) == 2
    assert len(problems({name: "$${v.x}"}, deferred=True)) == 1


def test_a_reference_in_a_field_that_is_not_there_is_a_mistake() -> None:
    assert problems({"topcis": "${v.x}"}, deferred=True) == [
        "client.topcis: There is no such field; did you mean 'topics'?"
    ]


def test_the_list_has_an_end() -> None:
    found = problems({f"x{number}": 1 for number in range(MAX_PROBLEMS + 50)})
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == "client: 50 more mistakes are not listed."


def test_a_huge_name_is_clipped() -> None:
    [sentence] = problems({"x" * 1_000_000: 1})
    assert len(sentence) < 400
