"""Fetches the servers that the tests need and this machine has not: `python -m tests.services`."""

from __future__ import annotations

import sys

from tests.services import Unavailable
from tests.services.postgres import installation


def main() -> int:
    try:
        print(f"PostgreSQL: {installation()}")  # noqa: T201 - it is a command
    except Unavailable as why:
        print(f"{why} The tests that need it will be skipped, and say so.", file=sys.stderr)  # noqa: T201
    return 0


sys.exit(main())
