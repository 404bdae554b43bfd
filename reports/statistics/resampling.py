"""The bootstrap over dialogues and raters at once."""

from __future__ import annotations

import numpy as np

from reports.statistics import twoway

#: Numbers of one block of resamples that are held at once.
_BLOCK = 2_000_000


def draw_clusters(
    rng: np.random.Generator, dialogues: int, raters: int, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """How often each dialogue and each rater is drawn, shapes (resamples, dialogues or raters).

    The pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1: 386-411): dialogues and
    raters are drawn with replacement, apart from each other; a vote counts as often as its
    dialogue was drawn times as often as its rater was.
    """
    return (
        rng.multinomial(dialogues, np.full(dialogues, 1 / dialogues), resamples).astype(float),
        rng.multinomial(raters, np.full(raters, 1 / raters), resamples).astype(float),
    )


def resampled_means(
    sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means of resamples and their standard errors as `twoway.mean` would estimate them.

    A dialogue (rater) that is drawn twice counts as two dialogues (raters). Resamples without a
    single vote give NaN.

    Args:
        sums, counts: as for `twoway.mean`, shape (dialogues, raters).
        rng: where the draws come from.
        resamples: how many.
    """
    dialogues, raters = sums.shape
    values, errors = np.empty(resamples), np.empty(resamples)
    step = max(1, _BLOCK // (dialogues * raters))
    for start in range(0, resamples, step):
        some = slice(start, min(start + step, resamples))
        of_dialogue, of_rater = draw_clusters(rng, dialogues, raters, some.stop - some.start)
        values[some], errors[some] = _weighted(sums, counts, of_dialogue, of_rater)
    return values, errors


def _weighted(
    sums: np.ndarray, counts: np.ndarray, of_dialogue: np.ndarray, of_rater: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    dialogues, raters = sums.shape

    def whole(cells: np.ndarray) -> np.ndarray:
        return ((of_dialogue @ cells) * of_rater).sum(-1)

    with np.errstate(invalid="ignore", divide="ignore"):
        total = whole(counts)
        value = whole(sums) / total
        at = value[:, None]
        rows = of_rater @ sums.T - at * (of_rater @ counts.T)
        columns = of_dialogue @ sums - at * (of_dialogue @ counts)
        by_dialogue = (of_dialogue * rows**2).sum(-1) * dialogues / max(dialogues - 1, 1)
        by_rater = (of_rater * columns**2).sum(-1) * raters / max(raters - 1, 1)
        by_cell = whole(sums**2) - 2 * value * whole(sums * counts) + value**2 * whole(counts**2)
        variance = np.maximum(by_dialogue + by_rater - by_cell, by_cell)
        return value, np.sqrt(np.maximum(variance, 0)) / total


def percentile_interval(values: np.ndarray, level: float = twoway.LEVEL) -> tuple[float, float]:
    """The middle of the resampled values (Efron 1981).

    Resampling both ways counts the noise of single votes up to three times (Owen 2007, section
    3), so with these draws the interval is too wide; `studentised_interval` mends that.
    """
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def studentised_interval(
    of: twoway.Clustered, values: np.ndarray, errors: np.ndarray, level: float = twoway.LEVEL
) -> tuple[float, float]:
    """Symmetric bootstrap-t: the quantile of |value* - value| / error* in place of t's.

    Hall 1988 (Annals of Statistics 16: 927-953). Holds from about six raters on; with three or
    four the resamples know too little of how raters differ.
    """
    usable = errors > 1e-9
    if not usable.any():
        return float("nan"), float("nan")
    ratios = np.abs(values[usable] - of.value) / errors[usable]
    half = float(np.quantile(ratios, level) * np.sqrt(of.variance))
    return float(of.value) - half, float(of.value) + half
