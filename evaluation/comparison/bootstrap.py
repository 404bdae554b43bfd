"""Bootstrap interval of a mean over items, or of a mean difference between two models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluation.comparison.strata import Strata

#: Resamples; the bounds then move by under a twentieth of their distance with another seed.
RESAMPLES = 10_000

_AT_ONCE = 4_000_000  # counts that are held at a time


def interval(
    strata: Strata, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron and Tibshirani 1993, section 13.3) of a weighted mean.

    Given the differences of two models on each item it is the *paired* interval: items are drawn,
    and both models' scores come with them. Items are drawn within strata, `n_s - 1` of `n_s` with
    replacement, so that the variance is right in small strata too (Rao and Wu 1988, JASA 83:231,
    equation 2.5 with m = n - 1); with one large stratum this is the ordinary bootstrap.

    Args:
        strata: as `evaluation.comparison.strata.stratify` gives them.
        level: coverage, in (0, 1).
        resamples: how many.
        seed: of the generator; the same seed gives the same interval.

    Returns:
        The lower and the upper bound; both the mean itself where the values do not differ.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    means = np.zeros(resamples)
    for weight, values in strata:
        means += weight * _resampled(generator, values, resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled(
    generator: np.random.Generator, values: NDArray[np.float64], resamples: int
) -> NDArray[np.float64]:
    """Means of resamples, drawn as counts of each distinct value: there are few of them."""
    import numpy as np

    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) == 1:
        return np.full(resamples, distinct[0])
    drawn, shares = len(values) - 1, counts / len(values)
    step = max(1, _AT_ONCE // len(distinct))
    parts = [
        generator.multinomial(drawn, shares, size=min(step, resamples - start)) @ distinct
        for start in range(0, resamples, step)
    ]
    return np.concatenate(parts) / drawn
