"""Records as JSON that gives the same records back: how a dead letter keeps what was put aside.

Plain JSON stands for itself. What JSON has no form for is an object with one field that begins with `$`:

    {"$bytes": base64}  {"$datetime": ISO 8601}  {"$date": …}  {"$time": …}  {"$decimal": "1.2"}  {"$uuid": "…"}
    {"$tuple": […]}  {"$set": […]}  {"$float": "nan"}  {"$text": with Python's escapes, for half a surrogate pair}
    {"$map": [[key, value], …]} for a dict with keys that are no text or begin with `$`
    {"$repr": "…"} for anything else: a person can read it, and nothing can make the record of it again

Only objects of just these types are kept as such, as one of a subclass would not come back the same. Refuses to know
letters (`letter`).
"""

from __future__ import annotations

import base64
import binascii
import math
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from teleporter_lab.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH: Final = 60
"""Levels of JSON that a record may take; the store takes a few more."""

SHOWN: Final = 2000
"""Characters of what cannot be kept that are shown."""

_LARGEST: Final = 10_000
"""Bits of a whole number; Python refuses to read texts of larger ones."""


def encode(record: Any) -> tuple[Any, bool]:
    """`record` in plain JSON values, and whether `decode` gives it back the same."""
    writing = _Writing()
    return writing.value(record, DEPTH), writing.whole


def decode(value: Any) -> Any:
    """The record that `encode` was given. Raises InvalidInput for what is no such form, and for a `$repr`."""
    match value:
        case list():
            return [decode(item) for item in cast("list[Any]", value)]
        case dict():
            fields = cast("dict[str, Any]", value)
            tag = next((name for name in fields if name.startswith("$")), None)
            return {name: decode(item) for name, item in fields.items()} if tag is None else _untagged(tag, fields)
        case _:
            return value


class _Writing:
    """One record on its way to JSON."""

    def __init__(self) -> None:
        self.whole = True

    def value(self, record: Any, depth: int) -> Any:
        kind = cast("type[Any]", type(record))
        if record is None or kind is bool:
            return record
        if depth > 2 and (form := _FORMS.get(kind)) is not None:  # 2 of them may be tags around what comes next
            return form(self, record, depth - 1)
        return self.shown(record)

    def shown(self, record: Any) -> Any:
        self.whole = False
        return {"$repr": _clean(_repr(record)[:SHOWN])}

    def values(self, records: Any, depth: int) -> list[Any]:
        return [self.value(record, depth) for record in records]

    def text(self, text: str, _: int) -> Any:
        return text if _clean(text) == text else {"$text": text.encode("unicode_escape").decode("ascii")}

    def whole_number(self, number: int, _: int) -> Any:
        return number if number.bit_length() <= _LARGEST else self.shown("a whole number of very many digits")

    def float(self, number: float, _: int) -> Any:
        return number if math.isfinite(number) else {"$float": str(number)}

    def mapping(self, fields: dict[Any, Any], depth: int) -> Any:
        if all(type(name) is str and not name.startswith("$") and _clean(name) == name for name in fields):
            return {name: self.value(item, depth) for name, item in fields.items()}
        return {"$map": [[self.value(name, depth - 2), self.value(item, depth - 2)] for name, item in fields.items()]}


_FORMS: Final[dict[type[Any], Callable[[_Writing, Any, int], Any]]] = {
    str: _Writing.text,
    int: _Writing.whole_number,
    float: _Writing.float,
    list: _Writing.values,
    dict: _Writing.mapping,
    tuple: lambda writing, record, depth: {"$tuple": writing.values(record, depth - 1)},
    set: lambda writing, record, depth: {"$set": writing.values(sorted(record, key=_repr), depth - 1)},
    bytes: lambda _, record, __: {"$bytes": base64.b64encode(record).decode("ascii")},
    datetime: lambda _, record, __: {"$datetime": record.isoformat()},
    date: lambda _, record, __: {"$date": record.isoformat()},
    time: lambda _, record, __: {"$time": record.isoformat()},
    Decimal: lambda _, record, __: {"$decimal": str(record)},
    UUID: lambda _, record, __: {"$uuid": str(record)},
}


def _untagged(tag: str, fields: dict[str, Any]) -> Any:
    value = fields[tag]
    if tag == "$repr":
        raise InvalidInput("This record was of a kind that cannot be kept: what is shown is not the record.")
    read = _TAGS.get(tag)
    if read is None or len(fields) > 1:
        known = ", ".join(_TAGS)
        raise InvalidInput(f"{tag!r} stands alone in its object and is one of {known}; in `$map` any name may stand.")
    try:
        return read(value)
    except (ValueError, TypeError, AttributeError, InvalidOperation) as error:
        raise InvalidInput(f"What stands under {tag} in a record is none: {error}.") from error


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("it must be a list")
    return [decode(item) for item in cast("list[Any]", value)]


def _map(value: Any) -> dict[Any, Any]:
    pairs = _list(value)
    if not all(isinstance(pair, list) and len(cast("list[Any]", pair)) == 2 for pair in pairs):
        raise TypeError("it must be a list of pairs")
    return dict(pairs)


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"it must be base64: {error}") from error


_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    "$bytes": _bytes,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$decimal": lambda value: Decimal(_text(value)),
    "$uuid": UUID,
    "$tuple": lambda value: tuple(_list(value)),
    "$set": lambda value: set(_list(value)),
    "$float": lambda value: float(_text(value)),
    "$text": lambda value: _text(value).encode("ascii").decode("unicode_escape"),
    "$map": _map,
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it must be a text")
    return value


def _clean(text: str) -> str:
    """`text` as any reader of JSON takes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - what cannot even be shown has the name of its type
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
