"""Set our benchmark results beside the paper's Table 1, and compare columns.

What `duo report table1` finds is a `Table1`; tables, figure and files
(`reports.table1_files`) are made of that alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from duo.errors import BadInput
from duo.files import Result
from evaluation.benchmarks import compare
from evaluation.benchmarks.catalogue import BENCHMARKS, Published
from evaluation.benchmarks.collect import read_runs
from evaluation.scores import wilson

IMPOSSIBLE, FAULTY, MISSING = "*", "§", "missing"
#: By footnote of a published cell.
_NOTES = {IMPOSSIBLE: "no whole count", FAULTY: "wrong key", "": ""}

#: Rows of a benchmark come in this order, other profiles after them.
_PROFILES = ("lm-eval", "ultraeval")

_Z = 1.959964  # half of a 95 % interval in standard errors

#: Settings whose values say little to a reader: that they differ is enough.
_OPAQUE = frozenset({"task_version", "generation"})

#: Differences that a table shows by itself, or that other settings say more plainly.
_SHOWN = frozenset({"limit", "shots", "source"})


@dataclass(frozen=True)
class Model:
    """A column of the published table.

    Attributes:
        id: in files, and in the catalogue of benchmarks.
        name: as printed.
        role: what stands for the same kind of model in any table.
        aliases: what a column of ours may be called to stand beside it, without case and
            punctuation; the first that there is stands there.
    """

    id: str
    name: str
    role: str
    aliases: tuple[str, ...]


MODELS = {
    model.id: model
    for model in (
        Model("base", "MiniCPM", "base", ("base", "minicpm")),
        Model("duplex-5000k", "+Duplex 5,000K", "+Duplex 5,000K", ("duplex5000k",)),
        Model("duplex-10k", "+Duplex 10K", "+Duplex 10K", ("duplex10k", "duplex")),
        Model("duo-10k", "+Duo 10K", "+Duo 10K", ("duo10k", "duo")),
    )
}


@dataclass(frozen=True)
class Slot:
    """A place for a model: the paper's column and ours; one of the two may be missing."""

    paper: str | None = None
    ours: str | None = None

    @property
    def name(self) -> str:
        """The name of the place in lists that show the paper and ours together."""
        return MODELS[self.paper].role if self.paper else self.ours or ""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number of the table: the paper's, or ours.

    Attributes:
        column: the paper's as printed, or ours.
        beside: the column of the other side in the same place.
        profile: of ours; "published" for the paper's.
        value: share right, from 0 to 1; None where a number of ours is missing.
        stderr, spread: standard error, and standard deviation over seeds.
        low, high: 95 % interval; None where nothing is known of the spread.
        note: what is wrong with it; "" for nothing.
    """

    source: Literal["paper", "ours"]
    column: str
    beside: str | None = None
    benchmark: str
    profile: str
    metric: str | None = None
    average: str | None = None
    shots: int | None = None
    seeds: int | None = None
    n: int | None = None
    n_full: int | None = None
    coverage: str | None = None
    data: str | None = None
    value: float | None = None
    stderr: float | None = None
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Ours(Number):
    """A number of ours, and the runs behind it."""

    runs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class PaperDifference:
    """The difference of the paper's two columns, and its standard error if nothing were paired.

    The paper's results by item are not published; answers to the same items usually go together, so
    its true standard error is smaller.
    """

    difference: float
    unpaired_stderr: float


@dataclass(frozen=True)
class Versus(compare.Versus):
    """A column of ours against the base column, and the paper's own two columns beside it."""

    paper: PaperDifference | None = None


class Table1(Result):
    """The paper's Table 1 with ours beside it: the content of `table1.json`.

    Attributes:
        base: our column that the others are compared with; None if nothing is compared.
        slots: places of models, in the order of the table.
        published, ours: the numbers, by benchmark; ours by profile, those missing among them.
        comparisons: our columns against the base column.
        notes: what was left out, what no column stands for, and what to be careful about.
    """

    kind: Literal["table1"] = "table1"
    base: str | None = None
    slots: tuple[Slot, ...]
    published: tuple[Number, ...]
    ours: tuple[Ours, ...]
    comparisons: tuple[Versus, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[Number]:
        """All numbers: by benchmark the paper's, then ours."""
        return sorted((*self.published, *self.ours), key=lambda one: _ORDER[one.benchmark])

    def place(self, number: Number) -> int:
        """Find the place of the slot that a number stands in."""
        names = [
            slot.ours if number.source == "ours" else slot.paper and MODELS[slot.paper].name
            for slot in self.slots
        ]
        return names.index(number.column)

    @property
    def profiles(self) -> list[str]:
        """The profiles of ours, in the order of the rows."""
        return list(dict.fromkeys(number.profile for number in self.ours))


_ORDER = {name: place for place, name in enumerate(BENCHMARKS)}


def table1(runs: Sequence[str], *, base: str | None = None, comparisons: bool = True) -> Table1:
    """Read runs and set them beside the paper's table.

    Args:
        runs: folders or files, see `evaluation.benchmarks.collect.read_runs`.
        base: our column that the others are compared with; None for the one beside the paper's.
        comparisons: whether to compare at all, which needs the items.

    Raises:
        BadInput: a run cannot be read, there is no such base column, or columns that should be
            compared are about other items.
    """
    found = read_runs(runs)
    ours = compare.cells(found.runs)
    columns = list(dict.fromkeys(cell.facts.column for cell in ours))
    slots = slots_of(columns)
    if base is not None and base not in columns:
        raise BadInput(f"unknown {base!r}: use one of {', '.join(columns)}", field="--base")
    base = base or slots[0].ours
    notes = list(found.notes)
    alone = ", ".join(MODELS[s.paper].name for s in slots if s.paper and not s.ours)
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
    order = [slot.ours for slot in slots]
    ours.sort(key=lambda cell: order.index(cell.facts.column))
    there = {cell.facts.profile for cell in ours}
    profiles = [name for name in _PROFILES if name in there] + sorted(there - set(_PROFILES))
    at = {(cell.facts.benchmark, cell.facts.profile, cell.facts.column): cell for cell in ours}
    rows = [
        (benchmark, profile, [at.get((benchmark, profile, slot.ours or "")) for slot in slots])
        for benchmark in BENCHMARKS
        for profile in profiles
    ]
    beside = {slot.ours: slot.paper for slot in slots}
    return Table1(
        base=base,
        slots=slots,
        published=tuple(
            _published(name, slot) for name in BENCHMARKS for slot in slots if slot.paper
        ),
        ours=tuple(
            _ours(benchmark, profile, slot, cell)
            for benchmark, profile, cells in rows
            for slot, cell in zip(slots, cells, strict=True)
            if slot.ours is not None
        ),
        comparisons=tuple(
            _compared(one, beside) for one in (compare.compare_columns(ours, base) if base else ())
        ),
        notes=(*notes, *_cautions(rows)),
    )


def slots_of(columns: Sequence[str]) -> tuple[Slot, ...]:
    """Make places for the paper's columns, with ours beside them, and for the rest of ours."""
    left = {re.sub(r"[\W_]+", "", name.casefold()): name for name in reversed(columns)}
    slots = []
    for model in MODELS.values():
        alias = next((alias for alias in model.aliases if alias in left), "")
        slots.append(Slot(paper=model.id, ours=left.pop(alias, None)))
    taken = {slot.ours for slot in slots}
    return (*slots, *(Slot(ours=column) for column in columns if column not in taken))


def mark_of(paper: Published, column: str) -> str:
    """Choose the footnote of a published cell."""
    return IMPOSSIBLE if column in paper.impossible else FAULTY if paper.fault else ""


def _published(name: str, slot: Slot) -> Number:
    """Read a cell of the paper; it states no intervals: Wilson's is what its items allow."""
    assert slot.paper
    paper = BENCHMARKS[name].paper
    value = paper.share(slot.paper)
    low, high = wilson(round(value * paper.n), paper.n)
    return Number(
        source="paper", column=MODELS[slot.paper].name, beside=slot.ours, benchmark=name,
        profile="published", metric="accuracy", average=paper.average, shots=paper.shots,
        n=paper.n, n_full=paper.n, coverage="full", value=float(f"{value:.4f}"),
        stderr=paper.stderr(slot.paper), low=low, high=high,
        note=_NOTES[mark_of(paper, slot.paper)],
    )  # fmt: skip


def _ours(benchmark: str, profile: str, slot: Slot, cell: compare.Cell | None) -> Ours:
    place: dict[str, Any] = {
        "source": "ours", "column": slot.ours, "benchmark": benchmark, "profile": profile,
        "beside": MODELS[slot.paper].name if slot.paper else None,
    }  # fmt: skip
    if cell is None:
        return Ours(**place, note=MISSING)
    facts = cell.facts
    low, high = _interval(cell)
    runs = (
        {
            "file": run.file.name,
            **run.facts.model_dump(
                mode="json",
                include={
                    "key", "seed", "value", "model", "adapter", "model_sha256", "settings",
                    "leak_rate", "truncated", "banned_state_tokens", "versions", "data",
                },
            ),
        }
        for run in cell.runs
    )  # fmt: skip
    return Ours(
        **place, metric=facts.metric, average=facts.average, shots=facts.shots,
        seeds=len(cell.runs), n=facts.n, n_full=facts.n_full, coverage=facts.coverage,
        data=facts.data.source,
        value=cell.value, stderr=cell.stderr, spread=cell.spread, low=low, high=high,
        note="" if facts.coverage == "full" else facts.coverage, runs=tuple(runs),
    )  # fmt: skip


def _interval(cell: compare.Cell) -> tuple[float | None, float | None]:
    """Compute the 95 % interval of a cell's value, from 0 to 1.

    Wilson's where every item of one run counts alike, or where the standard error is none for
    lack of spread; else the value and 1.96 standard errors to both sides, cut at 0 and 1.
    """
    if (len(cell.runs) == 1 and not cell.macro) or not cell.stderr:
        return wilson(round(cell.value * cell.facts.n), cell.facts.n)
    half = _Z * cell.stderr
    return max(0.0, cell.value - half), min(1.0, cell.value + half)


def _compared(one: compare.Versus, beside: dict[str | None, str | None]) -> Versus:
    """Set the difference of the paper's own two columns beside a comparison."""
    ours, base = beside.get(one.column), beside.get(one.base)
    difference = None
    if ours and base:
        paper = BENCHMARKS[one.benchmark].paper
        difference = PaperDifference(
            round(paper.share(ours) - paper.share(base), 6),
            math.hypot(paper.stderr(ours), paper.stderr(base)),
        )
    return Versus(**vars(one), paper=difference)


_Row = tuple[str, str, list[compare.Cell | None]]


def _cautions(rows: Sequence[_Row]) -> Iterator[str]:
    """Note what a reader should know before setting our numbers side by side."""
    yield from _unlike(rows)
    kinds: tuple[tuple[str, Callable[[compare.Cell], str | None]], ...] = (
        ("Examples before the questions are smoke items of ours", _own_examples),
        ("State tokens were not banned; share of answers with one", _leaks),
        ("Questions longer than the model's context, whose beginning was cut", _cut),
    )
    for text, concerns in kinds:
        where = [
            f"{BENCHMARKS[benchmark].title} ({profile}) {cell.facts.column}{value}"
            for benchmark, profile, cells in rows
            for cell in filter(None, cells)
            if (value := concerns(cell)) is not None
        ]
        if where:
            yield f"{text}: {', '.join(where)}."


def _own_examples(cell: compare.Cell) -> str | None:
    own = cell.facts.settings.get("shots_from") == "smoke" and cell.facts.coverage != "smoke"
    return "" if own else None


def _leaks(cell: compare.Cell) -> str | None:
    rates = [run.facts.leak_rate for run in cell.runs if run.facts.leak_rate is not None]
    if cell.facts.banned_state_tokens is not False or not rates:
        return None
    return f" {100 * sum(rates) / len(rates):.1f} %"


def _cut(cell: compare.Cell) -> str | None:
    most = max(run.facts.truncated or 0 for run in cell.runs)
    return f" {most:,}" if most else None


def _unlike(rows: Sequence[_Row]) -> Iterator[str]:
    """Note settings in which the columns of a row differ."""
    found: dict[str, list[str]] = {}
    for benchmark, profile, cells in rows:
        # What lm-eval itself wrote has other settings than our files; nothing can be compared.
        ours = [cell for cell in cells if cell and cell.facts.data.source != "lm-eval"]
        facts = {cell.facts.column: _facts(cell) for cell in ours}
        for name in sorted({name for of in facts.values() for name in of}):
            values = {column: _text(of.get(name)) for column, of in facts.items()}
            if len(set(values.values())) > 1:
                each = ", ".join(f"{column} {value}" for column, value in values.items())
                what = name if name in _OPAQUE else f"{name} ({each})"
                found.setdefault(what, []).append(f"{BENCHMARKS[benchmark].title} ({profile})")
    for what, where in found.items():
        yield f"Columns differ in {what}: {', '.join(where)}."


def _facts(cell: compare.Cell) -> dict[str, Any]:
    """Collect how the model was asked, and with which data."""
    settings = {name: value for name, value in cell.facts.settings.items() if name not in _SHOWN}
    data = cell.facts.data
    return {**settings, "data": f"{data.source} {(data.sha256 or '')[:8]}".strip()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
