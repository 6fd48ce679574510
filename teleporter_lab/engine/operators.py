"""What every family of operators stands on: a flow that can be extended.

Owns nothing but the one method a family needs. A new operator is a method in its family's file that calls `then`, and
a stage (or a function) beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer
    from teleporter_lab.engine.stage import Stage

In = TypeVar("In")
Out = TypeVar("Out")


class Operators(Generic[In, Out]):
    """Base of the families; `Flow` is all of them together."""

    __slots__ = ()

    def then(
        self, name: str, attach: Callable[[Materializer, Stage[Any]], Stage[Any]], opens: bool = False
    ) -> Flow[In, Any]:
        """This flow with one more operator below it, which opens sub-streams or not."""
        raise AssertionError("only a Flow can be extended")


def named(operator: str, function: Callable[..., object]) -> str:
    """How an operator is shown: `map(to_event)`."""
    name: str = getattr(function, "__name__", type(function).__name__)
    return f"{operator}({name})" if name != "<lambda>" else operator
