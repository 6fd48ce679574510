"""Operators that look and change nothing: log, tap, do_on_first, do_on_cancel.

Owns their methods and stages. Tokens pass unchanged, but for an element left out by a rule because the function failed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.failure import FAILURES, failure_of
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through, close_each
from teleporter_lab.engine.stages.transform import Calling
from teleporter_lab.engine.supervision import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


class Observing(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def log(
        self,
        name: str,
        level: int = logging.DEBUG,
        logger: logging.Logger | None = None,
        extract: Callable[[Out], object] | None = None,
    ) -> Flow[In, Out]:
        """Writes a line to `logger` for each element, and one when the stream has ended, failed or was cancelled here.

        The line shows `extract(x)`, or the element itself. A failure is written as an error, everything else at
        `level`; where that is not enabled nothing is looked at, so that it costs a look at each chunk. Of columns there
        is a line for each batch, which shows its size. Without `logger` it is this module's.

        Emits when: there is input.
        Supervised: `extract` by element.
        """
        to = logger or logging.getLogger(__name__)

        def attach(m: Materializer, upstream: Stage[Any]) -> Stage[Any]:
            return LogEnd(Log(upstream, m, f"log({name})", extract, (to, level, name)), (to, level, name))

        return self.then(f"log({name})", attach)

    def tap(self, function: Callable[[Out], object]) -> Flow[In, Out]:
        """Calls `function(x)` for each element and gives the element, not what the function gave.

        It is called in line, so the element waits for it; `also_to` gives elements to another stream.

        Emits when: there is input.
        Supervised: yes, by element; an element that is left out does not go on either.
        Like: Pekko's wireTap with a function, but never leaves one out; alsoTo(Sink.foreach).
        """
        name = named("tap", function)
        return self.then(name, lambda m, up: Tap(up, m, name, function))

    def do_on_first(self, function: Callable[[Out], object]) -> Flow[In, Out]:
        """Calls `function(x)` with the first element, before that goes on.

        Emits when: there is input.
        Supervised: yes; when the first element is left out, the next one is the first.
        Like: Pekko's doOnFirst.
        """
        name = named("do_on_first", function)
        return self.then(name, lambda m, up: DoOnFirst(up, m, name, function))

    def do_on_cancel(self, function: Callable[[], object]) -> Flow[In, Out]:
        """Calls `function()` once when the stream stops here before its input has ended or failed.

        That is when what is below has enough or fails, and when the stream is cancelled. It is called before what is
        above is closed. A stream that was never pulled counts as well.

        Emits when: there is input.
        Supervised: no; an error of the function fails the stream, once everything is closed.
        Like: Pekko's doOnCancel.
        """
        return self.then(named("do_on_cancel", function), lambda m, up: DoOnCancel(up, function))


class Tap(Calling[T, T]):
    __slots__ = ()

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        function, add = self.function, out.append
        for element in elements:
            function(element)
            add(element)


class DoOnFirst(Calling[T, T]):
    __slots__ = ("_done",)

    def __init__(self, upstream: Stage[T], m: Materializer, name: str, function: Callable[[T], object]) -> None:
        super().__init__(upstream, m, name, function)
        self._done = False

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        if not self._done:
            for element in elements:
                self.function(element)
                self._done = True
                out.append(element)
                break
        out.extend(elements)

    def _worked(self, chunk: Chunk[T]) -> Chunk[T] | None:
        return chunk if self._done else super()._worked(chunk)


class Log(Calling[T, T]):
    """The lines of the elements."""

    __slots__ = ("_level", "_logger", "_shown")

    def __init__(
        self, upstream: Stage[T], m: Materializer, name: str, extract: Callable[[T], object] | None,
        to: tuple[logging.Logger, int, str],
    ) -> None:  # fmt: skip
        super().__init__(upstream, m, name, extract or _itself)
        self._logger, self._level, self._shown = to

    def work(self, elements: Iterator[T], out: list[T]) -> None:
        extract, add = self.function, out.append
        log, level, shown = self._logger.log, self._level, self._shown
        for element in elements:
            log(level, "%s: %s", shown, extract(element))
            add(element)

    def _worked(self, chunk: Chunk[T]) -> Chunk[T] | None:
        if not self._logger.isEnabledFor(self._level):
            return chunk
        if type(chunk.data) is list:
            return super()._worked(chunk)
        self._logger.log(self._level, "%s: a batch of %d rows", self._shown, len(chunk))
        return chunk


def _itself(element: T) -> T:
    return element


class Watch(Through[T, T]):
    """Sees how the stream ends here: the end, a failure, or closed before either."""

    __slots__ = ("_over",)

    def __init__(self, upstream: Stage[T]) -> None:
        super().__init__(upstream)
        self._over = False

    def ended(self, error: Exception | None) -> None:
        """It has ended, or failed with `error`; called once."""

    def cancelled(self) -> None:
        """It is closed before it has ended; called once, in the place of `ended`."""

    async def pull(self, n: int) -> Chunk[T] | None:
        outcome = await attempt(self.upstream, n)
        if isinstance(outcome, Chunk):
            return outcome
        if not self._over:
            self._over = True
            self.ended(outcome)
        if outcome is not None:
            raise outcome
        return None

    async def _cancel(self) -> None:
        if not self._over:
            self._over = True
            self.cancelled()

    async def on_close(self) -> None:
        await close_each(self._cancel, self.upstream.close)


class LogEnd(Watch[T]):
    """The last line."""

    __slots__ = ("_level", "_logger", "_shown")

    def __init__(self, upstream: Stage[T], to: tuple[logging.Logger, int, str]) -> None:
        super().__init__(upstream)
        self._logger, self._level, self._shown = to

    def ended(self, error: Exception | None) -> None:
        if error is None:
            self._logger.log(self._level, "%s: ended", self._shown)
        else:
            self._logger.error("%s: failed: %r", self._shown, error)

    def cancelled(self) -> None:
        self._logger.log(self._level, "%s: cancelled", self._shown)


class DoOnCancel(Watch[T]):
    __slots__ = ("_function",)

    def __init__(self, upstream: Stage[T], function: Callable[[], object]) -> None:
        super().__init__(upstream)
        self._function = function

    def cancelled(self) -> None:
        try:
            self._function()
        except FAILURES as error:
            failure = failure_of(error)
            raise failure from failure.__cause__
