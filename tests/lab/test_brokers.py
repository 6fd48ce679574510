"""Names, and what of a connection file may be shown. Finding, starting and asking brokers: test_server.py."""

from __future__ import annotations

import pytest

from teleporter_lab.daemon.connection_file import ConnectionFile
from teleporter_lab.errors import InvalidInput
from teleporter_lab.lab.brokers import check_name, object_of, shown


@pytest.mark.parametrize("name", ["default", "a.b-c_1", "-x"])
def test_takes_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a/b", "a b", "é", None, 1, "a\n"])
def test_refuses_what_is_no_name(name: object) -> None:
    with pytest.raises(InvalidInput, match="letters"):
        check_name(name)


def test_shows_all_of_a_broker_but_its_token() -> None:
    file = ConnectionFile.new("broker", "b", url="http://x", rpc="x:1", token="secret", log="/l")
    assert shown(file, True)["name"] == "b"
    assert "secret" not in repr(shown(file, True))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"1"])
def test_reads_no_object_from_anything_else(body: bytes) -> None:
    assert object_of(body) == {}


def test_reads_an_object() -> None:
    assert object_of(b'{"a": 1}') == {"a": 1}
