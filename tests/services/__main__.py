"""Fetches the servers that the tests need and this machine has not: `python -m tests.services`."""

from __future__ import annotations

import sys

from tests.services import Unavailable, kafka, postgres

SERVERS = {"PostgreSQL": postgres.installation, "Kafka": kafka.installation}


def main() -> int:
    for name, installation in SERVERS.items():
        try:
            print(f"{name}: {installation()}")  # noqa: T201 - it is a command
        except Unavailable as why:
            print(f"{why} The tests that need it will be skipped, and say so.", file=sys.stderr)  # noqa: T201
    return 0


sys.exit(main())
