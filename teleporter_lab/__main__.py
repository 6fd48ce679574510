"""`python -m teleporter_lab`: the command line."""

from __future__ import annotations

from teleporter_lab.cli import main

main()
