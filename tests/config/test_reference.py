from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.config.reference import Kind, Reference, has_reference, hide, split
from teleporter_lab.config.secret import MASK
from teleporter_lab.errors import UnresolvedReference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("variable:/variable/ns/v#host", Reference(Kind.VARIABLE, "/variable/ns/v", "host")),
        ("variable:/variable/ns/v#a.b#c", Reference(Kind.VARIABLE, "/variable/ns/v", "a.b#c")),
        ("v.host", Reference(Kind.NAMED, "v", "host")),
        ("my-v.group.id", Reference(Kind.NAMED, "my-v", "group.id")),
        ("env:DB_PASSWORD", Reference(Kind.ENV, "DB_PASSWORD")),
        ("file:/run/secrets/db", Reference(Kind.FILE, "/run/secrets/db")),
        (r"file:C:\secrets\db", Reference(Kind.FILE, r"C:\secrets\db")),
    ],
)
def test_the_four_kinds(text: str, reference: Reference) -> None:
    assert Reference.parse(text) == reference
    assert str(reference) == f"${{{text}}}"
    assert list(split(f"${{{text}}}")) == [reference]
    assert reference.is_secret is text.startswith(("env:", "file:"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no reference"),
        ("v", "is no reference"),
        (".field", "is no reference"),
        ("v.", "is no reference"),
        ("a b.c", "is no reference"),
        ("variable:", "names no field"),
        ("variable:/variable/ns/v", "names no field"),
        ("variable:/variable/ns/v#", "names no field"),
        ("variable:#host", "names no field"),
        ("env:", "names no environment variable"),
        ("env:A-B", "names no environment variable"),
        ("env:1A", "names no environment variable"),
        ("env: A", "names no environment variable"),
        ("file:", "whole path"),
        ("file:secrets/db", "whole path"),
        ("file:~/db", "whole path"),
        ("evn:PASSWORD", "did you mean 'env:'"),
        ("vault:db/password", "write variable:, env: or file:"),
    ],
)
def test_what_is_no_reference(text: str, says: str) -> None:
    with pytest.raises(UnresolvedReference) as caught:
        list(split(f"before ${{{text}}} after"))
    assert says in caught.value.message
    assert caught.value.message.endswith((".", "?"))


def test_text_in_pieces() -> None:
    assert list(split("")) == []
    assert list(split("plain $ {x} $x {start} #{name}")) == ["plain $ {x} $x {start} #{name}"]
    assert list(split("a${v.x}b${env:Y}")) == ["a", Reference(Kind.NAMED, "v", "x"), "b", Reference(Kind.ENV, "Y")]
    assert "".join(map(str, split("$${v.x} and ${unclosed"))) == "${v.x} and ${unclosed"


@pytest.mark.parametrize(
    ("text", "has"),
    [("", False), ("${v.x}", True), ("${?}", True), ("$${v.x}", False), ("${v.x", False), ("{v.x}", False)],
)
def test_whether_there_is_one(text: str, *, has: bool) -> None:
    assert has_reference(text) is has


def test_secrets_are_hidden_variables_are_not() -> None:
    assert hide("u:${env:PW}@${v.host}/${file:/x}") == f"u:{MASK}@${{v.host}}/{MASK}"
    assert hide("${env:not a name}") == MASK
    assert hide("$${env:PW}") == "$${env:PW}"


def test_a_sentence_does_not_show_what_a_secret_is_called() -> None:
    with pytest.raises(UnresolvedReference) as caught:
        Reference.parse("env:my password is hunter2")
    assert "hunter2" not in caught.value.message


@given(st.text("ab.:#$ /", max_size=30))
@settings(deadline=None)
def test_text_without_braces_is_one_piece(text: str) -> None:
    assert "".join(map(str, split(text))) == text


def test_a_huge_text_takes_no_time() -> None:
    for text in ("${" * 5_000_000, "$" * 10_000_000, "${" + "a" * 10_000_000, "x" * 10_000_000):
        assert list(split(text)) == [text]
    with pytest.raises(UnresolvedReference) as caught:
        list(split("${" + "a" * 10_000_000 + "}"))
    assert len(caught.value.message) < 300
