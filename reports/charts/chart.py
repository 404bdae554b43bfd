"""A chart: a picture of some width, its caption, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from duo.files import check_writable, write_text
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMS = (".pdf", ".svg", ".png")


@dataclass(frozen=True)
class Chart:
    """A picture that can be drawn in any width, and what it shows.

    Attributes:
        name: stem of the files, e.g. "preference".
        title: a short heading.
        caption: what a paper prints below: n, raters, intervals; what is smoke, limited, synthetic.
        columns: names of the columns of `rows`.
        rows: the numbers behind the picture, exact: text, numbers, None where there is none.
        draw: the picture, so many points (1/72 inch) wide.
    """

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    draw: Callable[[float], Figure]


def write_chart(chart: Chart, folder: Path) -> list[Path]:
    """Write a chart in every form; the same chart gives the same bytes.

    Args:
        chart: the chart.
        folder: gets NAME.pdf, .svg and .png, one column wide, NAME-wide.pdf, .svg and .png, two
            columns wide, and the rows as NAME.csv, .tex and .md, the caption as NAME.txt.

    Returns:
        The files written.

    Raises:
        BadInput: the folder cannot be written.
    """
    from reports.charts.table import csv_text, latex_text, markdown_text
    from reports.figures.style import COLUMN, TWO_COLUMNS, save

    check_writable(folder)
    written = []
    for suffix, text in (
        (".csv", csv_text(chart)),
        (".tex", latex_text(chart)),
        (".md", markdown_text(chart)),
        (".txt", clean(chart.caption) + "\n"),
    ):
        written.append(folder / f"{chart.name}{suffix}")
        write_text(written[-1], text)
    for stem, width in ((chart.name, COLUMN), (f"{chart.name}-wide", TWO_COLUMNS)):
        figure = chart.draw(width)
        for form in _FORMS:
            written.append(folder / f"{stem}{form}")
            save(figure, written[-1])
    return written
