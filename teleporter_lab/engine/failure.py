"""What a user's function may fail with, in forms that are errors wherever they are raised again.

Owns the translation: a StopIteration, a `sys.exit`, a cancellation that nobody meant for the stream. Refuses to decide
what to do about a failure (`supervision` does).
"""

from __future__ import annotations

import asyncio


class RowsNeeded(TypeError):
    """An operator that works on single elements got a batch of columns."""

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"{stage} works on rows and this stream carries columns here: put to_rows() above it, "
            "or use an operator for batches (map_batches, filter with an expression, select, with_columns)."
        )


class ColumnsNeeded(TypeError):
    """An operator that works on batches of columns got rows, or a function gave something else."""

    def __init__(self, stage: str, found: str = "this stream carries rows here") -> None:
        super().__init__(
            f"{stage} works on columns and {found}: put to_batches() above it, or read with columnar=True."
        )


class StoppedIteration(RuntimeError):
    """A user's function let a StopIteration escape, which would otherwise end the chunk without a word."""

    def __init__(self) -> None:
        super().__init__("The function raised StopIteration; give next() a default, or catch it inside.")


FAILURES = (Exception, asyncio.CancelledError, SystemExit)
"""What a user's function may fail with; a stream that exits must not take the process and the other streams with it."""


class Exited(RuntimeError):
    """A user's function called `sys.exit`, which ends its stream and nothing else."""

    def __init__(self, code: object) -> None:
        super().__init__(f"The function called sys.exit({code!r}); raise an error to fail the stream instead.")


class Interrupted(RuntimeError):
    """Something that was waited for was cancelled, although nobody cancelled the stream that waited for it."""

    def __init__(self) -> None:
        super().__init__("What was waited for was cancelled by somebody else.")


def failure_of(error: BaseException) -> Exception:
    """What a user's function failed with, in a form that is an error wherever it is raised again."""
    if isinstance(error, StopIteration):
        failure = StoppedIteration()
    elif isinstance(error, SystemExit):
        failure = Exited(error.code)
    elif isinstance(error, Exception):
        return error
    else:
        failure = Interrupted()
    failure.__cause__ = error
    return failure


def cancel_requested() -> bool:
    """Whether somebody has cancelled the running task, so that a CancelledError is meant for it."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
