"""Tables as `Grid`s, which HTML, Markdown and LaTeX are written from."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.errors import MarkupError
from rich.text import Text

from duo.files import as_result
from evaluation.interaction.results import Interaction, table
from reports.escape import csv_cell
from reports.table1.grid import Entry, Grid

if TYPE_CHECKING:
    from rich.table import Table

    from duo.table import Table as DuoTable
    from reports.plots.chart import Chart

_NUMBER = re.compile(r"[-–−+<.]?\s*[\d.]|[-–−]$|$")


def from_rich(table: Table) -> Grid:
    """What a command prints, with the same texts."""
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    rows = list(zip(*columns, strict=True))
    starts = {0} | {n + 1 for n, row in enumerate(table.rows) if row.end_section}
    caption = _plain(table.caption) if table.caption else ""
    return grid(
        _plain(table.title) if table.title else "",
        [_plain(column.header) for column in table.columns],
        rows,
        starts=frozenset(starts) if len(starts) > 1 else frozenset(),
        notes=[line for line in caption.splitlines() if line],
    )


def from_table(table: DuoTable) -> Grid:
    """A table as this page still wants it."""
    names = [column.name for column in table.heads]
    return grid(table.title, names, table.marked, starts=table.sections, notes=list(table.notes))


def of_chart(chart: Chart) -> Grid:
    """The numbers behind a picture."""
    table = chart.table
    return grid(chart.title, [column.name for column in table.heads], table.texts)


def of_interaction(found: Mapping[str, Any]) -> Grid:
    """The figures of `duo eval interaction`, systems side by side."""
    return from_table(table(as_result(found, Interaction, file=None), "How each system conversed"))


def grid(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    starts: frozenset[int] = frozenset(),
    notes: Sequence[str] = (),
    texts: set[int] | None = None,
) -> Grid:
    """A table of plain texts; columns that hold nothing but numbers stand to the right.

    Args:
        texts: numbers of the columns of words; found out if not given.
    """
    if texts is None:
        texts = {
            column
            for column in range(len(heads))
            if not all(_NUMBER.match(row[column]) for row in rows)
        }
    return Grid(
        title,
        [(head,) for head in heads],
        [[Entry(text) for text in row] for row in rows],
        starts,
        frozenset(texts | {0}),
        [("", note) for note in notes],
    )


def csv_text(table: Grid) -> str:
    """The texts of a table as CSV that no spreadsheet runs anything of."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([csv_cell(" ".join(head)) for head in table.heads])
    writer.writerows([csv_cell(entry.text + entry.marks) for entry in row] for row in table.rows)
    return stream.getvalue()


def _plain(cell: Any) -> str:
    """A cell without the terminal's markup."""
    if isinstance(cell, Text):
        return cell.plain
    try:
        return Text.from_markup(str(cell)).plain
    except MarkupError:
        return str(cell)
