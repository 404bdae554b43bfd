"""Which of our columns stands beside which of the paper's, and all that the table says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duo.errors import BadInput
from evaluation.comparison.cells import Cell, cells
from evaluation.comparison.columns import Versus, compare_columns
from evaluation.comparison.runs import read_runs
from reports.table1.caveats import caveats
from reports.table1.published import MODELS, TABLE, Benchmark, Model, simplified

#: Rows of a benchmark come in this order, other profiles after them.
_PROFILES = ("lm-eval", "ultraeval")


@dataclass(frozen=True)
class Slot:
    """A place for a model: the paper's column and ours; one of the two may be missing."""

    model: Model | None
    column: str | None

    @property
    def name(self) -> str:
        """What the place is called where both share a line."""
        return self.model.role if self.model else self.column or ""


@dataclass(frozen=True)
class Row:
    """A benchmark under a profile of ours; a cell for each slot, None where there is none."""

    benchmark: Benchmark
    profile: str
    cells: tuple[Cell | None, ...]

    @property
    def present(self) -> list[Cell]:
        """The cells that there are."""
        return [cell for cell in self.cells if cell]


@dataclass(frozen=True)
class Table1:
    """The table.

    Attributes:
        base: our column that the others are compared with; None if nothing is compared.
        versus: our columns against it.
        notes: what was left out, what no column stands for, and what to be careful about.
    """

    slots: tuple[Slot, ...]
    rows: tuple[Row, ...]
    base: str | None
    versus: tuple[Versus, ...]
    notes: tuple[str, ...]

    def model_of(self, column: str) -> Model | None:
        """The paper's column beside one of ours."""
        return next((slot.model for slot in self.slots if slot.column == column), None)


def table1(runs: Sequence[str], *, base: str | None = None, comparisons: bool = True) -> Table1:
    """Read runs and set up the table.

    Args:
        runs: see `evaluation.comparison.runs.read_runs`.
        base: our column that the others are compared with; None for the one beside the paper's.
        comparisons: whether to compare at all, which needs the items.

    Raises:
        BadInput: a run cannot be read, there is no such base column, or columns that should be
            compared are about other items.
    """
    found = read_runs(runs)
    ours = cells(found.results)
    columns = list(dict.fromkeys(cell.first.column for cell in ours))
    slots = _slots(columns)
    if base is not None and base not in columns:
        raise BadInput(f"unknown {base!r}: use one of {', '.join(columns)}", field="--base")
    base = base or slots[0].column
    notes = list(found.notes)
    alone = ", ".join(slot.model.name for slot in slots if slot.model and not slot.column)
    if alone:
        notes.append(f"No column of ours stands beside the paper's {alone}.")
    if not comparisons:
        base, why = None, "it was not asked for"
    elif base is None:
        why = "no column of ours is called base (name one with --base)"
    elif len(columns) == 1:
        base, why = None, "there is one column only"
    if base is None:
        notes.append(f"Nothing is compared: {why}.")
    order = [slot.column for slot in slots]
    ours.sort(key=lambda cell: order.index(cell.first.column))
    versus = compare_columns(ours, base) if base else []
    rows = _rows(ours, slots)
    return Table1(slots, rows, base, tuple(versus), (*notes, *caveats(rows)))


def _slots(columns: Sequence[str]) -> tuple[Slot, ...]:
    left = list(columns)
    slots = []
    for model in MODELS:
        beside = next(
            (name for alias in model.aliases for name in left if simplified(name) == alias), None
        )
        if beside is not None:
            left.remove(beside)
        slots.append(Slot(model, beside))
    return (*slots, *(Slot(None, column) for column in left))


def _rows(ours: Sequence[Cell], slots: Sequence[Slot]) -> tuple[Row, ...]:
    at = {(cell.first.benchmark, cell.first.profile, cell.first.column): cell for cell in ours}
    there = {cell.first.profile for cell in ours}
    profiles = [name for name in _PROFILES if name in there] + sorted(there - set(_PROFILES))
    return tuple(
        Row(
            benchmark,
            profile,
            tuple(at.get((benchmark.id, profile, slot.column or "")) for slot in slots),
        )
        for benchmark in TABLE
        for profile in profiles
    )
