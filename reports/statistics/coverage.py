"""Measure coverage and error rates: `duo bench statistics`.

Studies of known truth are drawn and analysed by the very functions that analyse real ones; beside
them stand the bootstrap percentile interval and the naive analysis that takes all votes as
independent (Wilson's interval; a binomial test of the untied votes).
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from duo.files import Result
from duo.runs import Stopwatch
from duo.table import Cell, Column, Table
from duo.terminal import progress
from reports.statistics import clustered
from reports.statistics.clustered import preference_tests, sign_test
from reports.statistics.ratings import ESTIMANDS, scored
from reports.statistics.simulate import Design, draw, truth

TESTS = ("preference", "two_way", "sign", "naive")
#: What the bootstrap is tried on; it costs the most.
_RESAMPLED = ("win", "net")
#: Studies that are drawn at once, whatever the number of processes: the same seed, the same table.
_BLOCK = 100
_ALTERNATIVE = 0.6
#: What is counted: coverage, width or rejected; by which method or test; of which estimand.
_Counted = tuple[str, str, str]
#: "Both bad" gets a column of its own: a handful of votes, whose coverage jumps.
_USUAL = ("win", "tie", "loss", "net", "untied")
_DIFFER = {0.0: "not at all", 0.3: "some", 0.6: "much"}


class Coverage(BaseModel):
    """The findings for one design.

    Attributes:
        design: what the studies were drawn from.
        studies: how many.
        truth: the true value of each estimand.
        coverage: share of intervals that hold the truth, by method and estimand.
        width: mean width of the intervals, by method and estimand.
        rejected: share of studies in which p is at most .05, by test: under no preference the type
            I error, else the power.
    """

    model_config = ConfigDict(frozen=True)

    design: Design
    studies: int
    truth: dict[str, float]
    coverage: dict[str, dict[str, float]]
    width: dict[str, dict[str, float]]
    rejected: dict[str, float]


class StatisticsBench(Result):
    """All designs, `studies` of each."""

    kind: Literal["statistics-bench"] = "statistics-bench"
    studies: int
    seed: int
    resamples: int
    cells: tuple[Coverage, ...]


def bench_statistics(
    *, studies: int = 1000, seed: int = 0, resamples: int = 299, processes: int = 1
) -> StatisticsBench:
    """Measure all designs (see `measure`), showing progress."""
    watch, chosen = Stopwatch(), designs()
    with progress("studies", len(chosen) * studies) as bar:
        cells = measure(
            chosen, studies,
            seed=seed, resamples=resamples, processes=processes, on_done=bar.advance,
        )  # fmt: skip
    Console(stderr=True).print(
        f"{len(cells) * studies} studies in {watch.seconds:.0f} s", highlight=False
    )
    return StatisticsBench(studies=studies, seed=seed, resamples=resamples, cells=cells)


def designs() -> tuple[Design, ...]:
    """List the designs of the table: sizes, how much raters differ, and no or some preference."""
    sizes = ((40, 6, 3), (40, 9, 3), (40, 12, 3), (40, 6, 6), (40, 12, 6), (100, 12, 3), (20, 6, 3))
    return tuple(
        Design(
            dialogues, raters, each, preference,
            rater_sd=rater_sd, tie_sd=0.4 if rater_sd else 0.0, side_sd=rater_sd / 2,
        )
        for dialogues, raters, each in (*sizes, (40, 3, 3))
        for rater_sd in _DIFFER
        for preference in (0.0, _ALTERNATIVE)
    )  # fmt: skip


def measure(
    chosen: Sequence[Design],
    studies: int,
    *,
    seed: int,
    resamples: int = 299,
    processes: int = 1,
    on_done: Callable[[int], None] = lambda studies: None,
) -> tuple[Coverage, ...]:
    """Draw and analyse studies of each design.

    Args:
        seed: of all draws; the result depends on it, not on `processes`.
        resamples: of the bootstrap; 0 leaves it out.
        on_done: called with how many more studies are done.
    """
    jobs = [
        (at, design, min(_BLOCK, studies - start), (seed, at, start), resamples)
        for at, design in enumerate(chosen)
        for start in range(0, studies, _BLOCK)
    ]
    totals = [defaultdict[_Counted, float](float) for _ in chosen]
    with contextlib.ExitStack() as stack:
        worked: Iterable[dict[_Counted, float]] = map(_counted, jobs)
        if processes > 1:
            pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
            worked = stack.enter_context(pool).map(_counted, jobs)
        for job, found in zip(jobs, worked, strict=True):
            for counted, value in found.items():
                totals[job[0]][counted] += value
            on_done(job[2])
    return tuple(
        _coverage(design, studies, total) for design, total in zip(chosen, totals, strict=True)
    )


def _counted(job: tuple[int, Design, int, tuple[int, ...], int]) -> dict[_Counted, float]:
    """Analyse studies of one design; sums over studies of hits, widths and rejections."""
    _, design, studies, seed, resamples = job
    rng = np.random.default_rng(seed)
    votes = draw(design, studies, rng)
    true = truth(design)
    sums: dict[_Counted, float] = {}

    def count(method: str, estimand: str, low: np.ndarray, high: np.ndarray) -> None:
        hit = (low <= true[estimand]) & (true[estimand] <= high)
        sums["coverage", method, estimand] = float(hit.sum())
        sums["width", method, estimand] = float((high - low).sum())

    for estimand in ESTIMANDS:
        values, counts = scored(votes, estimand)
        of = clustered.mean(values, counts)
        interval = clustered.balance_interval if estimand == "net" else clustered.share_interval
        count("two_way", estimand, *interval(of))
        if estimand != "net":
            hits, n = values.sum((-1, -2)), counts.sum((-1, -2))
            count("naive", estimand, *proportion_confint(hits, n, method="wilson"))
        if resamples and estimand in _RESAMPLED:
            percentile, studentised = _bootstrapped(of, values, counts, rng, resamples)
            count("percentile", estimand, *percentile)
            count("bootstrap_t", estimand, *studentised)
    won, lost = votes[..., 0].sum((-1, -2)), votes[..., 3].sum((-1, -2))
    p = preference_tests(votes) | {"naive": sign_test(won, lost)}
    return sums | {("rejected", test, ""): float((p[test] <= 0.05).sum()) for test in TESTS}


def _bootstrapped(
    of: clustered.Clustered,
    values: np.ndarray,
    counts: np.ndarray,
    rng: np.random.Generator,
    resamples: int,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    percentile, studentised = [], []
    for study in range(len(values)):
        one = clustered.Clustered(*(np.asarray(part)[study] for part in vars(of).values()))
        drawn = clustered.resampled_means(values[study], counts[study], rng, resamples)
        percentile.append(clustered.percentile_interval(drawn[0]))
        studentised.append(clustered.studentised_interval(one, *drawn))
    (low, high), (lower, higher) = np.array(percentile).T, np.array(studentised).T
    return (low, high), (lower, higher)


def _coverage(design: Design, studies: int, total: Mapping[_Counted, float]) -> Coverage:
    shares: dict[str, dict[str, dict[str, float]]] = {}
    for (kind, method, what), value in total.items():
        shares.setdefault(kind, {}).setdefault(method, {})[what] = value / studies
    return Coverage(
        design=design,
        studies=studies,
        truth=truth(design),
        coverage=shares["coverage"],
        width=shares["width"],
        rejected={test: shares["rejected"][test][""] for test in TESTS},
    )


def bench_table(result: StatisticsBench) -> Table:
    """Lay out a row for each size and how much raters differ, over both true preferences.

    Coverage is the lowest and highest over what is estimated. The tests' columns are type I errors
    at p <= .05, power is that of `preference`.
    """
    names = (
        "intervals", "rare share", "bootstrap-t", "percentile", "naive", "preference", "two-way",
        "sign", "naive test", "power",
    )  # fmt: skip
    rows = [_row(list(group)) for _, group in groupby(result.cells, key=lambda one: _size(one))]
    error = 1.96 * math.sqrt(0.05 * 0.95 / result.studies)
    return Table(
        "How often intervals hold the truth, and tests find what is not there",
        [
            "dialogues x raters (votes each)",
            "raters differ",
            *(Column(name, "number", ".0f" if name == "power" else ".1f") for name in names),
        ],
        rows,
        [
            f"{result.studies} studies of each design, with no preference and with one of "
            f"{_ALTERNATIVE} on the logit scale (seed {result.seed}, {result.resamples} resamples "
            "of the bootstraps); all numbers in %.",
            "Intervals: coverage of nominal 95 % intervals, lowest to highest over both and over "
            "the shares of wins, ties and losses, the net win rate and the share among untied "
            "votes (bootstraps: wins and net only); the rare share is that of 'both bad', about "
            "7 % of votes. 'Naive' takes all votes as independent.",
            "Tests: type I errors at 5 %, and the power of 'preference', by which duo report "
            "statistics claims one: it holds only where 'two-way' and 'sign' do; 'sign' alone is "
            "about these raters only.",
            f"By chance alone a number near 5 or 95 is off by up to {100 * error:.1f}.",
        ],
    )


def _size(cell: Coverage) -> tuple[int, int, int, float]:
    design = cell.design
    return design.dialogues, design.raters, design.votes_each, design.rater_sd


def _row(cells: list[Coverage]) -> list[str | float | Cell]:
    dialogues, raters, each, differ = _size(cells[0])
    null = next(cell for cell in cells if cell.design.preference == 0)
    other = next(cell for cell in cells if cell.design.preference != 0)
    return [
        f"{dialogues} x {raters} ({each})",
        _DIFFER.get(differ, f"{differ:g}"),
        _range(cells, "two_way"),
        _range(cells, "two_way", ("both_bad",)),
        *(_range(cells, method) for method in ("bootstrap_t", "percentile", "naive")),
        *(100 * null.rejected[test] for test in TESTS),
        100 * other.rejected["preference"],
    ]


def _range(cells: list[Coverage], method: str, names: tuple[str, ...] = _USUAL) -> Cell:
    found = [
        100 * cell.coverage[method][name]
        for cell in cells
        for name in names
        if name in cell.coverage.get(method, {})
    ]
    if not found:
        return Cell(None)
    low, high = min(found), max(found)
    return Cell(low, f"{low:.1f}-{high:.1f}", parts={"highest": high})
