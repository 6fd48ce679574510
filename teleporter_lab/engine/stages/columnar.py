"""Operators for columns: map_batches, select, with_columns, to_rows, to_batches; `filter` takes an expression as well.

Owns their methods and stages (`batches` has the ends of a columnar stream). A chunk's data is one pyarrow RecordBatch,
a row is an element: demand, tokens and the ledger count rows. A batch whose work fails is cut in halves until the rows
that fail are alone; those go through the supervision, their neighbours go on. Nothing is converted unless asked.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from teleporter_lab.engine.blocking import OneCall
from teleporter_lab.engine.chunk import Chunk, account_change
from teleporter_lab.engine.columns import arrow, evaluate, filtered, one_batch, rows_of
from teleporter_lab.engine.failure import FAILURES, ColumnsNeeded, RowsNeeded, failure_of
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.stage import Stage, Through, close_each
from teleporter_lab.engine.supervision import AGAIN, Action, Failure, explain, put_aside, wait_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")

Batch = Any
"""A pyarrow RecordBatch."""


class Expression(Protocol):
    """A pyarrow expression: `pyarrow.compute.field("amount") > 10`. It is no function."""

    def is_valid(self) -> Any: ...

    def is_null(self, nan_is_null: bool = ...) -> Any: ...


class Columnar(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def map_batches(
        self, function: Callable[[Batch], Batch], *, blocking: bool = False, whole: bool = False
    ) -> Flow[In, Batch]:
        """Gives `function(batch)` for each batch of columns: a RecordBatch or a Table, of any number of rows.

        The function sees the rows in batches of any size, as they come, and must give the same for a batch as for its
        halves; one that needs the batch as it is says `whole`, and then fails as a whole. `blocking` calls it in a
        driver thread.

        Emits when: the function has given rows.
        Tokens: kept; a batch of which nothing is left is confirmed and counted as filtered.
        Supervised: yes, by row; a failing row is found by halving its batch.
        """
        name = named("map_batches", function)

        def mapped(batch: Any) -> Any:
            return one_batch(function(batch))

        return self.then(name, lambda m, up: Batched(up, m, name, mapped, (blocking, whole)))

    def select(self, *columns: str) -> Flow[In, Batch]:
        """Gives the named columns, in that order, without copying them.

        Emits when: there is input.
        Supervised: a column that does not exist fails each row.
        """
        if not columns:
            raise ValueError("select needs the names of one or more columns.")
        name = f"select({', '.join(columns)})"
        wanted = list(columns)
        return self.then(name, lambda m, up: Batched(up, m, name, lambda batch: batch.select(wanted)))

    def with_columns(self, **columns: Expression | Callable[[Batch], Any]) -> Flow[In, Batch]:
        """Gives the batch with columns added, or replaced where the name exists already.

        Each is a pyarrow expression over the columns of the input, or a function of the batch that gives an array of
        its length: `with_columns(total=field("price") * field("quantity"))`.

        Emits when: there is input.
        Supervised: yes, by row; a failing row is found by halving its batch.
        """
        if not columns:
            raise ValueError("with_columns needs one or more columns: with_columns(total=field('a') + field('b')).")
        work = _with_columns(dict(columns))
        name = f"with_columns({', '.join(columns)})"
        return self.then(name, lambda m, up: Batched(up, m, name, work))

    def to_rows(self) -> Flow[In, dict[str, Any]]:
        """Gives each row of the batches as a dict of Python values. This copies: the columnar part ends here.

        Emits when: there is input.
        """
        return self.then("to_rows", lambda m, up: Batched(up, m, "to_rows", lambda batch: batch.to_pylist()))

    def to_batches(self, schema: Any = None) -> Flow[In, Batch]:
        """Gives rows (dicts) as batches of columns, as they come: one batch for each chunk.

        `schema` is a pyarrow Schema; without one the first rows decide, for this run. This copies.

        Emits when: there is input.
        Supervised: yes, by row; a row that does not fit the schema is found by halving its batch.
        """
        return self.then("to_batches", lambda m, up: ToBatches(up, m, "to_batches", _from_rows(schema)))


def filter_columns(up: Stage[Any], m: Materializer, expression: Expression) -> Stage[Any]:
    """The stage of `filter` with an expression."""
    return Batched(up, m, f"filter({expression})", lambda batch: filtered(batch, expression))


def _with_columns(columns: dict[str, Any]) -> Callable[[Any], Any]:
    """What adds or replaces `columns`; all expressions of a batch are computed in one go."""
    expressions = {name: value for name, value in columns.items() if not callable(value)}

    def work(batch: Any) -> Any:
        values = dict(zip(expressions, evaluate(batch, list(expressions.values())), strict=True)) if expressions else {}
        result = batch
        for name, value in columns.items():
            column = value(batch) if callable(value) else values[name]
            at = result.schema.get_field_index(name)
            result = result.append_column(name, column) if at < 0 else result.set_column(at, name, column)
        return result

    return work


def _from_rows(schema: Any) -> Callable[[list[Any]], Any]:
    known = schema

    def work(rows: list[Any]) -> Any:
        nonlocal known
        pyarrow: Any = arrow()
        batch = pyarrow.RecordBatch.from_pylist(rows, schema=known)
        if len(batch) != len(rows):
            raise ValueError("A row without fields cannot be told apart in columns: give to_batches a schema.")
        known = batch.schema
        return batch

    return work


class Batched(Through[Any, Any]):
    """Works a batch at a time. `todo` are the pieces of what was read that are still to be worked, in order."""

    __slots__ = ("_busy", "_calls", "_error", "_failure", "_given", "_m", "_todo", "_tries", "_whole", "_work", "name")

    def __init__(
        self, upstream: Stage[Any], m: Materializer, name: str, work: Callable[[Any], Any],
        how: tuple[bool, bool] = (False, False),
    ) -> None:  # fmt: skip
        super().__init__(upstream)
        blocking, self._whole = how
        self.name = m.name or name
        self._work = work
        self._m = m
        self._busy = m.busy
        self._calls: OneCall[tuple[Any, Exception | None]] | None = OneCall(m.runtime.threads) if blocking else None
        self._todo: deque[Chunk[Any]] = deque()
        self._error: Exception | None = None
        """What the first of `todo` has failed with, when it cannot be cut any more."""
        self._tries = 0
        self._given: Chunk[Any] | None = None
        self._failure: Exception | None = None

    takes_rows = False

    async def pull(self, n: int) -> Chunk[Any] | None:
        while self._given is None:
            if self._failure is not None:
                raise self._failure
            if self._error is not None:
                await self._decide(self._error)
            elif self._todo:
                await self._try()
            else:
                chunk = await self.upstream.pull(n)
                if chunk is None:
                    return None
                self._todo.append(chunk)
                if self._calls is None:
                    self._worked(self._guarded(chunk.data))
        given, self._given = self._given, None
        if len(given) > n:
            given, self._given = given.split(n)
        return given

    async def _try(self) -> None:
        """Works the first piece, one of several or one more time; others get their turn first."""
        data = self._todo[0].data
        if self._calls is None:
            await self._m.runtime.turnstile.turn()
            self._worked(self._guarded(data))
        else:
            started = time.perf_counter()
            outcome = await self._calls.call(self._guarded, data)
            self._busy.seconds += time.perf_counter() - started
            self._worked(outcome)

    def _guarded(self, data: Any) -> tuple[Any, Exception | None]:
        if (type(data) is list) is not self.takes_rows:
            return None, RowsNeeded(self.name) if self.takes_rows else ColumnsNeeded(self.name)
        started = time.perf_counter()
        try:
            return self._work(data), None
        except FAILURES as error:
            return None, failure_of(error)  # nothing is awaited in there, so no cancellation is meant for us
        finally:
            if self._calls is None:
                self._busy.seconds += time.perf_counter() - started

    def _worked(self, outcome: tuple[Any, Exception | None]) -> None:
        """The first piece was worked; where it failed it is cut, or its error is left to be decided about."""
        result, error = outcome
        piece = self._todo[0]
        if error is None:
            self._todo.popleft()
            self._tries = 0
            self._give(piece, result)
        elif isinstance(error, (ColumnsNeeded, RowsNeeded)):
            self._fail(error)
        elif len(piece) > 1 and not self._whole:
            self._todo.popleft()
            self._todo.extendleft(reversed(piece.split(len(piece) // 2)))
        else:
            self._error = error
            self._tries += 1

    def _give(self, piece: Chunk[Any], result: Any | None) -> None:
        if piece.tokens:
            account_change(piece.tokens, len(piece), 0 if result is None else len(result))
        if result is None:
            piece.confirm()
        else:
            self._given = Chunk(result, piece.tokens)

    async def _decide(self, error: Exception) -> None:
        """What becomes of the first piece, which failed with `error`."""
        piece = self._todo[0]
        element = piece.data if self._whole else rows_of(piece.data)[0]
        failure = Failure(error, self.name, element, self._tries, piece.tokens)
        decision = self._m.supervisor.decide(failure)
        if decision.action is Action.STOP:
            self._fail(explain(error, self.name, element))
            return
        await wait_before(decision, self._m)
        if decision.action is Action.DEAD_LETTER:
            try:
                await put_aside(self._m, failure)
            except Exception as lost:  # noqa: BLE001 - raised when everything before it went out
                self._fail(explain(lost, self.name, element))
                return
        self._error = None
        if decision.action not in AGAIN:
            self._leave_out(piece, decision.action)

    def _leave_out(self, piece: Chunk[Any], action: Action) -> None:
        self._todo.popleft()
        self._tries = 0
        if piece.tokens:
            piece.tokens[-1].account("skipped" if action is Action.RESUME else "dead_lettered", len(piece))
        piece.confirm()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._todo.popleft().refuse(error)

    async def on_close(self) -> None:
        if self._calls is None:
            await self.upstream.close()
        else:
            await close_each(self._calls.settle, self.upstream.close)


class ToBatches(Batched):
    __slots__ = ()

    takes_rows = True
