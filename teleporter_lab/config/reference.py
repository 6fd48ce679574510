"""References in text: `${env:NAME}` and its kind. Owns their grammar; refuses to look anything up (`resolve` does).

${variable:/variable/ns/v#field}   a field of a variable
${v.field}                         the same, where `extraKeys` calls that variable `v`
${env:NAME}                        a secret: an environment variable of the instance
${file:/path}                      a secret: what a file of the instance holds
$${...}                            the plain text `${...}`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING

from teleporter_lab.config.secret import MASK
from teleporter_lab.errors import UnresolvedReference

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_SCHEME = re.compile(r"(\w+):")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"(/|[A-Za-z]:[\\/]).+", re.DOTALL)
_NAMED = re.compile(r"([^.:\s]+)\.(.+)", re.DOTALL)
_SHOWN = 64


class Kind(StrEnum):
    """What a reference points to."""

    VARIABLE = "variable"
    NAMED = "named"
    ENV = "env"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Reference:
    """What stands between `${` and `}`. `target` is a variable's key, a name of `extraKeys`, NAME or a path."""

    kind: Kind
    target: str
    field: str = ""

    @classmethod
    def parse(cls, body: str) -> Reference:
        """The reference that `${body}` is; raises UnresolvedReference with the form that would be right."""
        scheme = _SCHEME.match(body)
        if scheme:
            return _with_scheme(scheme[1], body[scheme.end() :], body)
        named = _NAMED.fullmatch(body)
        if named is None:
            raise UnresolvedReference(
                f"{_shown(body)} is no reference; write ${{name.field}}, ${{variable:/variable/ns/name#field}}, "
                f"${{env:NAME}} or ${{file:/path}}, or $${{ for the plain text ${{."
            )
        return cls(Kind.NAMED, named[1], named[2])

    @property
    def is_secret(self) -> bool:
        """Whether what it stands for must not be shown."""
        return self.kind in (Kind.ENV, Kind.FILE)

    def __str__(self) -> str:
        match self.kind:
            case Kind.VARIABLE:
                return f"${{variable:{self.target}#{self.field}}}"
            case Kind.NAMED:
                return f"${{{self.target}.{self.field}}}"
            case _:
                return f"${{{self.kind}:{self.target}}}"


def _with_scheme(scheme: str, rest: str, body: str) -> Reference:
    match scheme:
        case "variable":
            key, sharp, field = rest.partition("#")
            if not (key and sharp and field):
                raise UnresolvedReference(
                    f"{_shown(body)} names no field; write ${{variable:/variable/ns/name#field}}."
                )
            return Reference(Kind.VARIABLE, key, field)
        case "env":
            if _NAME.fullmatch(rest) is None:
                raise UnresolvedReference(
                    f"{_shown(body)} names no environment variable; write ${{env:NAME}} with letters, digits and '_'."
                )
            return Reference(Kind.ENV, rest)
        case "file":
            if _PATH.fullmatch(rest) is None:
                raise UnresolvedReference(f"{_shown(body)} needs the whole path of a file; write ${{file:/path}}.")
            return Reference(Kind.FILE, rest)
        case _:
            near = get_close_matches(scheme[:_SHOWN].lower(), ["variable", "env", "file"], n=1)
            hint = f"did you mean '{near[0]}:'?" if near else "write variable:, env: or file:."
            raise UnresolvedReference(
                f"{_shown(body)} begins with no known kind of reference; {hint} The plain text is written $${{."
            )


def has_reference(text: str) -> bool:
    """Whether `text` holds `${...}`, of a right form or not; `$${` is plain text."""
    return "${" in text and any(match[1] is not None for match in _TOKEN.finditer(text))


def split(text: str) -> Iterator[str | Reference]:
    """`text` in pieces: plain text as it is meant, and references. Raises UnresolvedReference at a wrong one."""
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        yield "${" if match[1] is None else Reference.parse(match[1])
        end = match.end()
    if end < len(text):
        yield text[end:]


def hide(text: str) -> str:
    """`text` with each reference to a secret, rightly written or not, shown as `••••`."""
    return _TOKEN.sub(_hidden, text) if "${" in text else text


def _hidden(match: re.Match[str]) -> str:
    body: str | None = match[1]
    return MASK if body is not None and body.startswith(("env:", "file:")) else match[0]


def _shown(body: str) -> str:
    """A reference as it may stand in a sentence: short, and without what a secret is called."""
    text = hide(f"${{{body}}}")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
