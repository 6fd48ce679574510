"""From the source text of a stream to its logic: compiled once per content, checked before it runs.

Owns `stream_logic`, compiling and the sentences for what can be wrong with a template. Refuses to know where the text
came from. Running a template runs its code with the rights of this process.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import itertools
import linecache
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from teleporter_lab.engine.graph import Flow, RunnableGraph
from teleporter_lab.errors import LogicError, TeleporterError, TemplateError

if TYPE_CHECKING:
    from types import CodeType

Logic = Callable[[Any], Any]
"""Takes the stream's context, should give the graph to run; `build_graph` checks that it does."""

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__teleporter_stream_logic__"

CACHED = 1000
"""Compiled templates kept; the one unused for longest goes first."""

SHOWN = 200
"""Characters of a wrong line that a sentence shows."""


def stream_logic(function: F) -> F:
    """Marks the one function of a template that makes the stream: `(s) -> RunnableGraph`."""
    setattr(function, MARK, True)
    return function


def content_hash(source: str) -> str:
    """The first 12 hex digits of the SHA-256 of the text: what tells one version of a template from another."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:12]


class LogicCompiler:
    """Compiles templates and remembers the code by its content, so that thousands of streams share one compilation."""

    def __init__(self) -> None:
        self._codes: OrderedDict[str, CodeType] = OrderedDict()
        self._lock = threading.Lock()  # templates are compiled in driver threads
        self._loads = itertools.count(1)

    def load(self, source: str, stream: str) -> Logic:
        """The function marked with `@stream_logic`, from a fresh namespace. Raises TemplateError.

        Runs the template's top level in the calling thread.
        """
        code = self.compile(source)
        module = ModuleType(f"teleporter_stream_{content_hash(source)}_{next(self._loads)}")
        namespace = module.__dict__
        namespace |= {MARK: stream, "stream_logic": stream_logic}
        sys.modules[module.__name__] = module  # where dataclasses look a name of the template up
        try:
            exec(code, namespace)
        except BaseException as error:  # a sys.exit() of one template must not end the process of all
            raise TemplateError(f"The template of {stream} {_raised(error, code.co_filename)}.") from error
        finally:
            sys.modules.pop(module.__name__, None)
        return _marked(namespace, stream)

    def compile(self, source: str) -> CodeType:
        """The code object of a template. Raises TemplateError with the line that is wrong."""
        digest = content_hash(source)
        with self._lock:
            if digest in self._codes:
                self._codes.move_to_end(digest)
                return self._codes[digest]
        name = f"<template {digest}>"
        try:
            code = compile(source, name, "exec", dont_inherit=True)
        except SyntaxError as error:
            line = f", line {error.lineno}: {(error.text or '').strip()[:SHOWN]}" if error.lineno else ""
            raise TemplateError(f"The template does not compile: {error.msg}{line}") from error
        except ValueError as error:
            raise TemplateError(f"The template does not compile: {error}") from error
        except (RecursionError, MemoryError, OverflowError) as error:
            raise TemplateError("The template does not compile: an expression in it is nested too deep.") from error
        linecache.cache[name] = (len(source), None, io.StringIO(source, newline=None).readlines(), name)
        with self._lock:
            self._codes[digest] = code
            while len(self._codes) > CACHED:
                _, old = self._codes.popitem(last=False)
                linecache.cache.pop(old.co_filename, None)
        return code


def build_graph(logic: Logic, context: Any, stream: str) -> RunnableGraph[Any]:
    """Calls the logic. Raises LogicError when it raises, or returns something that cannot run.

    A TeleporterError (an unknown source, a missing driver) comes out as it is.
    """
    try:
        graph: object = logic(context)
    except TeleporterError:
        raise
    except BaseException as error:
        code = getattr(inspect.unwrap(logic), "__code__", None)
        raise LogicError(f"The logic of {stream} {_raised(error, getattr(code, 'co_filename', ''))}.") from error
    if isinstance(graph, RunnableGraph):
        return cast("RunnableGraph[Any]", graph)
    if isinstance(graph, Flow):
        raise LogicError(f"The logic of {stream} returned a flow without a sink; end it with .to(s.sink(name)).")
    if graph is None:
        raise LogicError(f"The logic of {stream} returned nothing; write `return s.source(name)….to(s.sink(name))`.")
    raise LogicError(
        f"The logic of {stream} returned a {type(graph).__name__}; it must return a graph that ends in .to(sink)."
    )


def _marked(namespace: dict[str, Any], stream: str) -> Logic:
    """The one marked function, by whatever names it goes. Only looks: an object's own `__getattr__` might raise."""
    named = ((name, value) for name, value in namespace.items() if callable(value))
    marked = {id(value): (name, value) for name, value in named if inspect.getattr_static(value, MARK, False) is True}
    if len(marked) != 1:
        found = ", ".join(sorted(name for name, _ in marked.values())) or "none"
        raise TemplateError(f"The template of {stream} must mark one function with @stream_logic; it marks {found}.")
    return next(function for _, function in marked.values())


def _raised(error: BaseException, filename: str) -> str:
    """`raised ValueError at line 7: …`, where the line is the template's own."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    where = f" at line {lines[-1]}" if lines else ""
    return f"raised {type(error).__name__}{where}: {error}"
