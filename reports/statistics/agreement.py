"""Whether raters agree with each other: Krippendorff's alpha and Fleiss' kappa."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import krippendorff
import numpy as np

from reports.statistics import twoway
from reports.statistics.estimate import Estimate, finite


@dataclass(frozen=True)
class Agreement:
    """Agreement of raters on one comparison.

    The intervals are about further dialogues rated by these raters: resampling raters would set a
    rater beside himself.

    Attributes:
        alpha_nominal: of the four outcomes as mere categories.
        alpha_ordinal: of win, tie and loss in this order; "both bad" is a tie.
        kappa: of the four outcomes.
    """

    alpha_nominal: Estimate
    alpha_ordinal: Estimate
    kappa: Estimate


def agreement(values: np.ndarray, rng: np.random.Generator, resamples: int = 999) -> Agreement:
    """Agreement with percentile bootstrap intervals over dialogues.

    Resampling the units is what Zapf et al. 2016 (BMC Medical Research Methodology 16:93) found to
    cover best for both coefficients.

    Args:
        values: how many raters gave each outcome, shape (dialogues, 4), as `panel.OUTCOMES`.
        rng: where the draws come from.
        resamples: how many.
    """
    values = values[values.sum(1) > 1]
    ordered = np.stack([values[:, 3], values[:, 1] + values[:, 2], values[:, 0]], axis=1)
    draws = rng.integers(0, max(len(values), 1), (resamples, len(values)))
    return Agreement(
        _estimate(lambda units: alpha(units, "nominal"), values, draws),
        _estimate(lambda units: alpha(units, "ordinal"), ordered, draws),
        _estimate(fleiss_kappa, values, draws),
    )


def alpha(values: np.ndarray, level: Literal["nominal", "ordinal"]) -> float | None:
    """Krippendorff's alpha: 1 - observed / expected disagreement.

    Krippendorff 2011, Computing Krippendorff's Alpha-Reliability; any number of raters a unit;
    units with fewer than two values are left out. None where nothing varies.

    Args:
        values: how many raters gave each value, shape (units, values); in order for "ordinal".
        level: "nominal" or "ordinal".
    """
    values = values[values.sum(1) > 1].astype(int)
    if (values.sum(0) > 0).sum() < 2:
        return None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return finite(krippendorff.alpha(value_counts=values, level_of_measurement=level))


def fleiss_kappa(values: np.ndarray) -> float | None:
    """Fleiss' kappa: (P - P_e) / (1 - P_e), P the mean share of agreeing pairs of raters.

    Fleiss 1971, Psychological Bulletin 76: 378-382. Units may have different numbers of raters, as
    in Gwet 2014, Handbook of Inter-Rater Reliability, section 2.4: P is the mean over units with
    two or more, P_e = sum_j p_j^2 with p_j the mean share of value j. None where nothing varies.

    Args:
        values: how many raters gave each value, shape (units, values).
    """
    raters = values.sum(1)
    values, raters = values[raters > 1], raters[raters > 1]
    if not len(values):
        return None
    observed = ((values * (values - 1)).sum(1) / (raters * (raters - 1))).mean()
    expected = ((values / raters[:, None]).mean(0) ** 2).sum()
    return None if expected > 1 - 1e-12 else float((observed - expected) / (1 - expected))


def _estimate(
    measure: Callable[[np.ndarray], float | None], values: np.ndarray, draws: np.ndarray
) -> Estimate:
    n = len(values)
    if n == 0:
        return Estimate(None, None, None, 0, "no dialogue was rated by two raters")
    value = measure(values)
    if value is None:
        return Estimate(None, None, None, n, "all votes are alike: agreement is not defined")
    again = [found for draw in draws if (found := measure(values[draw])) is not None]
    if n < 2 or not again:
        return Estimate(value, None, None, n, "one dialogue: no interval")
    tail = (1 - twoway.LEVEL) / 2
    low, high = np.quantile(again, [tail, 1 - tail])
    note = "few dialogues: the interval is rough" if n < 10 else ""
    return Estimate(value, float(low), float(high), n, note)
