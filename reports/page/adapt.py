"""Turn results of parts that do not return a `Table` yet into Tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.errors import MarkupError
from rich.text import Text

from duo.files import Result
from duo.table import Cell, Column, Table, Value
from reports.plots.chart import Chart
from reports.table1.plot import draw, numbers

_NUMBER = re.compile(r"[-–−+<.]?\s*[\d.]|[-–−]$|$")


def plain(content: Any) -> Any:
    if isinstance(content, Result):
        return content.model_dump(mode="json", by_alias=True)
    return content


def tables(found: Any) -> list[Table]:
    if isinstance(found, Table):
        return [found]
    if not isinstance(found, Iterable):
        return [_of_rich(found)]
    return [one if isinstance(one, Table) else _of_rich(one) for one in found]


def _of_rich(table: Any) -> Table:
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    caption = _plain(table.caption) if table.caption else ""
    return Table(
        _plain(table.title) if table.title else "",
        [
            Column(_plain(column.header), "number" if all(map(_NUMBER.match, texts)) else "text")
            for column, texts in zip(table.columns, columns, strict=True)
        ],
        list(zip(*columns, strict=True)),
        [line for line in caption.splitlines() if line],
        frozenset(n + 1 for n, row in enumerate(table.rows) if row.end_section),
    )


def _plain(cell: Any) -> str:
    if isinstance(cell, Text):
        return cell.plain
    try:
        return Text.from_markup(str(cell)).plain
    except MarkupError:
        return str(cell)


def table1(table: Any) -> list[Table]:
    from reports.table1.grid import comparison_grids, main_grid

    return [
        Table(
            grid.title,
            [
                Column("\n".join(head), "text" if n in grid.texts else "number")
                for n, head in enumerate(grid.heads)
            ],
            [[Cell(entry.text, mark=entry.marks) for entry in row] for row in grid.rows],
            [f"{mark} {text}".strip() for mark, text in grid.notes],
            grid.starts if len(grid.starts) < len(grid.rows) else frozenset(),
        )
        for grid in (main_grid(table), *comparison_grids(table))
    ]


def accuracy(table: Any) -> Chart:
    import csv
    import io

    columns, *rows = csv.reader(io.StringIO(numbers(table)))

    def value(cell: str) -> Value:
        try:
            return float(cell) if cell else None
        except ValueError:
            return cell

    coverages = {cell.first.coverage for row in table.rows for cell in row.present}
    marks = [name for name in ("limited", "smoke") if name in coverages]
    return Chart(
        name="benchmarks",
        title="Accuracy on the paper's benchmarks",
        caption=(
            "Open: as the paper reports it; filled: ours, a shape for each profile. Whiskers: 95 % "
            "intervals for the drawing of items."
            + (f" Some of ours are {' and '.join(marks)}: see the table's notes." if marks else "")
        ),
        table=Table(
            "Accuracy on the paper's benchmarks",
            columns,
            [tuple(value(cell) for cell in row) for row in rows],
        ),
        draw=lambda width: draw(table, width=width),
    )
