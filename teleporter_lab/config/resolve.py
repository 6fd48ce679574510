"""References looked up, and hidden. Owns what a config becomes inside an instance; refuses to read any secret itself.

Whoever runs streams hands a `Secrets` in; nothing else here reaches the environment or a file. The grammar of
references is `reference.py`'s. Resolve the fields `client`, `roller` and `arguments`: a `template` is source text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias, cast

from teleporter_lab.config.document import MAX_DEPTH, MAX_TEXT, texts
from teleporter_lab.config.key import Key, Table
from teleporter_lab.config.quote import describe, quote
from teleporter_lab.config.reference import Kind, Reference, has_reference, hide, split
from teleporter_lab.config.secret import MASK, Secret
from teleporter_lab.errors import InvalidKey, UnresolvedReference

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""What a JSON text can say."""

_MAX_REFERENCES: Final = 10_000
_NO_KEYS: Final[Mapping[str, str]] = MappingProxyType({})


class Secrets(Protocol):
    """Where secrets come from. Each gives None, or raises OSError or ValueError, where there is nothing to read."""

    def env(self, name: str) -> str | None: ...

    def file(self, path: str) -> str | None: ...


def resolve(
    value: JSON,
    variables: Mapping[str, Mapping[str, JSON]],
    extra_keys: Mapping[str, str],
    secrets: Secrets,
) -> JSON:
    """`value` with every reference replaced by what it stands for; the given value is not changed.

    `variables` has the `arguments` of variables under their keys, `extra_keys` the keys that short names mean.
    A text that is only a reference becomes what the field is, of whatever type; within other text it becomes text.
    What comes from the environment or a file is a `Secret`, and so is text around it. References inside variables
    are followed. Raises UnresolvedReference for the first one that leads nowhere, in a circle or too far.
    """
    return _Resolver(variables, extra_keys, secrets).resolve(value)


def references(value: JSON, extra_keys: Mapping[str, str] = _NO_KEYS) -> set[Key]:
    """The variables that `value` refers to, by key or by a name of `extra_keys` (other names are left out).

    Variables may refer to further ones: ask again for their `arguments`. Raises UnresolvedReference at a reference
    of no right form.
    """
    pieces = (piece for _, text in texts(value) if has_reference(text) for piece in split(text))
    found = (piece for piece in pieces if isinstance(piece, Reference))
    return {
        _variable_key(reference, extra_keys)
        for reference in found
        if reference.kind is Kind.VARIABLE or (reference.kind is Kind.NAMED and reference.target in extra_keys)
    }


def mask(value: JSON) -> JSON:
    """`value` as it may be shown: secrets, and references to secrets, as `••••`. Raises nothing."""
    return _mask(value, 0)


def unmask(value: JSON, stored: JSON) -> JSON:
    """`value`, which someone was shown masked and gives back, with each `••••` as `stored` has it at that place.

    A `••••` whose place `stored` does not have stays: `parse_node` reports it.
    """
    if isinstance(value, str):
        return stored if MASK in value and isinstance(stored, str) and mask(stored) == value else value
    if isinstance(value, dict) and isinstance(stored, dict):
        return {name: unmask(item, stored.get(name)) for name, item in value.items()}
    if isinstance(value, list) and isinstance(stored, list):
        rest = [None] * max(0, len(value) - len(stored))
        return [unmask(item, old) for item, old in zip(value, [*stored, *rest], strict=False)]
    return value


class _Resolver:
    """One run of `resolve`: what it may look up, and how much it already did."""

    def __init__(
        self, variables: Mapping[str, Mapping[str, JSON]], extra_keys: Mapping[str, str], secrets: Secrets
    ) -> None:
        self._variables = variables
        self._extra_keys = extra_keys
        self._secrets = secrets
        self._left = _MAX_REFERENCES
        self._trail: list[tuple[Key, str]] = []

    def resolve(self, value: JSON, depth: int = 0) -> JSON:
        if depth > MAX_DEPTH:
            raise UnresolvedReference(f"The value is nested deeper than {MAX_DEPTH} levels; make it flatter.")
        if isinstance(value, str):
            return self._text(value, depth)
        if isinstance(value, dict):
            return {name: self.resolve(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, depth + 1) for item in value]
        return value

    def _text(self, text: str, depth: int) -> JSON:
        if "${" not in text or isinstance(text, Secret):
            return text
        pieces = list(split(text))
        if len(pieces) == 1 and isinstance(pieces[0], Reference):
            return self._look_up(pieces[0], depth)
        return self._join(pieces, depth)

    def _join(self, pieces: Sequence[str | Reference], depth: int) -> str:
        parts: list[str] = []
        length, secret = 0, False
        for piece in pieces:
            if isinstance(piece, str):
                parts.append(piece)
                continue
            part = _as_text(piece, self._look_up(piece, depth))
            secret = secret or isinstance(part, Secret)
            length += len(part)
            if length > MAX_TEXT:
                raise UnresolvedReference(f"References make a text longer than {MAX_TEXT:,} characters; use fewer.")
            parts.append(part)
        joined = "".join(parts)
        return Secret(joined) if secret else joined

    def _look_up(self, reference: Reference, depth: int) -> JSON:
        self._left -= 1
        if self._left < 0:
            raise UnresolvedReference(f"More than {_MAX_REFERENCES:,} references stand in one value; use fewer.")
        if reference.is_secret:
            return self._secret(reference)
        key = _variable_key(reference, self._extra_keys)
        step = (key, reference.field)
        if step in self._trail:
            raise UnresolvedReference(f"{reference} leads back to itself; give {quote(reference.field)} a value.")
        self._trail.append(step)
        found = self.resolve(self._field(key, reference), depth + 1)
        self._trail.pop()
        return found

    def _field(self, key: Key, reference: Reference) -> JSON:
        arguments = self._variables.get(str(key))
        if arguments is None:
            raise UnresolvedReference(f"{reference} refers to the variable {key}, which does not exist; save it first.")
        if reference.field in arguments:
            return arguments[reference.field]
        value: object = arguments
        for name in reference.field.split("."):
            if not isinstance(value, Mapping) or name not in value:
                known = ", ".join(quote(field) for field in list(arguments)[:10]) or "none"
                raise UnresolvedReference(
                    f"The variable {key} has no field {quote(reference.field)} among its arguments; they are: {known}."
                )
            value = cast("Mapping[str, object]", value)[name]
        return cast("JSON", value)

    def _secret(self, reference: Reference) -> Secret:
        named = "environment variable" if reference.kind is Kind.ENV else "file"
        read = self._secrets.env if reference.kind is Kind.ENV else self._secrets.file
        try:
            text = read(reference.target)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise UnresolvedReference(
                f"The {named} {quote(reference.target)} could not be read where the stream runs: {reason}."
            ) from error
        if text is None:
            raise UnresolvedReference(
                f"The {named} {quote(reference.target)} does not exist where the stream runs; set it there."
            )
        return Secret(text if reference.kind is Kind.ENV else _without_line_end(text))


def _variable_key(reference: Reference, extra_keys: Mapping[str, str]) -> Key:
    text = reference.target
    if reference.kind is Kind.NAMED:
        if reference.target not in extra_keys:
            raise UnresolvedReference(
                f"{quote(str(reference))} uses the name {quote(reference.target)}, which extraKeys does not have; "
                f"add it there, or write {quote(f'${reference}')} if the text itself is meant."
            )
        text = extra_keys[reference.target]
    try:
        key = Key.parse(text)
    except InvalidKey as error:
        raise UnresolvedReference(f"{quote(str(reference))} names no variable: {error.message}") from error
    if key.table is not Table.VARIABLE:
        raise UnresolvedReference(
            f"{quote(str(reference))} needs a variable, {Table.VARIABLE.form}, but {key} is in the table {key.table}."
        )
    return key


def _as_text(reference: Reference, value: JSON) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise UnresolvedReference(
        f"{quote(str(reference))} stands within other text, so it needs a text or a number, but is {describe(value)}."
    )


def _without_line_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _mask(value: JSON, depth: int) -> JSON:
    if isinstance(value, Secret) or depth > MAX_DEPTH:
        return MASK
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {name: _mask(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_mask(item, depth + 1) for item in value]
    return value
