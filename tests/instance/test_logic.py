"""Templates: compiled once per content, wrong ones told with their line, hostile ones contained."""

from __future__ import annotations

import asyncio
import linecache
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from teleporter_lab.engine.graph import RunnableGraph, flow
from teleporter_lab.engine.stages.sinks import to_list
from teleporter_lab.engine.stages.sources import iterate
from teleporter_lab.errors import LogicError, NotFound, TemplateError
from teleporter_lab.instance.logic import CACHED, LogicCompiler, build_graph, content_hash, stream_logic

STREAM = "/stream/ns/task/s"
GOOD = "@stream_logic\ndef a(s):\n    return s\n"


def load(source: str) -> Any:
    return LogicCompiler().load(source, STREAM)


def message_of(source: str) -> str:
    with pytest.raises(TemplateError) as caught:
        load(source)
    assert "\n" not in caught.value.message
    return caught.value.message


# ---- compiled once


def test_equal_texts_share_one_code_object() -> None:
    compiler = LogicCompiler()
    assert compiler.compile(GOOD) is compiler.compile(str(GOOD.encode(), "utf-8"))
    assert compiler.compile(GOOD) is not compiler.compile(GOOD + "\n")


def test_of_more_than_fit_the_one_unused_for_longest_goes() -> None:
    compiler = LogicCompiler()
    first, second = compiler.compile("x = 0"), compiler.compile("x = 1")
    for number in range(2, CACHED):
        compiler.compile(f"x = {number}")
    assert compiler.compile("x = 0") is first
    compiler.compile(f"x = {CACHED}")
    assert compiler.compile("x = 0") is first
    assert linecache.getline(second.co_filename, 1) == ""
    assert compiler.compile("x = 1") is not second


def test_a_template_that_does_not_compile_is_not_remembered() -> None:
    compiler = LogicCompiler()
    for _ in range(2):
        with pytest.raises(TemplateError, match="line 1"):
            compiler.compile("def")


def test_streams_that_share_a_template_share_no_names() -> None:
    compiler = LogicCompiler()
    source = "seen = []\n@stream_logic\ndef a(s):\n    seen.append(s)\n    return seen\n"
    one, two = compiler.load(source, STREAM), compiler.load(source, f"{STREAM}2")
    assert one.__code__ is two.__code__
    assert (one(1), two(2), one(3)) == ([1, 3], [2], [1, 3])


def test_it_is_loaded_in_many_threads_at_once() -> None:
    compiler = LogicCompiler()
    source = DATACLASS
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda n: compiler.load(source, f"{STREAM}{n}"), range(64)))
    assert len({id(logic) for logic in loaded}) == 64
    assert all(logic(7).x == 7 for logic in loaded)


@settings(deadline=None)
@given(st.text(st.characters(), max_size=200))
@example("\ud800")
def test_the_hash_takes_any_text(text: str) -> None:
    assert len(content_hash(text)) == 12
    assert content_hash(text) != content_hash(text + " ")


# ---- what a template may be

DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass(slots=True)
class Row:
    x: int

@stream_logic
def a(s):
    return Row(s)
"""


def test_a_dataclass_with_postponed_annotations_is_a_dataclass() -> None:
    before = set(sys.modules)
    assert load(DATACLASS)(3).x == 3
    assert {name for name in set(sys.modules) - before if "teleporter_stream" in name} == set()


def test_names_of_the_template_outlive_its_loading() -> None:
    logic = load("LIMIT = 10\ndef twice(x):\n    return 2 * x\n@stream_logic\ndef a(s):\n    return twice(LIMIT)\n")
    assert logic(None) == 20


def test_the_marker_may_be_imported_and_its_function_may_have_two_names() -> None:
    assert load("from teleporter_lab import stream_logic as mark\n@mark\ndef a(s):\n    return 1\nb = a\n")(None) == 1


def test_unicode_is_source_like_any_other() -> None:
    assert load("@stream_logic\ndef größe(s):\n    return 'π 🙂'\n")(None) == "π 🙂"


def test_a_huge_template_compiles() -> None:
    assert load("x = 1\n" * 100_000 + GOOD)(5) == 5


def test_the_templates_future_is_its_own() -> None:
    """This very module postpones annotations; a template without that import does not."""
    logic = load("@stream_logic\ndef a(s: int):\n    return s\n")
    assert logic.__annotations__ == {"s": int}


# ---- what it may not be


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1\ndef broken(:\n", "does not compile: invalid syntax, line 2: def broken(:"),
        ("x = 1\n  y = 2\n", "unexpected indent, line 2"),
        ("return 1\n", "'return' outside function, line 1"),
        ("x = '\ud800'\n", "surrogates not allowed"),
        ("x = 1\0\n", "null bytes"),
        ("x = " + "-" * 100_000 + "1\n", "nested too deep"),
        ("x = a" + ".b" * 100_000 + "\n", "nested too deep"),
        ("x = " + "(" * 300 + ")" * 300, "too many nested parentheses, line 1"),
        ("x = 1\n" + "é" * 100_000 + " é\n", "invalid syntax, line 2: éé"),
    ],
    ids=range(9),
)
def test_one_that_does_not_compile_names_its_line(source: str, sentence: str) -> None:
    message = message_of(source)
    assert sentence in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("\n\n1 / 0\n", "raised ZeroDivisionError at line 3: division by zero"),
        ("import no_such_module\n", "raised ModuleNotFoundError at line 1"),
        ("def f():\n    raise KeyError('k')\n\nf()\n", "raised KeyError at line 2: 'k'"),
        ("import json\n\njson.loads('{')\n", "raised JSONDecodeError at line 3"),
        ("next(iter(()))\n", "raised StopIteration at line 1"),
        ("import sys\nsys.exit('bye')\n", "raised SystemExit at line 2: bye"),
        ("raise KeyboardInterrupt\n", "raised KeyboardInterrupt at line 1"),
        ("import asyncio\nraise asyncio.CancelledError\n", "raised CancelledError at line 2"),
        ("raise GeneratorExit\n", "raised GeneratorExit at line 1"),
        ("def f():\n    f()\nf()\n", "raised RecursionError at line 2"),
        ("undefined\n", "raised NameError at line 1: name 'undefined' is not defined"),
    ],
)
def test_one_that_raises_names_its_own_line(source: str, sentence: str) -> None:
    assert sentence in message_of(source)


async def test_an_exit_in_a_driver_thread_reaches_the_loop_as_an_error() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(TemplateError):
        await asyncio.wrap_future(pool.submit(load, "raise SystemExit"))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", "none"),
        ("# nothing\n", "none"),
        ("def a(s): ...\n", "none"),
        ("@stream_logic\ndef b(s): ...\n@stream_logic\ndef a(s): ...\n", "a, b"),
        ("def f():\n    @stream_logic\n    def a(s): ...\n", "none"),
    ],
)
def test_exactly_one_function_is_marked(source: str, found: str) -> None:
    assert (
        message_of(source) == f"The template of {STREAM} must mark one function with @stream_logic; it marks {found}."
    )


def test_an_object_that_answers_every_question_is_not_asked() -> None:
    """A proxy of some library may raise at any attribute, or have every one."""
    proxies = """
class Rude:
    def __getattr__(self, name): raise RuntimeError("working outside of its context")
    def __call__(self): ...
class Eager:
    def __getattr__(self, name): return True
    def __call__(self): ...
rude, eager = Rude(), Eager()
"""
    assert load(proxies + GOOD)(1) == 1


def test_the_traceback_of_a_template_shows_its_source() -> None:
    logic = load("@stream_logic\ndef a(s):\n    x = '\x0c\u2028'\n    return 1 / 0  # here\n")
    with pytest.raises(ZeroDivisionError) as caught:
        logic(None)
    assert "return 1 / 0  # here" in "".join(traceback.format_exception(caught.value))


# ---- from the logic to a graph


def graph_of(logic: Any, context: Any = None) -> RunnableGraph[Any]:
    return build_graph(logic, context, STREAM)


def test_a_graph_comes_out_as_it_is() -> None:
    graph = iterate([1]).to(to_list())
    assert graph_of(lambda s: s, graph) is graph


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("raise ValueError('no luck')", "raised ValueError at line 3: no luck"),
        ("return next(iter(()))", "raised StopIteration at line 3"),
        ("raise SystemExit(2)", "raised SystemExit at line 3: 2"),
        ("pass", "returned nothing; write `return"),
        ("return 42", "returned a int"),
        ("return a", "returned a function"),
        ("yield 1", "returned a generator"),
    ],
)
def test_a_logic_that_makes_no_graph_says_what_it_made(body: str, sentence: str) -> None:
    with pytest.raises(LogicError) as caught:
        graph_of(load(f"@stream_logic\ndef a(s):\n    {body}\n"))
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


def test_a_flow_without_a_sink_is_half_a_stream() -> None:
    with pytest.raises(LogicError, match=r"flow without a sink; end it with \.to\("):
        graph_of(lambda s: flow().map(str))


def test_the_line_is_that_of_the_logic_below_a_decorator() -> None:
    decorated = "from functools import wraps\ndef timed(f):\n    @wraps(f)\n    def g(s):\n        return f(s)\n"
    logic = load(decorated + "    return g\n@timed\n@stream_logic\ndef a(s):\n    raise ValueError('deep')\n")
    with pytest.raises(LogicError, match="raised ValueError at line 10: deep"):
        graph_of(logic)


def test_an_error_of_ours_stays_what_it_is() -> None:
    def logic(s: Any) -> Any:
        raise NotFound("It is not there.")

    with pytest.raises(NotFound, match="It is not there"):
        graph_of(stream_logic(logic))


def test_a_logic_may_be_any_callable() -> None:
    class Maker:
        def __call__(self, s: Any) -> Any:
            raise ValueError("so far")

    with pytest.raises(LogicError, match="raised ValueError: so far"):
        graph_of(Maker())
