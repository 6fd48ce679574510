from __future__ import annotations

import typing

import msgspec
import pytest

from teleporter_lab import errors
from teleporter_lab.errors import Conflict, InvalidConfig, Problem, TeleporterError
from teleporter_lab.rpc import messages
from teleporter_lab.rpc.messages import (
    Failure,
    Hello,
    KVGet,
    KVSave,
    LogLines,
    Message,
    Notice,
    Request,
    StreamState,
    error_of,
    failure_of,
)

MESSAGES = typing.get_args(Message)


def test_a_message_is_a_map_tagged_with_its_name() -> None:
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(Request(3, KVGet("config", "/task/a/b"))))
    assert plain == {"t": "Request", "seq": 3, "body": {"t": "KVGet", "table": "config", "key": "/task/a/b"}}


def test_every_message_class_is_in_the_union() -> None:
    envelopes = set(typing.get_args(messages.Envelope))
    known = {kind for kind in vars(messages).values() if isinstance(kind, type)}
    ours = {kind for kind in known if issubclass(kind, messages.Tagged)} - {messages.Tagged, Failure}
    assert ours - envelopes == set(MESSAGES)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_messages_are_values(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.tag == kind.__name__


def test_unknown_fields_are_ignored() -> None:
    body = msgspec.msgpack.encode({"t": "KVGet", "table": "config", "key": "/k", "since": "a later version"})
    assert msgspec.msgpack.decode(body, type=KVGet) == KVGet("config", "/k")


@pytest.mark.parametrize("table", ["other", "", None])
def test_there_are_two_tables(table: object) -> None:
    body = msgspec.msgpack.encode({"t": "KVGet", "table": table, "key": "/k"})
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(body, type=KVGet)


def test_a_length_that_lies_is_refused() -> None:
    good = msgspec.msgpack.encode(LogLines(["a"]))
    lying = good.replace(b"\x91\xa1a", b"\xdd\xff\xff\xff\xff\xa1a")
    assert lying != good
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(lying, type=LogLines)


def test_the_token_is_not_shown() -> None:
    hello = Hello(1, "very-secret", "/instance/a/b", 1, "host", "0")
    assert "very-secret" not in f"{hello!r} {hello} {[hello]}"


def test_an_error_travels_as_its_class() -> None:
    error = InvalidConfig("Two mistakes.", (Problem("client.topics", "a list"), Problem("", "whole")))
    again = error_of(failure_of(error))
    assert type(again) is InvalidConfig
    assert (again.message, again.problems) == (error.message, error.problems)


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
def test_every_error_class_travels(code: str) -> None:
    kind = errors.BY_CODE[code]
    assert type(error_of(failure_of(kind("why")))) is kind


def test_an_unknown_code_is_the_root_class() -> None:
    assert type(error_of(Failure("from_the_future", "m", []))) is TeleporterError


def test_a_failure_survives_the_wire() -> None:
    failure = failure_of(Conflict("It is another one.", (Problem("a", "b"),)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(failure), type=Failure) == failure


def test_equal_values_are_equal_messages() -> None:
    assert Notice(KVSave("config", "/k", "{}")) == Notice(KVSave("config", "/k", "{}"))
    state = StreamState("/stream/a/b/c", "/instance/a/i", "RUNNING", 1.5, 0, "", {"read": 2}, 0.5)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=StreamState) == state
