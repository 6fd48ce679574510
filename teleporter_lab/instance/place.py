"""Where in a stream an operator of some name stands, and the stream from there on.

Owns the search for a name among the steps of a graph, those that another step encloses as well. What stands in a stream
that is merged in, in sub-streams or in a branch has no place here, as nothing can be put above it alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from teleporter_lab.errors import NotFound

if TYPE_CHECKING:
    from teleporter_lab.engine.graph import RunnableGraph, Source, Step

_NAME_IT = 'give it a name of its own with .with_attributes(name="…"), and the letters will say that name'


def below(graph: RunnableGraph[Any], place: str, source: Source[Any], *, columnar: bool = False) -> RunnableGraph[Any]:
    """`graph` from the operator `place` on, which may be its sink, with `source` above it.

    With `columnar` the stream begins with columns; where it still has them at that place, the rows of `source` are put
    into columns. Raises NotFound when there is no such operator, or more than one.
    """
    found = _found(graph.steps, place, columnar)
    if graph.name == place:
        found.append(((), _carries_columns(graph.steps, columnar)))
    if not found:
        raise NotFound(
            f"There is no operator {place!r} in the stream, where letters could begin. Operators of a stream that is "
            f"merged in, of sub-streams and of branches have no such place, nor has what an operator makes of several "
            f"elements. If its name has changed, {_NAME_IT}."
        )
    if len(found) > 1:
        raise NotFound(f"There are {len(found)} operators {place!r} in the stream: {_NAME_IT}.")
    (steps, columns) = found[0]
    above = source.to_batches() if columns else source
    return replace(graph, steps=(*above.steps, *steps))


def _found(steps: tuple[Step, ...], place: str, columns: bool) -> list[tuple[tuple[Step, ...], bool]]:
    """What there is from each operator of that name on, and whether columns come to it."""
    found: list[tuple[tuple[Step, ...], bool]] = []
    for i, step in enumerate(steps):
        if step.name == place and not step.starts:
            found.append((steps[i:], columns))
        if step.enclose is not None:
            for inner, inner_columns in _found(step.parts, place, columns):
                found.append(((step.enclose(inner), *steps[i + 1 :]), inner_columns))
            columns = _carries_columns(step.parts, columns)
        columns = _carries_columns((step,), columns)
    return found


def _carries_columns(steps: tuple[Step, ...], before: bool) -> bool:
    """Whether columns come out of `steps`, where they go in or not."""
    for step in steps:
        before = step.name == "to_batches" or (before and step.name != "to_rows")
    return before
