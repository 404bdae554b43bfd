"""Define a chart: a picture of any width, its caption and its numbers; write its files.

Each kind has a function that makes a `Chart` of a result, and None (or no chart) where that has
nothing to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from duo.errors import BadInput
from duo.escape import visible
from duo.files import write_text
from duo.table import Table, latex_document
from reports.plots.style import COLUMN, TWO_COLUMNS, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

_FORMS = (".pdf", ".svg", ".png")


class Nothing(BadInput):
    """There is nothing to draw in a file that can be read."""


@dataclass(frozen=True)
class Chart:
    """A picture that can be drawn in any width, and what it shows.

    Attributes:
        name: stem of the files, e.g. "preference".
        title: a short heading.
        caption: what a paper prints below: n, raters, intervals; what is smoke, limited, synthetic.
        table: the numbers behind the picture, exact.
        draw: makes the picture so many points (1/72 inch) wide.
    """

    name: str
    title: str
    caption: str
    table: Table
    draw: Callable[[float], Figure]


def make_chart(
    name: str,
    title: str,
    caption: Iterable[str],
    columns: Sequence[str],
    rows: Iterable[Sequence[str | int | float | None]],
    draw: Callable[[DataFrame, float], Figure],
    *,
    counts: str = "",
) -> Chart:
    """Make a chart of the sentences of its caption and of rows under named columns.

    Args:
        draw: makes the picture of the rows, so many points (1/72 inch) wide.
        counts: the column that says of how many cases a row is; single ones are told of.
    """
    held = list(map(tuple, rows))
    place = list(columns).index(counts) if counts else None
    single = sum(row[place] == 1 for row in held) if place is not None else 0
    many = "one of its points rests" if single == 1 else f"{single} of its points rest"
    told = [f"n = 1: {many} on a single case."] if single else []
    said = " ".join(visible(" ".join([*caption, *told])).split())

    def picture(width: float) -> Figure:
        import pandas as pd

        return draw(pd.DataFrame(held, columns=list(columns)), width)

    return Chart(name, title, said, Table(title, columns, held, [said]), picture)


def write_chart(chart: Chart, folder: Path) -> list[Path]:
    """Write a chart in every form, the same bytes each time; return the files.

    Args:
        folder: gets NAME.pdf, .svg and .png, one column wide, NAME-wide.pdf, .svg and .png, two
            columns wide, and the rows as NAME.csv, .tex and .md, the caption as NAME.txt.

    Raises:
        BadInput: the folder cannot be written.
    """
    written = []
    for suffix, text in (
        (".csv", chart.table.csv()),
        (".tex", latex_document([chart.table])),
        (".md", chart.table.markdown()),
        (".txt", chart.caption + "\n"),
    ):
        written.append(folder / f"{chart.name}{suffix}")
        write_text(written[-1], text)
    for stem, width in ((chart.name, COLUMN), (f"{chart.name}-wide", TWO_COLUMNS)):
        figure = chart.draw(width)
        for form in _FORMS:
            written.append(folder / f"{stem}{form}")
            save(figure, written[-1])
    return written
