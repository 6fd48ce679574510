"""pydantic's errors, said to a person. Owns the sentences; refuses to show a value that may be a secret.

Each sentence says what would be right and what was found; the place is a `Problem`'s path. A type may be written in
several ways (`str | list[str]`): pydantic reports each way, here they become one sentence.
"""

from __future__ import annotations

import re
from collections import defaultdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from teleporter_lab.config.document import MAX_PROBLEMS, Place, path_of
from teleporter_lab.config.quote import describe, kind, quote
from teleporter_lab.config.reference import has_reference
from teleporter_lab.config.secret import Secret
from teleporter_lab.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_HUSHED = re.compile(r"passw|secret|token|credential|api.?key|private", re.IGNORECASE)
_MAX_NAME: Final = 64
_MAX_NAMES: Final = 20
_MAX_SENTENCE: Final = 1_000
_MAX_ERRORS: Final = 1_000

_WHOLE, _NUMBER, _LIST, _OBJECT = "a whole number", "a number", "a list", "an object with fields"
_BY_FAMILY: Mapping[str, str] = {
    "int": _WHOLE,
    "float": _NUMBER,
    "decimal": _NUMBER,
    "string": "text",
    "bytes": "text",
    "bool": "true or false",
    "list": _LIST,
    "tuple": _LIST,
    "set": _LIST,
    "frozen_set": _LIST,
    "iterable": _LIST,
    "dict": _OBJECT,
    "mapping": _OBJECT,
    "model": _OBJECT,
    "model_attributes": _OBJECT,
    "dataclass": _OBJECT,
    "date": "a date such as 2024-05-31",
    "datetime": "a date-time such as 2024-05-31T12:00:00",
    "time": "a time such as 12:00:00",
    "time_delta": "a duration such as 1.minutes",
    "url": "a URL such as https://host:443/path",
    "uuid": "a UUID such as 6f9619ff-8b86-4011-b42d-00cf4fc964ff",
}
"""What a type is called in a sentence, by pydantic's name of the error without `_type`, `_parsing` and so on."""

_BY_LIMIT: Mapping[str, str] = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "none_required": "left out",
}
_SUFFIX = re.compile(
    r"_(type|parsing|parsing_size|from_float|from_date_parsing|from_datetime_parsing|scheme|.*inexact)$"
)


def explain(
    error: ValidationError, model: type[BaseModel], value: object, base: Place = (), *, deferred: bool = False
) -> list[Problem]:
    """`error`, which validating `value` by `model` raised, as problems; their paths begin with `base`.

    With `deferred`, a text with a reference in it counts as right: it is checked once it is resolved.
    """
    groups: defaultdict[Place, list[_Mistake]] = defaultdict(list)
    errors = [details for details in error.errors(include_url=False) if not (deferred and _is_deferred(details))]
    for details in errors[:_MAX_ERRORS]:
        mistake = _Mistake(details, model, value)
        groups[mistake.place].append(mistake)
    deep = {place[:length] for place in groups for length in range(len(place))}
    problems = [
        Problem(path_of((*base, *place)), sentence)
        for place, mistakes in groups.items()
        for sentence in _sentences(mistakes, is_above=place in deep)
    ]
    if len(problems) > MAX_PROBLEMS:
        rest = len(errors) - MAX_PROBLEMS
        return [*problems[:MAX_PROBLEMS], Problem(path_of(base), f"{rest:,} more mistakes are not listed.")]
    return problems


def _sentences(mistakes: Sequence[_Mistake], *, is_above: bool) -> list[str]:
    """One sentence for what alternatives of a type expected, and one for each other mistake at the same place."""
    expected: dict[str, _Mistake] = {}
    others: list[str] = []
    for mistake in mistakes:
        if is_above and mistake.is_alternative:
            continue
        phrase = mistake.expected()
        if phrase is None:
            others.append(mistake.sentence())
        else:
            expected.setdefault(phrase, mistake)
    if expected:
        found = next(iter(expected.values())).found()
        others.insert(0, f"Must be {' or '.join(expected)}, but is {found}.")
    return list(dict.fromkeys(others))


class _Mistake:
    """One of pydantic's errors, with its place in the value."""

    def __init__(self, details: ErrorDetails, model: type[BaseModel], value: object) -> None:
        self._details = details
        self._model = model
        self.place = _place(details, value)
        self.is_alternative = len(details["loc"]) > len(self.place)

    def expected(self) -> str | None:
        """What would be right, as it follows `Must be`; None where `sentence` says it otherwise."""
        error = self._details["type"]
        if error in _BY_LIMIT:
            context = {name: _plain(item) for name, item in self._details.get("ctx", {}).items()}
            return _BY_LIMIT[error].format_map(defaultdict(str, context))
        return _BY_FAMILY.get(_SUFFIX.sub("", error))

    def found(self) -> str:
        """What was there instead, hidden where it may be a secret."""
        given: object = self._details["input"]
        found = kind(given) if self._is_hushed() else describe(given)
        if isinstance(given, str) and self._details["type"] in ("literal_error", "enum"):
            choices = re.findall(r"'([^']*)'", self._context("expected"))
            near = _nearest(given, choices)
            return f"{found} (did you mean {quote(near)}?)" if near else found
        return found

    def sentence(self) -> str:
        match self._details["type"]:
            case "missing":
                return self._missing()
            case "extra_forbidden":
                return self._unknown()
            case "union_tag_not_found":
                return f"Needs the field {self._context('discriminator')}, which says what form it has."
            case "union_tag_invalid":
                tags, found = self._context("expected_tags"), quote(self._context("tag"))
                return f"The field {self._context('discriminator')} must be one of {tags}, but is {found}."
            case "value_error" | "assertion_error":
                return _as_sentence(self._context("error") or self._details["msg"])
            case _:
                return _as_sentence(self._details["msg"])

    def _context(self, name: str) -> str:
        return str(self._details.get("ctx", {}).get(name, ""))

    def _missing(self) -> str:
        info = _field_at(self._model, self.place)
        what = f": {info.description}" if info is not None and info.description else "; add it"
        return _as_sentence(f"Is needed{what}")

    def _unknown(self) -> str:
        name = str(self.place[-1]) if self.place else ""
        names = [
            _alias(field, info) for model in _models_at(self._model, self.place[:-1]) for field, info in _fields(model)
        ]
        near = _nearest(name, names)
        if near:
            return f"There is no such field; did you mean {quote(near)}?"
        listed = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
        return (
            f"There is no such field; the fields here are {listed}."
            if names
            else "There is no such field; leave it out."
        )

    def _is_hushed(self) -> bool:
        if any(isinstance(step, str) and _HUSHED.search(step[:_MAX_NAME]) for step in self.place):
            return True
        info = _field_at(self._model, self.place)
        secrets = (Secret, SecretStr, SecretBytes)
        return info is not None and any(leaf in secrets for leaf in _leaves(info.annotation))


def _is_deferred(details: ErrorDetails) -> bool:
    given: object = details["input"]
    return isinstance(given, str) and details["type"] not in ("missing", "extra_forbidden") and has_reference(given)


def _place(details: ErrorDetails, value: object) -> Place:
    """Where it is in `value`: pydantic's own place without the names of a union's alternatives."""
    place: list[str | int] = []
    current = value
    location = details["loc"]
    for index, step in enumerate(location):
        if _has(current, step):
            current = cast("dict[object, object]", current)[step]
        elif details["type"] != "missing" or index < len(location) - 1:
            continue
        place.append(step)
    return tuple(place)


def _has(value: object, step: str | int) -> bool:
    match value:
        case dict():
            return step in value
        case list() | tuple():
            return isinstance(step, int) and 0 <= step < len(cast("Sequence[object]", value))
        case _:
            return False


def _field_at(model: type[BaseModel], place: Place) -> FieldInfo | None:
    names = [step for step in place if isinstance(step, str)]
    if not names:
        return None
    for owner in _models_at(model, names[:-1]):
        for field, info in _fields(owner):
            if names[-1] in (field, _alias(field, info)):
                return info
    return None


def _models_at(model: type[BaseModel], place: Iterable[str | int]) -> list[type[BaseModel]]:
    """The models whose fields stand at `place`; entries of lists and maps are what the list or map is declared of."""
    models = [model]
    for step in place:
        below = [
            leaf
            for owner in models
            for field, info in _fields(owner)
            if step in (field, _alias(field, info))
            for leaf in _leaves(info.annotation)
        ]
        if below:
            models = [leaf for leaf in below if isinstance(leaf, type) and issubclass(leaf, BaseModel)]
    return models


def _fields(model: type[BaseModel]) -> Iterable[tuple[str, FieldInfo]]:
    return model.model_fields.items()


def _leaves(annotation: Any) -> list[Any]:
    """The plain types within an annotation: `int` and `Model` of `dict[str, Model] | list[int]`."""
    parts = get_args(annotation)
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [annotation]


def _alias(field: str, info: FieldInfo) -> str:
    return info.alias or field


def _nearest(name: str, names: Sequence[str]) -> str | None:
    if len(name) > _MAX_NAME:
        return None
    by_lower = {candidate.lower(): candidate for candidate in names}
    near = get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def _plain(item: object) -> str:
    text = str(item)
    return text.removesuffix(".0") if isinstance(item, float) else text


def _as_sentence(text: str) -> str:
    trimmed = " ".join(text[:_MAX_SENTENCE].split()) or "Is not right"
    return trimmed[0].upper() + trimmed[1:] + ("" if trimmed[-1] in ".!?…" else ".")
