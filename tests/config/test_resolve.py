from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.config.key import Key
from teleporter_lab.config.resolve import mask, references, resolve, unmask
from teleporter_lab.config.secret import MASK, Secret
from teleporter_lab.errors import UnresolvedReference


class Vault:
    """Secrets from two dicts; a value that is an error is raised."""

    def __init__(self, env: dict[str, str | Exception] | None = None, files: dict[str, str | Exception] | None = None):
        self._env = env or {}
        self._files = files or {}

    def env(self, name: str) -> str | None:
        return self._give(self._env.get(name))

    def file(self, path: str) -> str | None:
        return self._give(self._files.get(path))

    def _give(self, found: str | Exception | None) -> str | None:
        if isinstance(found, Exception):
            raise found
        return found


VARIABLES: dict[str, dict[str, Any]] = {
    "/variable/ns/v": {
        "host": "db.example",
        "port": 3306,
        "ratio": 0.5,
        "on": True,
        "none": None,
        "list": [1, "${v.host}"],
        "nested": {"zone": "eu", "group.id": "x"},
        "group.id": "shop",
        "password": "${env:PW}",
        "url": "//${v.host}:${v.port}",
    },
    "/variable/ns/loop": {"a": "${loop.b}", "b": "x${variable:/variable/ns/loop#a}", "self": "${loop.self}"},
}
NAMES = {
    "v": "/variable/ns/v",
    "loop": "/variable/ns/loop",
    "db": "/address/ns/db",
    "gone": "/variable/ns/gone",
    "bad": "?",
}
VAULT = Vault({"PW": "hunter2", "EMPTY": ""}, {"/run/pw": "s3cret\n", "/gone": FileNotFoundError(2, "No such file")})


def look_up(value: Any) -> Any:
    return resolve(value, VARIABLES, NAMES, VAULT)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("${variable:/variable/ns/v#host}", "db.example"),
        ("${v.host}", "db.example"),
        ("${v.port}", 3306),
        ("${v.ratio}", 0.5),
        ("${v.on}", True),
        ("${v.none}", None),
        ("${v.list}", [1, "db.example"]),
        ("${v.nested}", {"zone": "eu", "group.id": "x"}),
        ("${v.nested.zone}", "eu"),
        ("${v.group.id}", "shop"),
        ("${v.url}", "//db.example:3306"),
        ("jdbc://${v.host}:${v.port}/x?on=${v.on}&r=${v.ratio}", "jdbc://db.example:3306/x?on=true&r=0.5"),
        ("$${v.host}", "${v.host}"),
        ("$${v.host} is ${v.host}", "${v.host} is db.example"),
        ("{start} #{id} ${unclosed", "{start} #{id} ${unclosed"),
    ],
)
def test_what_a_reference_becomes(text: str, found: object) -> None:
    got = look_up(text)
    assert got == found
    assert type(got) is type(found)
    assert look_up({"a": [text]}) == {"a": [found]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("${env:PW}", "hunter2"),
        ("${env:EMPTY}", ""),
        ("${file:/run/pw}", "s3cret"),
        ("${v.password}", "hunter2"),
        ("u:${env:PW}@${v.host}", "u:hunter2@db.example"),
    ],
)
def test_secrets_stay_secret(text: str, found: str) -> None:
    got = look_up({"url": text})
    assert isinstance(got["url"], Secret)
    assert got["url"].reveal() == found
    assert not found or found not in str(got)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${x.host}", "extraKeys does not have; add it there, or write '$${x.host}'"),
        ("${hadoop.tmp.dir}", "or write '$${hadoop.tmp.dir}'"),
        ("${gone.host}", "/variable/ns/gone, which does not exist"),
        ("${bad.host}", "names no variable: A key begins with '/'"),
        ("${db.host}", "needs a variable, /variable/:ns/:variable, but /address/ns/db"),
        ("${variable:/variables/ns/v#host}", "did you mean 'variable'"),
        ("${variable:/variable/ns/v}", "names no field"),
        ("${v.prot}", "no field 'prot' among its arguments; they are: 'host', 'port'"),
        ("${v.nested.zoom}", "no field 'nested.zoom'"),
        ("${v.host.x}", "no field 'host.x'"),
        ("${env:NOPE}", "The environment variable 'NOPE' does not exist where the stream runs"),
        ("${file:/nope}", "The file '/nope' does not exist where the stream runs"),
        ("${file:/gone}", "could not be read where the stream runs: No such file"),
        ("x ${v.list}", "needs a text or a number, but is a list of 2"),
        ("x ${v.nested}", "needs a text or a number, but is an object"),
        ("x ${v.none}", "needs a text or a number, but is nothing"),
        ("${loop.self}", "leads back to itself"),
        ("${loop.a}", "leads back to itself"),
        ("${oops}", "is no reference"),
        ("${evn:PW}", "did you mean 'env:'"),
    ],
)
def test_what_leads_nowhere(text: str, says: str) -> None:
    with pytest.raises(UnresolvedReference) as caught:
        look_up({"a": [text]})
    assert says in caught.value.message
    assert "hunter2" not in str(caught.value)


def test_a_secret_that_cannot_be_decoded_is_not_shown() -> None:
    broken = UnicodeDecodeError("utf-8", b"hunter2\xff", 7, 8, "invalid start byte")
    with pytest.raises(UnresolvedReference) as caught:
        resolve("${file:/x}", {}, {}, Vault(files={"/x": broken}))
    assert "hunter2" not in str(caught.value)


def test_the_same_variable_may_be_used_twice() -> None:
    assert look_up("${v.host} ${v.host} ${v.url}") == "db.example db.example //db.example:3306"


def test_resolving_does_not_change_what_was_given() -> None:
    given_value = {"a": ["${v.host}", {"b": "${v.port}"}]}
    before = json.dumps([given_value, VARIABLES])
    look_up(given_value)
    assert json.dumps([given_value, VARIABLES]) == before


def test_growth_without_end_is_stopped() -> None:
    doubling = {"/variable/ns/d": {f"x{n}": f"${{d.x{n + 1}}}" * 2 for n in range(40)} | {"x40": "x"}}
    with pytest.raises(UnresolvedReference, match="More than 10,000 references"):
        resolve("${d.x0}", doubling, {"d": "/variable/ns/d"}, VAULT)
    large = {"/variable/ns/d": {"x": "x" * 1_000_000}}
    with pytest.raises(UnresolvedReference, match="longer than 4,194,304 characters"):
        resolve("${d.x}" * 5, large, {"d": "/variable/ns/d"}, VAULT)


def nested(depth: int) -> Any:
    value: Any = "${env:PW}"
    for _ in range(depth):
        value = [value]
    return value


def test_deep_nesting_exhausts_nothing() -> None:
    with pytest.raises(UnresolvedReference, match="nested deeper than 64"):
        look_up(nested(100_000))
    assert "env:PW" not in str(mask(nested(1_000)))
    assert references(nested(100_000)) == set()


def test_variables_that_are_used() -> None:
    value: Any = {
        "a": "${v.host} ${variable:/variable/ns/w#x}",
        "b": ["${env:PW}", {"c": "${other.x}"}],
        "d": "$${v2.x}",
    }
    assert references(value) == {Key.parse("/variable/ns/w")}
    assert references(value, NAMES) == {Key.parse("/variable/ns/v"), Key.parse("/variable/ns/w")}
    with pytest.raises(UnresolvedReference):
        references("${variable:/address/ns/a#x}")


def test_what_is_shown() -> None:
    value: Any = {
        "url": "//u:${env:PW}@${v.host}",
        "key": "${file:/run/pw}",
        "now": Secret("hunter2"),
        "n": [1, None, True],
    }
    assert mask(value) == {"url": f"//u:{MASK}@${{v.host}}", "key": MASK, "now": MASK, "n": [1, None, True]}


def test_what_was_shown_can_be_given_back() -> None:
    stored: Any = {"url": "//u:${env:PW}@h", "list": ["${env:A}", "${env:B}"], "n": 1}
    edited: Any = {**mask(stored), "n": 2, "list": [MASK, MASK, MASK], "new": MASK}  # type: ignore[dict-item]
    assert unmask(edited, stored) == {
        "url": "//u:${env:PW}@h",
        "list": ["${env:A}", "${env:B}", MASK],
        "n": 2,
        "new": MASK,
    }
    assert unmask(f"//someone:{MASK}@h", "//u:${env:PW}@h") == f"//someone:{MASK}@h"
    assert unmask({"a": MASK}, ["${env:A}"]) == {"a": MASK}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


@given(JSON_VALUES.filter(lambda value: "${" not in json.dumps(value)))
@settings(deadline=None)
def test_a_value_without_references_stays_as_it_is(value: Any) -> None:
    assert json.dumps(resolve(value, {}, {}, Vault())) == json.dumps(value)
    assert json.dumps(mask(value)) == json.dumps(value)
    assert references(value) == set()


PLAIN = st.text("ab:/.#{} ", max_size=6)
HIDDEN = st.sampled_from(["${env:S3CRET}", "${file:/run/S3CRET}", "${env:S3CRET but wrong}", "${file:S3CRET}"])
TEXTS = st.lists(PLAIN | HIDDEN, max_size=5).map("".join) | st.just(Secret("S3CRET"))
WITH_SECRETS = st.recursive(
    TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4), max_leaves=15
)


@given(WITH_SECRETS)
@settings(deadline=None)
def test_the_mask_never_shows_a_secret(value: Any) -> None:
    shown = mask(value)
    assert "S3CRET" not in json.dumps(shown)
    assert mask(shown) == shown


@given(WITH_SECRETS.filter(lambda value: "Secret" not in type(value).__name__))
@settings(deadline=None)
def test_giving_back_what_was_shown_changes_nothing(value: Any) -> None:
    given_back: Any = unmask(mask(value), value)
    assert given_back == value


RIGHT = st.sampled_from(["${env:PW}", "${file:/run/pw}", "${v.password}", "${v.host}", "plain", "$${env:PW}"])


@given(st.lists(RIGHT, min_size=1, max_size=6))
@settings(deadline=None)
def test_text_with_a_secret_in_it_is_a_secret(pieces: list[str]) -> None:
    got = look_up("-".join(pieces))
    has_secret = any(piece in ("${env:PW}", "${file:/run/pw}", "${v.password}") for piece in pieces)
    assert isinstance(got, Secret) is has_secret
    assert ("hunter2" in str.__str__(got) or "s3cret" in str.__str__(got)) is has_secret


@pytest.mark.parametrize("size", [10_000_000])
def test_a_huge_text_is_no_trouble(size: int) -> None:
    for text in ("x" * size, "${" * (size // 2), "${x" + "y" * size):
        assert look_up(text) == mask(text) == text
        assert references(text) == set()
