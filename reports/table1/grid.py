"""The table as lines of plain text, before a writer makes it Markdown, LaTeX or a terminal's.

Texts hold names that others chose: every writer escapes them in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from evaluation.comparison.cells import Cell
from evaluation.comparison.columns import Versus
from reports.table1.published import TABLE, Benchmark, impossible, published_stderr
from reports.table1.table import Row, Slot, Table1

IMPOSSIBLE, LIMITED, SMOKE = "*", "†", "‡"
NONE, MISSING, MINUS = "–", "missing", "−"

_BENCHMARKS = {benchmark.id: benchmark for benchmark in TABLE}


@dataclass(frozen=True)
class Entry:
    """A cell's text, and the marks of the notes that it bears."""

    text: str
    marks: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes:
        heads: of each column one or two lines.
        starts: numbers of the rows before which a new group begins.
        texts: numbers of the columns that hold words; the others hold numbers.
        notes: mark and text.
    """

    title: str
    heads: Sequence[tuple[str, ...]]
    rows: Sequence[Sequence[Entry]]
    starts: frozenset[int] = frozenset()
    texts: frozenset[int] = frozenset({0, 1})
    notes: Sequence[tuple[str, str]] = field(default=())


def main_grid(table: Table1) -> Grid:
    """Paper and ours, benchmark by benchmark."""
    several = any(len(cell.runs) > 1 for row in table.rows for cell in row.present)
    heads: list[tuple[str, ...]] = [("Benchmark",), ("profile",), ("shots",), ("n",)]
    heads += [("seeds",)] if several else []
    for slot in table.slots:
        heads += [(slot.model.name, "paper")] if slot.model else []
        heads += [(slot.column, "ours")] if slot.column is not None else []
    rows: list[list[Entry]] = []
    starts = set()
    for _, group in groupby(table.rows, key=lambda row: row.benchmark.id):
        starts.add(len(rows))
        rows += [_main_row(row, table.slots, several) for row in group]
    return Grid(
        "Accuracy in percent: the paper's Table 1 and ours",
        heads, rows, frozenset(starts), notes=_notes(table, several),
    )  # fmt: skip


def comparison_grids(table: Table1) -> list[Grid]:
    """Each of our columns against the base column, under each profile."""
    return [
        _comparison_grid(table, list(group))
        for _, group in groupby(table.versus, key=lambda one: (one.column, one.profile))
    ]


def points(share: float, *, sign: bool = False) -> str:
    """A share, or a difference of shares, in percent (points) with two digits."""
    text = f"{abs(100 * share):.2f}"
    if share < 0 and float(text):
        return MINUS + text
    return f"+{text}" if sign and float(text) else text


def with_error(text: str, stderr: float | None) -> str:
    """A number with its standard error."""
    return f"{text} ± {NONE if stderr is None else points(stderr)}"


def p_value(p: float) -> str:
    """A p value with four digits."""
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def published_difference(benchmark: Benchmark, one: str, base: str) -> tuple[float, float]:
    """What the paper's two cells differ by, and its standard error if nothing were paired.

    The paper's results by item are not published; answers to the same items usually go together,
    so the true standard error is smaller.
    """
    shares = [float(benchmark.cells[model]) / 100 for model in (one, base)]
    errors = [published_stderr(share, benchmark.n) for share in shares]
    return shares[0] - shares[1], math.hypot(*errors)


def _main_row(row: Row, slots: Sequence[Slot], several: bool) -> list[Entry]:
    present = row.present
    entries = [
        Entry(row.benchmark.name),
        Entry(row.profile),
        _joined(NONE if cell.first.shots is None else str(cell.first.shots) for cell in present),
        _joined(_count(cell) for cell in present),
    ]
    if several:
        entries.append(_joined(str(len(cell.runs)) for cell in present))
    wrong = impossible(row.benchmark)
    for slot, cell in zip(slots, row.cells, strict=True):
        if slot.model:
            mark = IMPOSSIBLE if slot.model.id in wrong else ""
            entries.append(Entry(row.benchmark.cells[slot.model.id], mark))
        if slot.column is not None:
            entries.append(_ours(cell) if cell else Entry(MISSING))
    return entries


def _joined(texts: Iterable[str]) -> Entry:
    """What holds for all columns once, else each of the values that there are."""
    return Entry(" / ".join(dict.fromkeys(texts)) or NONE)


def _count(cell: Cell) -> str:
    first = cell.first
    return f"{first.n:,}" if first.n == first.n_full else f"{first.n:,} of {first.n_full:,}"


def _ours(cell: Cell) -> Entry:
    text = with_error(points(cell.value), cell.stderr)
    if cell.spread is not None:
        text += f" ({points(cell.spread)})"
    return Entry(text, {"full": "", "limited": LIMITED, "smoke": SMOKE}[cell.first.coverage])


def _notes(table: Table1, several: bool) -> list[tuple[str, str]]:
    wrong = [
        f"no k/{benchmark.n:,} is {cell} ({benchmark.name})"
        for benchmark in TABLE
        for cell in impossible(benchmark).values()
    ]
    here = {cell.first.coverage for row in table.rows for cell in row.present}
    about = "shots and n are ours; after ± stands the standard error"
    if several:
        about += ", in brackets the standard deviation over seeds"
    notes = [
        ("", f"Columns called paper are as published (measured with UltraEval); {about}."),
        (IMPOSSIBLE, f"As published, but no whole count of right answers: {'; '.join(wrong)}."),
    ]
    if "limited" in here:
        notes.append((LIMITED, "Limited: a part of the benchmark's items."))
    if "smoke" in here:
        notes.append(
            (SMOKE, "Smoke: a few items of our own in the benchmark's form, not the benchmark.")
        )
    return [*notes, *(("", note) for note in table.notes)]


def _comparison_grid(table: Table1, family: Sequence[Versus]) -> Grid:
    first = family[0]
    count = sum(one.comparison is not None for one in family)
    notes = [
        ("", "Differences in points, over the same items. 95 %: bootstrap interval of the "
             "difference, items drawn in pairs. Better and worse: items on which the model scores "
             f"higher and lower. p: exact McNemar. Holm: adjusted for {count} benchmarks."),
        ("", "Paper: the difference of the paper's own two columns, after ± its standard error if "
             "the items were not the same (the paper's results by item are not published)."),
    ]  # fmt: skip
    if any(one.comparison and one.comparison.test == "sign" for one in family):
        notes.append(("", "Scores are means over seeds: p is the sign test on the items."))
    return Grid(
        f"{first.column} against {first.base}, {first.profile}",
        [("Benchmark",), ("n",), ("difference",), ("95 %",), ("better",), ("worse",), ("p",),
         ("Holm",), ("paper",)],
        [_comparison_row(table, one) for one in family],
        texts=frozenset({0}), notes=notes,
    )  # fmt: skip


def _comparison_row(table: Table1, one: Versus) -> list[Entry]:
    benchmark = _BENCHMARKS[one.benchmark]
    models = table.model_of(one.column), table.model_of(one.base)
    paper, marks = NONE, ""
    if models[0] and models[1]:
        difference, error = published_difference(benchmark, models[0].id, models[1].id)
        paper = with_error(points(difference, sign=True), error)
        if {models[0].id, models[1].id} & impossible(benchmark).keys():
            marks = IMPOSSIBLE
    found = one.comparison
    if found is None:
        texts = [NONE, one.reason, NONE, NONE, NONE, NONE, NONE]
    else:
        texts = [
            f"{found.n:,}",
            with_error(points(found.difference, sign=True), found.stderr),
            f"{points(found.low, sign=True)} to {points(found.high, sign=True)}",
            f"{found.gained:,}",
            f"{found.lost:,}",
            p_value(found.p),
            NONE if one.p_holm is None else p_value(one.p_holm),
        ]
    return [Entry(benchmark.name), *map(Entry, texts), Entry(paper, marks)]
