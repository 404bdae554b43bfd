"""Every number of the table with its interval: what the figure shows and the CSV lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from evaluation.comparison.cells import Cell
from evaluation.scores import wilson
from reports.table1.published import Benchmark, impossible
from reports.table1.table import Slot, Table1

_Z = 1.959964  # half of a 95 % interval in standard errors


@dataclass(frozen=True)
class Point:
    """A number of the table; of one that is missing, `value` is None.

    Attributes:
        profile: of ours; "published" for the paper's.
        value: share right, from 0 to 1, with the digits that it has.
        low, high: 95 % interval; None where nothing is known of the spread.
        cell: of ours, where there is one.
        note: what is wrong with it; "" for nothing.
    """

    source: Literal["paper", "ours"]
    benchmark: Benchmark
    slot: Slot
    profile: str
    value: float | None
    exact: str
    low: float | None = None
    high: float | None = None
    cell: Cell | None = None
    note: str = ""


def points_of(table: Table1) -> Iterator[Point]:
    """All points: by benchmark the paper's, then ours by profile, what is missing among them."""
    done = set()
    for row in table.rows:
        if row.benchmark.id not in done:
            done.add(row.benchmark.id)
            yield from (_published(row.benchmark, slot) for slot in table.slots if slot.model)
        for slot, cell in zip(table.slots, row.cells, strict=True):
            if slot.column is None:
                continue
            if cell is None:
                yield Point("ours", row.benchmark, slot, row.profile, None, "", note="missing")
                continue
            low, high = interval(cell)
            note = "" if cell.first.coverage == "full" else cell.first.coverage
            yield Point(
                "ours", row.benchmark, slot, row.profile, cell.value, repr(cell.value), low, high,
                cell, note,
            )  # fmt: skip


def interval(cell: Cell) -> tuple[float | None, float | None]:
    """95 % interval of a cell's value, from 0 to 1.

    Wilson's where every item of one run counts alike, or where the standard error is none for
    lack of spread; else the value and 1.96 standard errors to both sides, cut at 0 and 1.
    """
    if (len(cell.runs) == 1 and not cell.macro) or not cell.stderr:
        return wilson(round(cell.value * cell.first.n), cell.first.n)
    half = _Z * cell.stderr
    return max(0.0, cell.value - half), min(1.0, cell.value + half)


def _published(benchmark: Benchmark, slot: Slot) -> Point:
    """The paper states no intervals: Wilson's is what so many items allow."""
    assert slot.model
    printed = Decimal(benchmark.cells[slot.model.id]) / 100
    value = float(printed)
    low, high = wilson(round(value * benchmark.n), benchmark.n)
    note = "no whole count" if slot.model.id in impossible(benchmark) else ""
    return Point("paper", benchmark, slot, "published", value, str(printed), low, high, note=note)
