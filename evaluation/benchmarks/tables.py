"""Benchmark results and data as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from duo.terminal import printable
from evaluation.benchmarks.catalogue import BENCHMARKS


def results_table(results: Sequence[dict[str, Any]]) -> Table:
    """Benchmarks in rows, models in columns; with several seeds the mean and the range."""
    columns = list(dict.fromkeys(result["column"] for result in results))
    table = Table(
        "benchmark", *(escape(printable(name)) for name in columns), "n", "shots", "items"
    )
    for name, benchmark in BENCHMARKS.items():
        rows = [result for result in results if result["benchmark"] == name]
        if not rows:
            continue
        cells = [_cell([row for row in rows if row["column"] == column]) for column in columns]
        first = rows[0]
        label = first["coverage"] if first["coverage"] != "full" else ""
        table.add_row(
            benchmark.title, *cells, f"{first['n']:,}", str(first["shots"]),
            " ".join(dict.fromkeys(filter(None, (first["data"]["source"], label)))),
        )  # fmt: skip
    return table


def _cell(runs: Sequence[dict[str, Any]]) -> str:
    if not runs:
        return "-"
    values = [100 * run["value"] for run in runs]
    if len(values) > 1:
        return f"{sum(values) / len(values):.2f} ({min(values):.1f}-{max(values):.1f})"
    error = runs[0]["stderr"]
    return f"{values[0]:.2f}" + ("" if error is None else f" ± {100 * error:.2f}")


def data_table(rows: Iterable[tuple[str, str, str, str, str]]) -> Table:
    """What was found of each benchmark."""
    table = Table("benchmark", "source", "items", "published", "missing")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
