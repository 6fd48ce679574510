"""Which names a cell leaves open: those another cell would have to define."""

from __future__ import annotations

import pytest

from teleporter_lab.lab.cells import undefined_names


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
    ],
)
def test_names_that_are_not_defined_are_found(source: str, names: list[str]) -> None:
    assert undefined_names(source) == names
