"""`{start}` and `#{start}` in queries and filters.

Owns the two ways a value gets there: as text, and as a parameter that the driver binds. Only a roller's own values do,
which are moments and whole numbers. A `{word}` that is no variable stays as it is, a `#{word}` is a mistake then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VARIABLES = ("start", "end", "page", "offset", "pageSize")
TIMES = frozenset({"start", "end"})
PAGES = frozenset({"page", "offset"})

_MARK = re.compile(r"#\{([^{}]*)\}|\{(" + "|".join(VARIABLES) + r")\}")
_QUOTED = re.compile(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`)|--[^\n]*|/\*.*?\*/", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

Values: TypeAlias = "Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stays as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class AsText:
    """A value as text; `quoted`: it stands between quotes already."""

    name: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """A value as a parameter."""

    name: str


Part: TypeAlias = Literal | AsText | Bound


def sql_parts(query: str) -> list[Part]:
    """`query` in its parts; comments are left as they are. Raises ValueError with a sentence."""
    parts: list[Part] = []
    end = 0
    for found in _QUOTED.finditer(query):
        parts += _split(query[end : found.start()], quoted=False)
        parts += [Literal(found[0])] if found[1] is None else _split(found[0], quoted=True)
        end = found.end()
    return [*parts, *_split(query[end:], quoted=False)]


def variables(parts: list[Part]) -> set[str]:
    """The names that stand in a query."""
    return {part.name for part in parts if not isinstance(part, Literal)}


def sql_text(part: AsText, values: Values) -> str:
    """A value as SQL text: what is no number gets quotes, unless it stands between some."""
    text = str(values[part.name])
    return text if part.quoted or _NUMBER.fullmatch(text) else f"'{text}'"


def filled(filter_: Any, values: Values) -> Any:
    """A filter (plain JSON) with its values: a text that is just `#{start}` becomes the value, with its type.

    Raises ValueError with a sentence.
    """
    match filter_:
        case str():
            return _filled_text(filter_, values)
        case dict():
            fields = cast("dict[str, Any]", filter_)
            return {_filled_text(name, values): filled(item, values) for name, item in fields.items()}
        case list():
            return [filled(item, values) for item in cast("list[Any]", filter_)]
        case _:
            return filter_


def check_filter(filter_: Any) -> set[str]:
    """The names that stand in a filter. Raises ValueError with a sentence for one that is no variable."""
    found: set[str] = set()

    class Noted(dict[str, Any]):
        def __missing__(self, name: str) -> str:
            found.add(name)
            return name

    filled(filter_, Noted())
    return found


def _filled_text(text: str, values: Values) -> Any:
    whole = _MARK.fullmatch(text)
    if whole is not None and whole[2] is None:
        return values[_known(whole[1])]
    return _MARK.sub(lambda found: str(values[found[2] or _known(found[1])]), text)


def _split(text: str, *, quoted: bool) -> Iterator[Part]:
    end = 0
    make: Callable[[str], Part]
    for found in _MARK.finditer(text):
        if found.start() > end:
            yield Literal(text[end : found.start()])
        end = found.end()
        name = found[2] or _known(found[1])
        if found[2] is None and quoted:
            raise ValueError(f"#{{{name}}} stands between quotes, where no parameter can: leave out the quotes")
        make = Bound if found[2] is None else lambda name: AsText(name, quoted)
        yield make(name)
    if end < len(text):
        yield Literal(text[end:])


def _known(name: str) -> str:
    if name not in VARIABLES:
        listed = ", ".join(f"#{{{each}}}" for each in VARIABLES)
        raise ValueError(f"There is no #{{{name[:64]}}}; the variables are {listed}")
    return name
