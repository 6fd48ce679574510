"""The demo on a terminal: a progress bar while it runs, a table of what happened, the verdict.

Owns the drawing. Refuses to do anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from teleporter_lab.demo.flights import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from teleporter_lab.demo.story import Story

TITLE = f"{ROWS:,} flights, from a CSV file into SQLite"


def with_progress(console: Console, work: Callable[[Callable[[str, int], None]], Story]) -> Story:
    """What `work(report)` gives, with a bar that moves while it runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=32),
        TextColumn("{task.completed:>9,.0f} of {task.total:,.0f} records"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=ROWS)
        return work(lambda what, written: progress.update(bar, description=what, completed=min(written, ROWS)))


def show(console: Console, story: Story, *, keep: bool) -> None:
    """The table of events and the verdict."""
    table = Table(title=TITLE, title_justify="left", header_style="bold", show_lines=False)
    table.add_column("after", justify="right", style="dim")
    table.add_column("what was done", style="bold")
    table.add_column("what it showed")
    for event in story.events:
        table.add_row(f"{event.at:.1f} s", event.what, event.proof)
    console.print(table)
    verdict = story.verdict
    good = verdict is not None and verdict.perfect and story.balanced
    text = "nothing lost, nothing wrong, the ledger adds up" if good else "the table or the ledger is not right"
    if verdict is not None and verdict.first_difference:
        text += f"\n{verdict.first_difference}"
    console.print(Panel(f"[bold]{text}[/bold]", style="green" if good else "red", expand=False))
    console.print(f"The broker {'answers' if keep else 'answered'} at {story.url}.")
    console.print("The UI: [bold]make lab[/bold] opens this notebook and the panel, at http://127.0.0.1:8888/lab")
