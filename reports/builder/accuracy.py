"""Table 1 as a chart: dots with intervals, the paper's numbers and ours."""

from __future__ import annotations

import csv
import io

from duo.table import Table, Value
from reports.plots.chart import Chart
from reports.table1.plot import draw, numbers
from reports.table1.table import Table1


def accuracy(table: Table1) -> Chart:
    """The figure of `duo report table1`."""
    columns, *rows = csv.reader(io.StringIO(numbers(table)))
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
            [tuple(_value(cell) for cell in row) for row in rows],
        ),
        draw=lambda width: draw(table, width=width),
    )


def _value(cell: str) -> Value:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell
