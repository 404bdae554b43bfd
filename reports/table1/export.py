"""The table for other programs: long CSV with exact numbers, JSON with how they came to be."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from reports.escape import csv_cell
from reports.table1.grid import published_difference
from reports.table1.points import Point, points_of
from reports.table1.published import TABLE, published_stderr
from reports.table1.table import Table1

SCHEMA = 1

_COLUMNS = (
    "source", "column", "beside", "benchmark", "profile", "metric", "average", "shots", "seeds",
    "n", "n_full", "coverage", "data", "value", "stderr", "spread", "low", "high", "note",
)  # fmt: skip

_BENCHMARKS = {benchmark.id: benchmark for benchmark in TABLE}


def long_csv(table: Table1) -> str:
    """A line for each number, ours and the paper's, and for each that is missing.

    Values are shares from 0 to 1, written so that they read back as the same number.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for point in points_of(table):
        row = _published(point) if point.source == "paper" else _ours(point)
        writer.writerow({name: csv_cell(value) for name, value in row.items()})
    return stream.getvalue()


def as_json(table: Table1) -> str:
    """Everything: slots, the paper's cells, ours with the runs behind them, comparisons, notes."""
    content = {
        "schema": SCHEMA,
        "base": table.base,
        "slots": [
            {"paper": slot.model.id if slot.model else None, "ours": slot.column}
            for slot in table.slots
        ],
        "published": [_number(_published(p)) for p in points_of(table) if p.source == "paper"],
        "ours": [
            {**_number(_ours(point)), "runs": _runs(point)}
            for point in points_of(table)
            if point.source == "ours"
        ],
        "comparisons": _comparisons(table),
        "notes": list(table.notes),
    }
    return json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _published(point: Point) -> dict[str, Any]:
    assert point.slot.model
    assert point.value is not None
    benchmark = point.benchmark
    return {
        "source": "paper", "column": point.slot.model.name, "beside": point.slot.column,
        "benchmark": benchmark.id, "profile": point.profile, "metric": "accuracy",
        "average": benchmark.average, "shots": benchmark.shots, "seeds": None, "n": benchmark.n,
        "n_full": benchmark.n, "coverage": "full", "data": None, "value": point.exact,
        "stderr": published_stderr(point.value, benchmark.n), "spread": None, "low": point.low,
        "high": point.high, "note": point.note,
    }  # fmt: skip


def _ours(point: Point) -> dict[str, Any]:
    beside = point.slot.model.name if point.slot.model else None
    row: dict[str, Any] = {
        "source": "ours", "column": point.slot.column, "beside": beside,
        "benchmark": point.benchmark.id, "profile": point.profile, "note": point.note,
    }  # fmt: skip
    if point.cell:
        cell, first = point.cell, point.cell.first
        row |= {
            "metric": first.metric, "average": first.average, "shots": first.shots,
            "seeds": len(cell.runs), "n": first.n, "n_full": first.n_full,
            "coverage": first.coverage, "data": first.data, "value": point.value,
            "stderr": cell.stderr, "spread": cell.spread, "low": point.low, "high": point.high,
        }  # fmt: skip
    return row


def _number(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every column, its printed value as a number."""
    found = {name: row.get(name) for name in _COLUMNS}
    return found | {"value": None if found["value"] is None else float(found["value"])}


def _runs(point: Point) -> list[dict[str, Any]]:
    return [
        {"file": run.file.name, "key": run.key, "seed": run.seed, "value": run.value, **run.facts}
        for run in (point.cell.runs if point.cell else ())
    ]


def _comparisons(table: Table1) -> list[dict[str, Any]]:
    lines = []
    for one in table.versus:
        ours, base = table.model_of(one.column), table.model_of(one.base)
        paper = None
        if ours and base:
            benchmark = _BENCHMARKS[one.benchmark]
            difference, stderr = published_difference(benchmark, ours.id, base.id)
            paper = {"difference": round(difference, 6), "unpaired_stderr": stderr}
        lines.append({**asdict(one), "paper": paper})
    return lines
