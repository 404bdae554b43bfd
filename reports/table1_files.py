"""Write Table 1: as tables for readers, and as files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path

from duo.files import check_writable, write_result, write_text
from duo.table import MINUS, NONE, Cell, Column, Table, Value, latex_document
from evaluation.benchmarks.catalogue import BENCHMARKS
from reports.table1 import (
    FAULTY,
    IMPOSSIBLE,
    MISSING,
    MODELS,
    Number,
    Ours,
    Slot,
    Table1,
    Versus,
    mark_of,
    slots_of,
    table1,
)

NAME = "table1"
LIMITED, SMOKE = "†", "‡"


def tables(found: Table1) -> list[Table]:
    """Tabulate the paper's numbers and ours, and each of our columns against the base column."""
    groups = groupby(found.comparisons, key=lambda one: (one.column, one.profile))
    return [_main_table(found), *(_comparison_table(list(family)) for _, family in groups)]


def points(share: float, *, sign: bool = False) -> str:
    """Write a share, or a difference of shares, in percent (points) with two digits."""
    text = f"{abs(100 * share):.2f}"
    if share < 0 and float(text):
        return MINUS + text
    return f"+{text}" if sign and float(text) else text


def p_value(p: float) -> str:
    """Write a p value with four digits."""
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def _with_error(text: str, stderr: float | None) -> str:
    return f"{text} ± {NONE if stderr is None else points(stderr)}"


def _main_table(found: Table1) -> Table:
    several = any((number.seeds or 0) > 1 for number in found.ours)
    columns = [Column("Benchmark"), Column("profile")]
    columns += [Column(name, "number") for name in ("shots", "n", *(["seeds"] * several))]
    for slot in found.slots:
        columns += [Column(f"{MODELS[slot.paper].name}\npaper", "number")] if slot.paper else []
        columns += [Column(f"{slot.ours}\nours", "number")] if slot.ours is not None else []
    rows: list[list[Cell]] = []
    sections: set[int] = set()
    for benchmark, of in groupby(found.ours, key=lambda number: number.benchmark):
        sections.add(len(rows))
        for profile, group in groupby(of, key=lambda number: number.profile):
            ours = {number.column: number for number in group}
            rows.append(_main_row(found.slots, benchmark, profile, ours, several))
    if len(sections) == len(rows):
        sections = set()
    return Table(
        "Accuracy in percent: the paper's Table 1 and ours", columns, rows,
        _main_notes(found, several), frozenset(sections),
    )  # fmt: skip


def _main_row(
    slots: Sequence[Slot], benchmark: str, profile: str, ours: dict[str, Ours], several: bool
) -> list[Cell]:
    about = BENCHMARKS[benchmark]
    there = [number for number in ours.values() if number.value is not None]
    row = [Cell(about.title), Cell(profile)]
    row.append(_joined(NONE if one.shots is None else str(one.shots) for one in there))
    row.append(_joined(_count(one) for one in there))
    row += [_joined(str(one.seeds) for one in there)] if several else []
    for slot in slots:
        if slot.paper:
            mark = mark_of(about.paper, slot.paper)
            cell = about.paper.cells[slot.paper]
            row.append(Cell(float(cell), cell, mark))
        if slot.ours is not None:
            row.append(_our_cell(ours[slot.ours]))
    return row


def _joined(texts: Iterable[str]) -> Cell:
    """Write what holds for all columns once, else each of the values that there are."""
    text = " / ".join(dict.fromkeys(texts)) or NONE
    return Cell(text, text)


def _count(number: Number) -> str:
    if number.n == number.n_full:
        return f"{number.n:,}"
    return f"{number.n:,} of {number.n_full:,}"


def _our_cell(number: Number) -> Cell:
    if number.value is None:
        return Cell(None, MISSING, style="red")
    text = _with_error(points(number.value), number.stderr)
    if number.spread is not None:
        text += f" ({points(number.spread)})"
    mark = {"limited": LIMITED, "smoke": SMOKE}.get(number.coverage or "", "")
    return Cell(100 * number.value, text, mark)


def _main_notes(found: Table1, several: bool) -> list[str]:
    wrong = [
        f"no k/{about.paper.n:,} is {cell} ({about.title})"
        for about in BENCHMARKS.values()
        for cell in about.paper.impossible.values()
    ]
    here = {number.coverage for number in found.ours}
    about = "shots and n are ours; after ± stands the standard error"
    about += ", in brackets the standard deviation over seeds" if several else ""
    notes = [
        f"Columns called paper are as published (measured with UltraEval); {about}.",
        f"{IMPOSSIBLE} As published, but no whole count of right answers: {'; '.join(wrong)}.",
    ]
    notes += [
        f"{FAULTY} As published, but {about.paper.fault} ({about.title})."
        for about in BENCHMARKS.values()
        if about.paper.fault
    ]
    if "limited" in here:
        notes.append(f"{LIMITED} Limited: a part of the benchmark's items.")
    if "smoke" in here:
        notes.append(
            f"{SMOKE} Smoke: a few items of our own in the benchmark's form, not the benchmark."
        )
    return [*notes, *found.notes]


def _comparison_table(family: Sequence[Versus]) -> Table:
    first = family[0]
    count = sum(one.comparison is not None for one in family)
    notes = [
        "Differences in points, over the same items. 95 %: bootstrap interval of the difference, "
        "items drawn in pairs. Better and worse: items on which the model scores higher and lower. "
        f"p: exact McNemar. Holm: adjusted for {count} benchmarks.",
        "Paper: the difference of the paper's own two columns, after ± its standard error if the "
        "items were not the same (the paper's results by item are not published).",
    ]
    if any(one.comparison and one.comparison.test == "sign" for one in family):
        notes.append("Scores are means over seeds: p is the sign test on the items.")
    columns = [Column("Benchmark"), Column("n", "number", ","), Column("difference", "number")]
    columns += [Column("95 %", "number"), Column("better", "number", ",")]
    columns += [Column("worse", "number", ","), Column("p", "number", p_value)]
    columns += [Column("Holm", "number", p_value), Column("paper", "number")]
    title = f"{first.column} against {first.base}, {first.profile}"
    return Table(title, columns, [_comparison_row(one) for one in family], notes)


def _comparison_row(one: Versus) -> list[Value | Cell]:
    about = BENCHMARKS[one.benchmark]
    paper = Cell(None)
    if one.paper:
        ids = {slot.paper for slot in slots_of((one.column, one.base)) if slot.ours}
        mark = "".join(dict.fromkeys(mark_of(about.paper, name) for name in ids if name))
        paper = _difference(one.paper.difference, one.paper.unpaired_stderr, mark)
    found = one.comparison
    if found is None:
        return [about.title, None, Cell(None, one.reason), *[None] * 5, paper]
    low, high = points(found.low, sign=True), points(found.high, sign=True)
    return [
        about.title, found.n, _difference(found.difference, found.stderr), f"{low} to {high}",
        found.gained, found.lost, found.p, one.p_holm, paper,
    ]  # fmt: skip


def _difference(share: float, stderr: float | None, mark: str = "") -> Cell:
    return Cell(100 * share, _with_error(points(share, sign=True), stderr), mark)


def long_table(found: Table1) -> Table:
    """Tabulate each number, ours and the paper's, and each that is missing; shares are 0 to 1."""
    names = [field.name for field in fields(Number)]
    rows = [[getattr(number, name) for name in names] for number in found.numbers]
    return Table("", names, rows)


def make(
    runs: Sequence[str], out: Path, *, base: str | None = None, comparisons: bool = True
) -> list[Path]:
    """Print Table 1 and write it to a folder; the same runs give the same bytes.

    Args:
        runs: folders or files, see `evaluation.benchmarks.collect.read_runs`.
        out: folder for `table1.md`, `.tex`, `.csv`, `.json`, and the figure `table1-plot` and
            `table1-plot-narrow` (two columns and one column wide) as PDF, SVG and PNG, with
            `table1-plot.csv`.
        base: our column that the others are compared with; None for the one beside the paper's.

    Returns:
        The files written.

    Raises:
        BadInput: the runs cannot be used, or the folder cannot be written.
    """
    found = table1(runs, base=base, comparisons=comparisons)
    made = tables(found)
    from reports.plots.style import COLUMN, TWO_COLUMNS, save
    from reports.plots.table1 import draw, numbers

    for table in made:
        table.show()
    check_writable(out)
    texts = {
        ".md": "\n".join(table.markdown() for table in made),
        ".tex": latex_document(made),
        ".csv": long_table(found).csv(),
        "-plot.csv": numbers(found).csv(),
    }
    written = [out / f"{NAME}{suffix}" for suffix in texts]
    for path, text in zip(written, texts.values(), strict=True):
        write_text(path, text)
    written.append(out / f"{NAME}.json")
    write_result(written[-1], found)
    for name, width in ((f"{NAME}-plot", TWO_COLUMNS), (f"{NAME}-plot-narrow", COLUMN)):
        figure = draw(found, width=width)
        for suffix in (".pdf", ".svg", ".png"):
            written.append(out / f"{name}{suffix}")
            save(figure, written[-1])
    return written
