"""Average the scores of items as a benchmark does, with standard errors and bootstrap intervals.

A benchmark's average is a weighted sum of means over *strata*: one stratum of all items (micro
average), or one for each subset, all with the same weight (macro average).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    #: Weight of each stratum and its items' values; weights sum to 1.
    Strata = Sequence[tuple[float, NDArray[np.float64]]]

#: An item's subset ("" where the benchmark has none) and its id in it.
Key = tuple[str, str]

#: Resamples; the bounds then move by under a twentieth of their distance with another seed.
RESAMPLES = 10_000


def stratify(values: Mapping[Key, float], *, macro: bool) -> Strata:
    """Put items' values into strata: one for each subset (`macro`), or one of all.

    A single item says nothing of the spread in its subset. So subsets of one item are put together
    into one stratum, as if they were drawn from the same population (the method of collapsed
    strata: Cochran 1977, "Sampling Techniques", section 5A.12); the average stays what it was.
    """
    import numpy as np

    if not macro:
        return [(1.0, np.array(list(values.values()), dtype=np.float64))]
    subsets: dict[str, list[float]] = {}
    for (subset, _), value in values.items():
        subsets.setdefault(subset, []).append(value)
    several = [found for found in subsets.values() if len(found) > 1]
    single = [found[0] for found in subsets.values() if len(found) == 1]
    strata = [(1 / len(subsets), np.array(found, dtype=np.float64)) for found in several]
    if single:
        strata.append((len(single) / len(subsets), np.array(single, dtype=np.float64)))
    return strata


def mean(strata: Strata) -> float:
    """Compute the weighted mean, `sum_s w_s mean(x_s)`."""
    return math.fsum(weight * float(values.mean()) for weight, values in strata)


def standard_error(strata: Strata) -> float | None:
    """Compute its standard error, `sqrt(sum_s w_s^2 s_s^2 / n_s)`; None for a single item.

    `s_s^2` is the sample variance, with `n_s - 1` below (Cochran 1977, theorem 5.3). A stratum of
    one item beside others counts as without spread.
    """
    spread = [(weight, values) for weight, values in strata if len(values) > 1]
    if not spread:
        return None
    return math.sqrt(
        math.fsum(weight**2 * float(values.var(ddof=1)) / len(values) for weight, values in spread)
    )


def interval(strata: Strata, *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """Compute a 95 % percentile bootstrap interval of a weighted mean.

    Given the differences of two models on each item it is the *paired* interval: items are drawn,
    and both models' scores come with them. Items are drawn within strata, `n_s - 1` of `n_s` with
    replacement, so that the variance is right in small strata too (Rao and Wu 1988, JASA 83:231,
    equation 2.5 with m = n - 1); with one large stratum this is the ordinary bootstrap (Efron and
    Tibshirani 1993, 13.3). Both bounds are the mean itself where the values do not differ.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    means = np.zeros(resamples)
    for weight, values in strata:
        # Drawn as counts of each distinct value: there are few of them.
        distinct, counts = np.unique(values, return_counts=True)
        if len(distinct) == 1:
            means += weight * distinct[0]
        else:
            drawn = len(values) - 1
            draws = generator.multinomial(drawn, counts / len(values), size=resamples)
            means += weight * (draws @ distinct) / drawn
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
