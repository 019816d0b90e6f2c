"""Progress bar and sections in the terminal."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from contextlib import contextmanager
from functools import partial

from sparsestat._tour._section import Mark

__all__ = ["new_console", "print_section", "print_summary", "step_bar"]


def new_console():
    """Return a console as wide as the terminal; at least 100 columns in a file."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal and console.width < 100:
        console = Console(highlight=False, width=100)
    return console


@contextmanager
def step_bar(console, total):
    """Show one bar over all steps; yield what moves it.

    Its ``step`` takes the text of a step that begins, its ``advance`` a number of
    steps that have ended and a text.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    with Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total)
        yield _Steps(bar, task)
        bar.update(task, completed=total)


class _Steps:
    def __init__(self, bar, task):
        self.bar, self.task, self.begun = bar, task, False

    def step(self, text):
        self.advance(1 if self.begun else 0, text)
        self.begun = True

    def advance(self, steps, text):
        self.bar.update(self.task, description=text, advance=steps)


def _said(console, value):
    """Return what the encoding of the terminal can show."""
    text, encoding = str(value), console.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        if isinstance(value, Mark):
            text = f"{value.text} {'yes' if value.good else 'no'}"
        text = text.encode(encoding, "replace").decode(encoding)
    return text


def print_summary(console, parts):
    """Print the result of each section, ``(title, result)``, in a few words."""
    from rich.markup import escape

    counts = [result.certificates for _, result in parts]
    shown, good = (sum(column) for column in zip(*counts, strict=True))
    console.print(f"\n[bold]{good} of {shown} certificates satisfied[/bold]")
    for title, result in parts:
        console.print(escape(_said(console, f"  {title}: {result.glance}")))


def print_section(console, title, result):
    """Print the finding and the table of one section."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable
    from rich.text import Text

    said = partial(_said, console)
    console.print(f"\n[bold]{escape(said(title))}[/bold]")
    console.print(escape(said(result.finding)))
    table = result.table
    rich_table = RichTable(
        box=box.SIMPLE_HEAD,
        caption=said(table.note) if table.note else None,
        caption_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for k, column in enumerate(table.columns):
        rich_table.add_column(
            said(column),
            justify="left" if k < table.text_columns else "right",
            overflow="fold",
        )
    for row in table.rows:
        rich_table.add_row(
            *(
                Text(said(cell), style="green" if cell.good else "bold red")
                if isinstance(cell, Mark)
                else Text(said(cell))
                for cell in row
            )
        )
    console.print(rich_table)
