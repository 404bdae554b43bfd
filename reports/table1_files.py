"""Write Table 1 for readers: as tables, as a picture, and as files.

The picture has a panel of dots and intervals for each benchmark, and in it a band for each model:
the paper's open dot above, ours below, filled, with another shape for each profile. Shape and place
tell them apart without colour.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duo.escape import visible
from duo.files import check_writable, write_result, write_text
from duo.table import MINUS, NONE, Cell, Column, Table, Value, latex_document
from evaluation.benchmarks.catalogue import BENCHMARKS
from reports.plots.chart import Chart
from reports.plots.style import BODY, COLUMN, LABEL, LIGHT, TWO_COLUMNS, house_style, save
from reports.plots.typeset import fit
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "table1"
LIMITED, SMOKE = "†", "‡"

#: Colours and shapes of our profiles, in the order in which they stand in the table.
_LOOKS = (("query", "o"), ("speech", "s"), ("respond", "D"), ("ignore", "^"), ("cut", "v"))
_PAPER = ("soft", "o")

_TITLE = "Accuracy on the paper's benchmarks"

# Points (1/72 inch).
_LANE, _BETWEEN = 5.6, 5.0
_AROUND = 36.0  # a panel's title, numbers and label
_NAME_AT_MOST = 70.0


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
    return Cell(" / ".join(dict.fromkeys(texts)) or NONE)


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


# ---- the picture


def accuracy(found: Table1) -> Chart:
    """Make the chart of Table 1."""
    coverages = {number.coverage for number in found.ours}
    marks = [name for name in ("limited", "smoke") if name in coverages]
    return Chart(
        name="benchmarks",
        title=_TITLE,
        caption=(
            "Open: as the paper reports it; filled: ours, a shape for each profile. Whiskers: 95 % "
            "intervals for the drawing of items."
            + (f" Some of ours are {' and '.join(marks)}: see the table's notes." if marks else "")
        ),
        table=_numbers(found),
        draw=lambda width: _draw(found, width),
    )


def _draw(found: Table1, width: float) -> Figure:
    """Draw the figure, `width` points wide; its height follows from how many models there are."""
    from matplotlib.figure import Figure

    across = 3 if width > 300 else 2
    down = -(-len(BENCHMARKS) // across)
    lanes = 1 + len(found.profiles)
    band = lanes * _LANE + _BETWEEN
    inner = len(found.slots) * band
    with house_style():
        height = down * (inner + _AROUND) + (2 + lanes) * LABEL * 1.6
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).flat
        groups = groupby(found.numbers, key=lambda number: number.benchmark)
        for place, (benchmark, numbers) in enumerate(groups):
            axes = panels[place]
            axes.set_title(BENCHMARKS[benchmark].title, loc="left", fontsize=BODY, weight="bold")
            _panel(axes, list(numbers), found, band, int(width / across / 3.6))
            names = [fit(visible(slot.name), _NAME_AT_MOST, LABEL) for slot in found.slots]
            centres = [(n + 0.5) * band for n in range(len(names))]
            axes.set_yticks(centres, names if place % across == 0 else [])
        for axes in panels[len(BENCHMARKS) :]:
            axes.set_axis_off()
        _legend(figure, found, width)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once: every form of file shows the same
    return figure


def _numbers(found: Table1) -> Table:
    """Tabulate the numbers behind the figure: percent, in the order in which they are drawn."""
    rows = [
        [
            one.benchmark, found.slots[found.place(one)].name, one.source, one.profile,
            *(None if share is None else round(100 * share, 4)
              for share in (one.value, one.low, one.high)),
            one.n, one.note,
        ]
        for one in found.numbers
    ]  # fmt: skip
    heads = ["benchmark", "model", "source", "profile", "value", "low", "high", "n", "note"]
    return Table(_TITLE, heads, rows)


def _panel(axes: Any, numbers: list[Number], found: Table1, band: float, letters: int) -> None:
    """Draw one benchmark; y runs in points from the top."""
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(len(found.slots) * band, 0)
    for n in range(1, len(found.slots)):
        axes.axhline(n * band, color=LIGHT["grid"], linewidth=0.7)
    there = {one.profile for one in numbers if one.value is not None}
    absent = [profile for profile in found.profiles if profile not in there]
    for one in numbers:
        lane = 0 if one.source == "paper" else 1 + found.profiles.index(one.profile)
        y = found.place(one) * band + _BETWEEN / 2 + (lane + 0.5) * _LANE
        if one.value is not None:
            _dot(axes, one, y, _PAPER if lane == 0 else _look(lane - 1))
        elif one.profile not in absent:
            _missing(axes, y)
    for n, slot in enumerate(found.slots):
        if slot.ours is None and there - {"published"}:
            _missing(axes, n * band + _BETWEEN / 2 + (1 + len(found.profiles) / 2) * _LANE)
    ends = [100 * e for one in numbers for e in (one.value, one.low, one.high) if e is not None]
    spare = max(0.06 * (max(ends) - min(ends)), (5 - (max(ends) - min(ends))) / 2)
    axes.set_xlim(min(ends) - spare, max(ends) + spare)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=2, pad=2, width=0.6)
    axes.tick_params(axis="y", length=0, pad=4, labelcolor=LIGHT["ink"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["left"].set_color(LIGHT["rule"])
    about = [*_about(numbers), *(f"{visible(profile)} missing" for profile in absent)]
    text = "\n".join(textwrap.wrap(", ".join(about), letters)[:2])
    axes.set_xlabel(text, loc="left", fontsize=LABEL, color=LIGHT["soft"], labelpad=1)


def _about(numbers: Sequence[Number]) -> list[str]:
    """Say what of ours is shown: how many items, and whether they are all of the benchmark's."""
    ours = [one for one in numbers if one.source == "ours" and one.n]
    counts = " / ".join(dict.fromkeys(f"{one.n:,}" for one in ours))
    kinds = dict.fromkeys(one.coverage or "" for one in ours if one.coverage != "full")
    return [f"n = {counts}", *kinds] if ours else []


def _dot(axes: Any, number: Number, y: float, look: tuple[str, str]) -> None:
    role, shape = look
    color, smoke = LIGHT[role], number.note == "smoke"
    if number.low is not None and number.high is not None:
        axes.plot(
            [100 * number.low, 100 * number.high], [y, y], color=color, linewidth=1.0,
            solid_capstyle="butt", linestyle=(0, (1.2, 1.2)) if smoke else "solid",
        )  # fmt: skip
    filled = number.source == "ours" and not smoke
    axes.plot(
        [100 * (number.value or 0.0)], [y], marker="x" if smoke else shape, markersize=3.4,
        color=color, markeredgewidth=0.9, clip_on=False,
        markerfacecolor=color if filled else LIGHT["paper"],
    )  # fmt: skip


def _missing(axes: Any, y: float) -> None:
    axes.annotate(
        "missing", (0, y), (3, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", va="center_baseline", fontsize=LABEL - 1, style="italic",
        color=LIGHT["faint"],
    )  # fmt: skip


def _look(profile: int) -> tuple[str, str]:
    return _LOOKS[profile % len(_LOOKS)]


def _legend(figure: Figure, found: Table1, width: float) -> None:
    from matplotlib.lines import Line2D

    looks = [(_PAPER, "paper")]
    looks += [(_look(n), f"ours, {visible(name)}") for n, name in enumerate(found.profiles)]
    handles = [
        Line2D(
            [], [], color=LIGHT[role], marker=shape, markersize=3.4, linewidth=1.0,
            markerfacecolor=LIGHT["paper"] if label == "paper" else LIGHT[role],
            label=fit(label, width / 2 - 30, LABEL),
        )
        for (role, shape), label in looks
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside lower left", ncols=2 if width < 300 else 3,
        title="accuracy in %; lines: 95 % intervals; ×: smoke items", title_fontsize=LABEL,
        alignment="left", handlelength=1.5,
    )  # fmt: skip


# ---- files


def make(
    runs: Sequence[str], out: Path, *, base: str | None = None, comparisons: bool = True
) -> list[Path]:
    """Print Table 1 and write it to a folder, the same bytes each time; return the files.

    Args:
        runs: folders or files, see `evaluation.benchmarks.collect.read_runs`.
        out: folder for `table1.md`, `.tex`, `.csv`, `.json`, and the figure `table1-plot` and
            `table1-plot-narrow` (two columns and one column wide) as PDF, SVG and PNG, with
            `table1-plot.csv`.
        base, comparisons: see `reports.table1.table1`.

    Raises:
        BadInput: the runs cannot be used, or the folder cannot be written.
    """
    found = table1(runs, base=base, comparisons=comparisons)
    made, picture = tables(found), accuracy(found)
    for table in made:
        table.show()
    check_writable(out)
    texts = {
        ".md": "\n".join(table.markdown() for table in made),
        ".tex": latex_document(made),
        ".csv": long_table(found).csv(),
        "-plot.csv": picture.table.csv(),
    }
    written = [out / f"{NAME}{suffix}" for suffix in texts]
    for path, text in zip(written, texts.values(), strict=True):
        write_text(path, text)
    written.append(out / f"{NAME}.json")
    write_result(written[-1], found)
    for name, width in ((f"{NAME}-plot", TWO_COLUMNS), (f"{NAME}-plot-narrow", COLUMN)):
        figure = picture.draw(width)
        for suffix in (".pdf", ".svg", ".png"):
            written.append(out / f"{name}{suffix}")
            save(figure, written[-1])
    return written
