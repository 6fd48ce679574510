"""Which sinks stand below a place of a stream, and when all of them have got what they want.

Owns the counting while a stream is put together from its sources down: a line that splits has all the sinks of its
ways below it, a line that flows into another has those of the other. Refuses to know stages and tokens: whoever must
let go of something when nobody below needs it any more leaves a call here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], None]


class Ends:
    """The sinks below one place. What it was given is called once, when every one of them is done."""

    __slots__ = ("_above", "_calls", "_kept", "_left", "_linked")

    def __init__(self, above: Ends | None = None) -> None:
        self._above = above
        self._calls: dict[Call, None] = {}
        self._left = 1
        self._kept = 0
        """Calls here and in all the ways it splits into; counted where a line begins."""
        self._linked: tuple[Ends, Call] | None = None

    def at_end(self, call: Call) -> None:
        """`call` is called when all sinks below are done."""
        self._calls[call] = None
        self._keep(1)

    def forget(self, call: Call) -> None:
        """`call` need not be called any more."""
        if self._calls.pop(call, self) is None:
            self._keep(-1)

    def _keep(self, n: int) -> None:
        """Lets the line this one flows into know of it, as long as there is something to call."""
        first = self
        while first._above is not None:
            first = first._above
        first._kept += n
        if first._linked is None:
            return
        into, done = first._linked
        if first._kept == 0:
            into.forget(done)
        elif first._kept == 1 and n > 0:
            into.at_end(done)

    def flows_into(self, other: Ends, done: Call) -> None:
        """`done` is to be called when the sinks below `other` are done."""
        self._linked = (other, done)

    def split(self, ways: int) -> list[Ends]:
        """From here on the sinks below are those below each of the `ways`."""
        self._left = ways
        return [Ends(self) for _ in range(ways)]

    def done(self) -> None:
        """The sink, or one of the ways, is done."""
        self._left -= 1
        if self._left != 0:
            return
        calls, self._calls = self._calls, {}
        for call in calls:
            call()
        if self._above is not None:
            self._above.done()


class Line:
    """One line of a stream that is being put together; `ends` are the sinks below its open end."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends = Ends()

    def side_line(self) -> Line:
        """A line that flows into this one at its open end."""
        line = Line()
        line.ends.flows_into(self.ends, line.done)
        return line

    def split(self, ways: int, goes_on: bool) -> list[Line]:
        """`ways` new lines begin at the open end; this one goes on beside them, or ends there."""
        lines = [Line() for _ in range(ways)]
        for line, ends in zip([*lines, self] if goes_on else lines, self.ends.split(ways + goes_on), strict=True):
            line.ends = ends
        if not goes_on:
            self.ends = Ends()
        return lines

    def done(self) -> None:
        """The sink at its end has got all it wants."""
        self.ends.done()
