"""Values as texts: one canonical form, so that equal values are equal texts and have equal tags.

Owns canonical JSON, entity tags and the bounds of what JSON may hold. Refuses to know any field (`config` does).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, cast

from teleporter_lab.errors import InvalidInput

JSON = Any
"""What JSON can hold: dict, list, str, int, float, bool, None."""

MAX_DEPTH = 64
"""How deep lists and objects may stand in each other; no config needs more, and a parser's stack is finite."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and the canonical text of its value."""

    key: str
    text: str

    @property
    def value(self) -> JSON:
        """The value, a fresh copy."""
        return json.loads(self.text)

    @property
    def etag(self) -> str:
        """Changes when the value does."""
        return etag(self.text)

    def body(self) -> dict[str, JSON]:
        """`{key, value, etag}`, as REST answers it."""
        return {"key": self.key, "value": self.value, "etag": self.etag}


def etag(text: str) -> str:
    """A tag of 128 bits of a canonical text, without quotes."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def canonical(value: JSON) -> str:
    """The one text of `value`: sorted names, no spaces.

    Raises InvalidInput for what JSON cannot say (NaN, infinities, half of a surrogate pair), for numbers of
    thousands of digits and for what is nested deeper than MAX_DEPTH.
    """
    _check_depth(value)
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("A text in the value holds half of a surrogate pair, which is no character.") from error
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The value cannot be written as JSON: {error}.") from error
    return text


def parse(text: str | bytes) -> JSON:
    """The value that `text` says. Raises InvalidInput, saying where, when it is not JSON or nested too deep."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"This is not JSON, line {error.lineno}, column {error.colno}: {error.msg}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("This is not JSON: it is not UTF-8.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise InvalidInput(f"This is not JSON: {error}.") from error
    _check_depth(value)
    return value


def _check_depth(value: JSON) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise _too_deep()


def _children(value: JSON) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else []


def _too_deep() -> InvalidInput:
    return InvalidInput(f"The value is nested deeper than {MAX_DEPTH} levels.")
