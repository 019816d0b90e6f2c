"""What a section of the tour hands back."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Mark", "Plot", "SectionResult", "Table"]


@dataclass(frozen=True)
class Mark:
    """A cell that is good or bad, shown by a sign and by colour.

    Parameters
    ----------
    text : str
        What the cell says.
    good : bool
        Whether it is good news.
    """

    text: str
    good: bool

    def __str__(self):
        return f"{self.text} {'✓' if self.good else '✗'}"


@dataclass(frozen=True)
class Table:
    """A table of strings, numbers formatted already, and marks.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequence
        Cells: strings or :class:`Mark`.
    note : str, default=""
        What is compared with what, and how it was measured.
    title : str, default=""
        Heading above the table.
    text_columns : int, default=2
        The first columns hold text and are aligned to the left.
    """

    columns: tuple
    rows: tuple
    note: str = ""
    title: str = ""
    text_columns: int = 2

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"A row has {len(row)} cells but the table {len(self.columns)} "
                    f"columns: {row}."
                )


@dataclass(frozen=True)
class Plot:
    """A matplotlib figure with a caption.

    Parameters
    ----------
    figure : matplotlib Figure
        Drawn, not shown.
    caption : str
        One sentence: what to see in it.
    """

    figure: Any
    caption: str


@dataclass(frozen=True)
class SectionResult:
    """Findings, tables and plots of one section.

    Parameters
    ----------
    finding : str
        One to three sentences with the numbers of this run.
    tables : list of Table
        At least one.
    plots : list of Plot, default=[]
        May be empty.
    """

    finding: str
    tables: list
    plots: list = field(default_factory=list)
