"""The tree of errors: drawn as it is, and the same class on the other side of a wire."""

from __future__ import annotations

import pickle
import re

import pytest

from teleporter_lab import errors
from teleporter_lab.errors import BY_CODE, InvalidConfig, Problem, TeleporterError, from_body

KINDS = sorted(BY_CODE.values(), key=lambda kind: kind.__name__)


def test_the_docstring_draws_every_class_below_its_parent() -> None:
    """The drawing is what a newcomer reads first: indentation is descent."""
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([│ ├└─]*)(\w+)", line)
        if found and hasattr(errors, found[2]):
            drawn.append((len(found[1]), found[2]))
    parents: list[tuple[int, str]] = []
    shown: dict[str, str | None] = {}
    for depth, name in drawn:
        while parents and parents[-1][0] >= depth:
            parents.pop()
        shown[name] = parents[-1][1] if parents else None
        parents.append((depth, name))
    real = {k.__name__: None if k is TeleporterError else k.__bases__[0].__name__ for k in KINDS}
    assert shown == real


def test_codes_are_unique_and_plain() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_class_after_a_journey(kind: type[TeleporterError]) -> None:
    error = kind("It is so.", (Problem("client.path", "Must be there."),))
    for again in (from_body(error.body()), pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert (again.message, again.problems) == (error.message, error.problems)


@pytest.mark.parametrize("body", [{}, {"code": "unheard_of"}, {"code": 1, "problems": ["x", {"path": 1}]}])
def test_a_strange_body_is_the_root_class(body: dict[str, object]) -> None:
    assert type(from_body(body)) is TeleporterError


def test_problems_are_shown_below_the_sentence() -> None:
    error = InvalidConfig("Two mistakes.", (Problem("a.b", "One."), Problem("", "Two.")))
    assert str(error) == "Two mistakes.\n  a.b: One.\n  Two."
