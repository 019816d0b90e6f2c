"""What a section of the tour hands back."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from typing import Any

__all__ = ["Mark", "Plot", "SectionResult", "Table", "proof"]


@dataclass(frozen=True)
class Mark:
    """A cell that is good or bad, shown by a sign and by color.

    Parameters
    ----------
    text : str
        What the cell says.
    good : bool
        Whether it is good news.
    certified : bool, default=False
        Whether it is the certificate of one of our fits.
    """

    text: str
    good: bool
    certified: bool = False

    def __str__(self):
        return f"{self.text} {'✓' if self.good else '✗'}"


def proof(estimator):
    """Return what a fitted estimator proves as a :class:`Mark`, "" if it says nothing.

    Parameters
    ----------
    estimator : estimator
        Fitted, of this package or a peer.
    """
    certificate = getattr(estimator, "certificate_", None)
    if certificate is None:
        return ""
    text = f"{certificate.value:.0e}" if certificate.value else "0"
    return Mark(text, certificate.satisfied, certified=True)


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
    text_columns : int, default=2
        The first columns hold text and are aligned to the left.
    """

    columns: tuple
    rows: tuple
    note: str = ""
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
    """What one section says: a sentence, a table and a plot.

    Parameters
    ----------
    finding : str
        One sentence with the numbers of this run.
    table : Table
        Where the numbers come from.
    plot : Plot
        What they look like.
    glance : str, default=""
        The result in a few words, with numbers of this run.
    """

    finding: str
    table: Table
    plot: Plot
    glance: str = ""

    @property
    def certificates(self):
        """How many certificates the table shows, and how many are satisfied."""
        marks = [c for row in self.table.rows for c in row if isinstance(c, Mark)]
        shown = [mark.good for mark in marks if mark.certified]
        return len(shown), sum(shown)
