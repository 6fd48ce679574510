"""Dead letters as an instance makes them."""

from __future__ import annotations

import json
from typing import Any

STREAM = "/stream/ns/t/s0"


def letter(number: int, record: Any = None, stream: str = STREAM, **fields: Any) -> tuple[str, str]:
    """The id and the text of a letter."""
    name = f"{number:016x}-00000000"
    whole = {
        "id": name,
        "stream": stream,
        "place": "map(to_event)",
        "part": "",
        "position": {"offset": number},
        "error": {"type": "ValueError", "message": "no number"},
        "tries": 1,
        "at": 1_700_000_000.0 + number,
        "record": {"n": number} if record is None else record,
        "redrivable": True,
        "edited": False,
    }
    return name, json.dumps(whole | fields)


def letters(count: int, **fields: Any) -> list[tuple[str, str]]:
    return [letter(number, **fields) for number in range(count)]


def names(page: dict[str, Any]) -> list[int]:
    """The numbers of the letters of a page."""
    return [int(row["id"].split("-")[0], 16) for row in page["letters"]]
