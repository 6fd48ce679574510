"""Amounts of bytes, as people write them. Owns their grammar; refuses negative ones and single letters.

`100.mb`, `64 MiB`, `1.5.gb`, `4096`: a bare number is bytes. `kb`, `mb`, `gb`, `tb` are powers of 1000 (SI), `kib`,
`mib`, `gib`, `tib` powers of 1024 (IEC 80000-13), in any case. `100m` is refused, as some mean the one by it and some
the other.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from teleporter_lab.config.quote import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

_RIGHT: Final = "write 100.mb, 64.mib, 1.gb or a number of bytes"
_WRITTEN = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)(?:[.\s]?\s*([a-z]+))?")
_MOST: Final = 1 << 60

_BYTES: Mapping[str, int] = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}


def parse_size(value: object) -> int:
    """The bytes that `value` writes, 1 at least; a part of a byte is cut off. Raises ValueError, one sentence."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(Decimal(value), value)
    found = _WRITTEN.fullmatch(value.strip().lower()) if isinstance(value, str) and len(value) <= 64 else None
    unit = None if found is None else _BYTES.get(found[2] or "b")
    if found is None or unit is None:
        raise ValueError(f"A size is needed, but this is {describe(value)}; {_RIGHT}.")
    return _bounded(Decimal(found[1]) * unit, value)


def _bounded(size: Decimal, written: object) -> int:
    if not 1 <= size <= _MOST:
        raise ValueError(f"A size is 1 byte at least and {_MOST} at most, but this is {describe(written)}.")
    return int(size)


def _validate(value: object) -> int:
    try:
        return parse_size(value)
    except ValueError as error:
        raise PydanticCustomError("size", "{sentence}", {"sentence": str(error)}) from error


_SCHEMA: Final[dict[str, Any]] = {
    "type": ["string", "integer"],
    "examples": ["100.mb", "64.mib", 1048576],
}

Size = Annotated[int, BeforeValidator(_validate), WithJsonSchema(_SCHEMA)]
"""A field of a pydantic model: written as a size, read and written to JSON as bytes."""
