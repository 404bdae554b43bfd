"""Averages over items: plain, or over subsets that count alike, with their standard errors.

A benchmark's average is a weighted sum of means over *strata*: one stratum of all items (micro
average), or one for each subset, all with the same weight (macro average).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evaluation.comparison.items import Key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    #: Weight of each stratum and its items' values; weights sum to 1.
    Strata = Sequence[tuple[float, NDArray[np.float64]]]


def stratify(values: Mapping[Key, float], *, macro: bool) -> Strata:
    """Items' values as strata.

    A single item says nothing of the spread in its subset. So subsets of one item are put together
    into one stratum, as if they were drawn from the same population (the method of collapsed
    strata: Cochran 1977, "Sampling Techniques", section 5A.12); the average stays what it was.

    Args:
        values: by subset and id; at least one.
        macro: whether every subset counts alike, whatever its size.
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
    """The weighted mean, `sum_s w_s mean(x_s)`."""
    return math.fsum(weight * float(values.mean()) for weight, values in strata)


def standard_error(strata: Strata) -> float | None:
    """Standard error of the mean, `sqrt(sum_s w_s^2 s_s^2 / n_s)`; None for a single item.

    `s_s^2` is the sample variance, with `n_s - 1` below (Cochran 1977, theorem 5.3). A stratum of
    one item beside others counts as without spread.
    """
    if all(len(values) < 2 for _, values in strata):
        return None
    return math.sqrt(
        math.fsum(
            weight**2 * float(values.var(ddof=1)) / len(values)
            for weight, values in strata
            if len(values) > 1
        )
    )
