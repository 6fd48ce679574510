"""Which names a cell leaves open: those another cell would have to define."""

from __future__ import annotations

import builtins

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleporter_lab.lab.cells import GIVEN, undefined_names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x = 1\nx", []),
        ("x", ["x"]),
        ("import a.b as c\nc", []),
        ("from a import *\nanything", []),
        ("def f(x, y=z):\n    return x + y + w", ["w", "z"]),
        ("@stream_logic\ndef f(s):\n    return s.source('a').map(g)", ["g"]),
        ("@stream_logic\ndef f(s):\n    return s\ndef g(x): return h(x)\ndef h(x): return x", []),
        ("[x for x in range(3)]", []),
        ("[x for x in rows if x > low]", ["low", "rows"]),
        ("class A(Base):\n    y = 1\n    def f(self): return self.y + k", ["Base", "k"]),
        ("def f():\n    global n\n    n = 1\ndef g(): return n", []),
        ("if (m := 3) > 2: m", []),
        ("for i in range(3): i", []),
        ("with open('f') as f: f", []),
        ("try:\n    1\nexcept ValueError as e: e", []),
        ("def f():\n    x = 1\n    def g(): return x\n    return g", []),
        ("lambda r: r[column]", ["column"]),
        ("match v:\n    case [a, b]: a + b", ["v"]),
        ("print(len([1]), __name__)", []),
        ("[y := f(x) for x in rows]\ny", ["f", "rows"]),
        ("[[a for b in a] for a in c]", ["c"]),
        ("{k: v for k, v in pairs.items() if (n := k)}\nn", ["pairs"]),
        ("(x for x in x)", ["x"]),
        ("def f():\n    global json\n    import json\ndef g(): return json", []),
        ("def f():\n    global n\ndef g(): return n", ["n"]),
        ("def f():\n    global n\n    def n(): ...\nn()", []),
        ("def f():\n    return lambda: later\nlater = 1", []),
        ("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = y\n    return g", ["y"]),
        ("@cached(size=big)\ndef f(): ...", ["big", "cached"]),
        ("def f(*, a=b, **c: d) -> e: ...", ["b", "d", "e"]),
        ("from __future__ import annotations\ndef f(s: Context) -> Graph: ...\nx: Row = 1", []),
        ("class A:\n    class B(C): ...\n    def f(self): return super().f()", ["C"]),
        ("class A:\n    x = 1\n    def f(self): return x", ["x"]),
        ("class A(metaclass=M):\n    y: T = z", ["M", "T", "z"]),
        ("del x", []),
        ("x = 1\ndel x", []),
        ("x += 1", []),
        ("rows[0] = 1\nobj.attr = 2", ["obj", "rows"]),
        ("for a, (b, *c) in pairs: a + b + c", ["pairs"]),
        ("async def f():\n    async with a as b, c: await b\n    async for d in e: d", ["a", "c", "e"]),
        (
            "match v:\n    case {'k': Point(x=0, y=p), **rest} if q: p, rest\n    case K.A | None: ...",
            ["K", "Point", "q", "v"],
        ),
        ("try: ...\nexcept* (ValueError, Odd) as e: e", ["Odd"]),
        ("f'{a!r:>{b}} {{c}}'", ["a", "b"]),
        ("import a.b\na", []),
        ("import a.b\nb", ["b"]),
        ("from a import b as c\nb", ["b"]),
        ("try:\n    from a import *\nfinally:\n    x", []),
        ("if False:\n    x = 1\nx", []),
        ("print = 1\nprint", []),
        ("__file__", ["__file__"]),
        ("get_ipython().run_line_magic('ls', '')\ndisplay(1)", ["display", "get_ipython"]),
        ("größe = 1\ngröße + weite", ["weite"]),
        ("", []),
    ],
)
def test_names_that_are_not_defined_are_found(source: str, names: list[str]) -> None:
    assert undefined_names(source) == names


def test_a_cell_that_does_not_compile_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        undefined_names("def")


def test_what_a_notebook_adds_to_the_builtins_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "display", print, raising=False)
    assert undefined_names("display") == ["display"]
    assert "print" in GIVEN


NAMES = st.sampled_from(["alpha", "beta", "gamma", "delta", "größe"])
DEFINES = st.sampled_from(
    [
        "{} = 1",
        "import {}",
        "from a import b as {}",
        "def {}(): ...",
        "class {}: ...",
        "for {} in (): ...",
        "with open('f') as {}: ...",
        "def _():\n    global {0}\n    {0} = 1",
        "[{} := 1 for _ in ()]",
        "match 1:\n    case {}: ...",
        "try: ...\nexcept ValueError as {}: ...",
        "async def {}(): ...",
        "if ({} := 1): ...",
    ]
)
USES = st.sampled_from(
    [
        "{}",
        "def _(x={}): ...",
        "def _(): return {}",
        "def _():\n    def _(): return [{} for _ in ()]",
        "class _({}): ...",
        "class _:\n    def _(self): return {}",
        "@{}\ndef _(): ...",
        "lambda: {}",
        "[_ for _ in {} if {}]",
        "_ = {{**{}, 'k': f'{{{}}}'}}",
        "match {}:\n    case {}.K: ...",
        "async def _():\n    return await {}",
        "def _(x: {}): ...",
    ]
)


def written(forms: list[str], names: list[str]) -> list[str]:
    return [form.replace("{}", "{0}").format(name) for form, name in zip(forms, names, strict=True)]


@st.composite
def cells(draw: st.DrawFn) -> tuple[str, set[str]]:
    """A cell, and the names it uses without defining them anywhere."""
    defined = draw(st.lists(NAMES, max_size=4))
    used = draw(st.lists(NAMES, max_size=4))
    lines = written([draw(DEFINES) for _ in defined], defined) + written([draw(USES) for _ in used], used)
    return "\n".join(draw(st.permutations(lines))), set(used) - set(defined)


@settings(deadline=None)
@given(cells())
def test_open_names_are_those_used_and_defined_nowhere(cell: tuple[str, set[str]]) -> None:
    source, expected = cell
    assert undefined_names(source) == sorted(expected)


@settings(deadline=None)
@given(st.lists(st.tuples(DEFINES, USES, NAMES), max_size=6))
def test_a_cell_that_uses_only_its_own_names_leaves_none_open(steps: list[tuple[str, str, str]]) -> None:
    names = [name for *_, name in steps]
    lines = written([uses for _, uses, _ in steps], names) + written([defines for defines, *_ in steps], names)
    assert undefined_names("\n".join(lines)) == []
