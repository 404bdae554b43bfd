"""Estimate figures with intervals: scenarios are drawn again, with all that happened in them.

What happens in one scenario is correlated, so the scenario is the unit that is resampled (cluster
bootstrap, Davison and Hinkley 1997, section 3.8), with fixed seeds. Intervals are percentiles of
2,000 resamples and cover 95 %. A share of none or all would have an interval without width, as if
0 of 6 showed that it never happens: it gets Wilson's interval (1927), in which events count as
independent. Intervals say nothing about scenarios of another sort.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray

RESAMPLES = 2_000
LEVEL = 0.95
SEED = 6

#: A value and the scenario that it comes from.
Sample = tuple[str, float]


@dataclass(frozen=True)
class Estimate:
    """A figure; `low` and `high` are None where it comes from fewer than two scenarios.

    Attributes:
        value: None if there was nothing to count.
        n: how many events or conversations it was counted from.
        draws: its values over the resamples; nan where one has nothing to count.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    draws: ndarray | None = None


class Resamples:
    """Draws of scenarios, with replacement; the same for the same scenarios."""

    def __init__(self, scenarios: Iterable[str], resamples: int = RESAMPLES) -> None:
        self.scenarios = sorted(set(scenarios))
        self._count = resamples

    @cached_property
    def _weights(self) -> ndarray:
        """The number of times that each is drawn, `[resamples, scenarios]`."""
        import numpy as np

        n = len(self.scenarios)
        drawn = np.random.default_rng(SEED).integers(0, max(n, 1), size=(self._count, n))
        return np.stack([np.bincount(row, minlength=n) for row in drawn])

    @cached_property
    def _place(self) -> dict[str, int]:
        return {scenario: number for number, scenario in enumerate(self.scenarios)}

    def mean(self, samples: Sequence[Sample]) -> Estimate:
        """Estimate the mean."""
        return self.ratio([(scenario, value, 1.0) for scenario, value in samples])

    def share(self, samples: Sequence[Sample]) -> Estimate:
        """Estimate the share of ones among zeros and ones; none or all get Wilson's interval."""
        found = self.mean(samples)
        if found.value not in (0.0, 1.0) or found.low is None:
            return found
        from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

        hits = round(found.value * found.n)
        low, high = proportion_confint(hits, found.n, alpha=1 - LEVEL, method="wilson")
        # Where one end is the value itself, it is so exactly.
        low, high = (0.0, float(high)) if found.value == 0 else (float(low), 1.0)
        return replace(found, low=low, high=high)

    def ratio(self, pairs: Sequence[tuple[str, float, float]]) -> Estimate:
        """Estimate a sum over another: of `(scenario, numerator, denominator)`."""
        import numpy as np

        above = sum(numerator for _, numerator, _ in pairs)
        below = sum(denominator for _, _, denominator in pairs)
        if not below:
            return Estimate(None, len(pairs))
        sums = np.zeros((2, len(self.scenarios)))
        for scenario, numerator, denominator in pairs:
            sums[0, self._place[scenario]] += numerator
            sums[1, self._place[scenario]] += denominator
        drawn = self._weights @ sums.T
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = np.where(drawn[:, 1] > 0, drawn[:, 0] / drawn[:, 1], np.nan)
        several = len({scenario for scenario, _, denominator in pairs if denominator}) > 1
        return estimate(above / below, len(pairs), draws, several)

    def quantile(self, samples: Sequence[Sample], q: float) -> Estimate:
        """Estimate the q-quantile, interpolated linearly between the two nearest values."""
        import numpy as np

        if not samples:
            return Estimate(None, 0)
        ordered = sorted(samples, key=lambda sample: sample[1])
        values = np.array([value for _, value in ordered])
        places = np.array([self._place[scenario] for scenario, _ in ordered])
        counts = self._weights[:, places].cumsum(axis=1)  # of values up to each, `[resamples, n]`
        at = (counts[:, -1:] - 1) * q  # where the quantile stands among the drawn values
        below, above = (
            values[np.minimum((counts <= place).sum(axis=1), len(values) - 1)]
            for place in (np.floor(at), np.ceil(at))
        )
        draws = below + (at % 1)[:, 0] * (above - below)
        draws[counts[:, -1] == 0] = np.nan
        several = len({scenario for scenario, _ in samples}) > 1
        return estimate(float(np.quantile(values, q)), len(samples), draws, several)


def estimate(value: float, n: int, draws: ndarray, several: bool) -> Estimate:
    """Make an estimate with the percentile interval of its draws."""
    import numpy as np

    known = draws[~np.isnan(draws)]
    if not several or not len(known):
        return Estimate(value, n, draws=draws)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, n, float(low), float(high), draws)
