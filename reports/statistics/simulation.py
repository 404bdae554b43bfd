"""`duo bench statistics`: do the intervals cover what they promise, and do the tests stay honest?

Studies of known truth are drawn and analysed by the very functions that analyse real ones; beside
them stand the bootstrap percentile interval and the naive analysis that takes all votes as
independent (Wilson's interval; a binomial test of the untied votes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np

from reports.statistics import resampling, twoway
from reports.statistics.panel import ESTIMANDS, scored
from reports.statistics.significance import majorities, sign_test
from reports.statistics.synthetic import Design, draw, truth

#: What the bootstrap is tried on; it costs the most.
_RESAMPLED = ("win", "net")
TESTS = ("preference", "two_way", "sign", "naive")
#: Studies that are drawn at once, whatever the number of processes: the same seed, the same table.
BLOCK = 100
ALTERNATIVE = 0.6
_WILSON_Z = 1.959963984540054


@dataclass(frozen=True)
class Cell:
    """What was found for one design.

    Attributes:
        design: what the studies were drawn from.
        studies: how many.
        truth: the true value of each estimand.
        coverage: share of intervals that hold the truth, by method and estimand.
        width: mean width of the intervals, by method and estimand.
        rejected: share of studies in which p is at most .05, by test: under no preference the type
            I error, else the power.
    """

    design: Design
    studies: int
    truth: dict[str, float]
    coverage: dict[str, dict[str, float]]
    width: dict[str, dict[str, float]]
    rejected: dict[str, float]


def designs() -> tuple[Design, ...]:
    """The designs of the table: sizes, how much raters differ, and no or some preference."""
    sizes = ((40, 6, 3), (40, 9, 3), (40, 12, 3), (40, 6, 6), (40, 12, 6), (100, 12, 3), (20, 6, 3))
    found = []
    for dialogues, raters, each in (*sizes, (40, 3, 3)):
        for rater_sd in (0.0, 0.3, 0.6):
            sizes_and_raters = Design(
                dialogues,
                raters,
                each,
                rater_sd=rater_sd,
                tie_sd=0.4 if rater_sd else 0.0,
                side_sd=rater_sd / 2,
            )
            found += [
                replace(sizes_and_raters, preference=preference)
                for preference in (0.0, ALTERNATIVE)
            ]
    return tuple(found)


def simulate(
    chosen: tuple[Design, ...],
    studies: int,
    *,
    seed: int,
    resamples: int = 299,
    processes: int = 1,
    on_done: Callable[[int], None] = lambda studies: None,
) -> tuple[Cell, ...]:
    """Draw and analyse studies of each design.

    Args:
        chosen: the designs.
        studies: of each.
        seed: of all draws; the result depends on it, not on `processes`.
        resamples: of the bootstrap; 0 leaves it out.
        processes: how many work at once.
        on_done: told how many more studies are done.
    """
    jobs = [
        (at, design, min(BLOCK, studies - start), (seed, at, start), resamples)
        for at, design in enumerate(chosen)
        for start in range(0, studies, BLOCK)
    ]
    found: dict[int, list[tuple[int, dict]]] = {at: [] for at in range(len(chosen))}
    for at, start, count, sums in _worked(jobs, processes):
        found[at].append((start, sums))
        on_done(count)
    return tuple(
        _cell(design, studies, [sums for _, sums in sorted(found[at], key=lambda part: part[0])])
        for at, design in enumerate(chosen)
    )


def _worked(jobs: list[tuple], processes: int) -> Iterator[tuple[int, int, int, dict]]:
    if processes == 1:
        yield from map(_job, jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_job, job) for job in jobs]):
            yield done.result()


def _job(job: tuple) -> tuple[int, int, int, dict]:
    at, design, count, seed, resamples = job
    return at, seed[-1], count, _analysed(design, count, np.random.default_rng(seed), resamples)


def _analysed(
    design: Design, studies: int, rng: np.random.Generator, resamples: int
) -> dict[tuple[str, ...], float]:
    """Sums over studies, of hits and of widths, by what was counted."""
    votes = draw(design, studies, rng)
    true = truth(design)
    sums: dict[tuple[str, ...], float] = {}

    def count(method: str, estimand: str, low: np.ndarray, high: np.ndarray) -> None:
        hit = (low <= true[estimand]) & (true[estimand] <= high)
        sums["coverage", method, estimand] = float(hit.sum())
        sums["width", method, estimand] = float((high - low).sum())

    p: dict[str, np.ndarray] = {}
    for estimand in ESTIMANDS:
        values, counts = scored(votes, estimand)
        of = twoway.mean(values, counts)
        balance = estimand == "net"
        interval = twoway.balance_interval if balance else twoway.share_interval
        count("two_way", estimand, *interval(of))
        if balance:
            p["two_way"] = twoway.p_value(of)
        else:
            count("naive", estimand, *_wilson(of.value, counts.sum((-1, -2))))
        if resamples and estimand in _RESAMPLED:
            percentile, studentised = _bootstrapped(of, values, counts, rng, resamples)
            count("percentile", estimand, *percentile)
            count("bootstrap_t", estimand, *studentised)
    wins, losses, _ = majorities(votes)
    p["sign"] = sign_test(wins, losses)
    p["preference"] = np.maximum(p["sign"], p["two_way"])
    won, lost = votes[..., 0].sum((-1, -2)), votes[..., 3].sum((-1, -2))
    p["naive"] = sign_test(won, lost)
    return sums | {("rejected", test): float((p[test] <= 0.05).sum()) for test in TESTS}


def _bootstrapped(
    of: twoway.Clustered,
    values: np.ndarray,
    counts: np.ndarray,
    rng: np.random.Generator,
    resamples: int,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    percentile, studentised = [], []
    for study in range(len(values)):
        one = twoway.Clustered(*(np.asarray(part)[study] for part in vars(of).values()))
        drawn = resampling.resampled_means(values[study], counts[study], rng, resamples)
        percentile.append(resampling.percentile_interval(drawn[0]))
        studentised.append(resampling.studentised_interval(one, *drawn))
    (low, high), (lower, higher) = np.array(percentile).T, np.array(studentised).T
    return (low, high), (lower, higher)


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z = _WILSON_Z
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def _cell(design: Design, studies: int, parts: list[dict]) -> Cell:
    total = {key: sum(part[key] for part in parts) / studies for key in parts[0]}

    def by_method(kind: str) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for key, value in total.items():
            if key[0] == kind:
                found.setdefault(key[1], {})[key[2]] = value
        return found

    rejected = {test: total["rejected", test] for test in TESTS}
    shape = by_method("coverage"), by_method("width")
    return Cell(design, studies, truth(design), *shape, rejected)
