"""How a value stands in a sentence. Owns clipping and hiding; refuses to show a secret or more than a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from teleporter_lab.config.reference import hide
from teleporter_lab.config.secret import MASK, Secret

_WIDTH = 60
_WINDOW = 2_000
_DIGITS = 200


def quote(text: str) -> str:
    """`text` between quotes, on one line, clipped to 60 characters, references to secrets shown as `••••`."""
    if isinstance(text, Secret):
        return MASK
    shown = hide(text[:_WINDOW])
    return f"'{_one_line(shown[:_WIDTH])}{'…' if len(shown) > _WIDTH else ''}'"


def describe(value: object) -> str:
    """What was found, as words of a sentence: `the text 'abc'`, `the number 5`, `a list of 3`."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case Secret():
            return f"the secret {MASK}"
        case str():
            return f"the text {quote(value)}" if value else "an empty text"
        case _:
            return kind(value)


def kind(value: object) -> str:
    """What sort of value was found, without showing it: for what may be a secret."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case list() | tuple():
            return f"a list of {len(cast('Sequence[object]', value))}"
        case _:
            return f"a value of Python's type {type(value).__name__[:_WIDTH]}"


def _number(value: float) -> str:
    if isinstance(value, int) and value.bit_length() > _DIGITS:
        return "a number of very many digits"
    return f"the number {value}"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "·" for char in text)
