"""`teleporter-lab demo`: the first stream on a real data set, with everything that can go wrong on the way."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from teleporter_lab.settings import HOME_VARIABLE


def demo(
    folder: Annotated[
        Path | None, typer.Option(help="Where everything is kept; else a temporary folder, removed at the end.")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Leave the broker and the instance running.")] = False,
) -> None:
    """Load 336,776 flights while the instance is killed half way, and prove that nothing is lost."""
    if keep and folder is None:
        raise typer.BadParameter("--keep needs a --folder that stays.")
    if folder is not None:
        _run(folder.absolute(), keep=keep)
        return
    with tempfile.TemporaryDirectory(prefix="teleporter-demo-") as temporary:
        _run(Path(temporary), keep=False)


def _run(folder: Path, *, keep: bool) -> None:
    from teleporter_lab.demo import screen, story

    os.environ[HOME_VARIABLE] = str(folder)
    console = Console()
    try:
        told = screen.with_progress(console, story.tell)
    finally:
        if not keep:
            story.end()
    screen.show(console, told, keep=keep)
    if told.verdict is None or not told.verdict.perfect or not told.balanced:
        raise typer.Exit(1)
