"""Estimate figures with intervals: scenarios are drawn again, with all that happened in them.

What happens in one scenario is correlated, so the scenario is the unit that is resampled (cluster
bootstrap, Davison and Hinkley 1997, section 3.8), with fixed seeds. Intervals are percentiles of
2,000 resamples and cover 95 %. A share of none or all would have an interval without width, as if
0 of 6 showed that it never happens: it gets Wilson's interval (1927), in which events count as
independent. Intervals say nothing about scenarios of another sort.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from duo.files import Record
from evaluation.scores import Count, wilson

if TYPE_CHECKING:
    from numpy import ndarray

RESAMPLES = 2_000
LEVEL = 0.95
SEED = 6

#: A value and the scenario that it comes from.
Sample = tuple[str, float]
#: A scenario, a numerator and a denominator.
Pair = tuple[str, float, float]


class Figure(Record):
    """A number, rounded to six digits, with its interval; None where there was nothing to count.

    Attributes:
        value: shares are between 0 and 1.
        low, high: None where it comes from fewer than two scenarios.
        n: how many events or conversations it was counted from.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: Count = 0


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

    def mean(self, samples: Sequence[Sample]) -> Figure:
        """Estimate the mean."""
        return self.ratio([(scenario, value, 1.0) for scenario, value in samples])

    def share(self, samples: Sequence[Sample]) -> Figure:
        """Estimate the share of ones among zeros and ones; none or all get Wilson's interval."""
        found = self.mean(samples)
        if found.value not in (0.0, 1.0) or found.low is None:
            return found
        low, high = wilson(round(found.value * found.n), found.n)
        # Where one end is the value itself, it is so exactly.
        low, high = (0.0, high) if found.value == 0 else (low, 1.0)
        return Figure(value=found.value, low=round(low, 6), high=round(high, 6), n=found.n)

    def ratio(self, pairs: Sequence[Pair]) -> Figure:
        """Estimate a sum over another."""
        return self.weighted([(1.0, pairs)])

    def weighted(self, parts: Sequence[tuple[float, Sequence[Pair]]]) -> Figure:
        """Estimate a sum of ratios, each times its weight; without one of them there is none."""
        import numpy as np

        n = sum(len(pairs) for _, pairs in parts)
        value, draws, several = 0.0, np.zeros(self._count), True
        for weight, pairs in parts:
            sums = np.zeros((2, len(self.scenarios)))
            for scenario, numerator, denominator in pairs:
                sums[:, self._place[scenario]] += numerator, denominator
            above, below = sums.sum(axis=1)
            if not below:
                return Figure(value=None, n=n)
            drawn = self._weights @ sums.T
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios = np.where(drawn[:, 1] > 0, drawn[:, 0] / drawn[:, 1], np.nan)
            value, draws = value + weight * above / below, draws + weight * ratios
            several = several and int(np.count_nonzero(sums[1])) > 1
        return _figure(value, n, draws, several)

    def quantile(self, samples: Sequence[Sample], q: float) -> Figure:
        """Estimate the q-quantile, interpolated linearly between the two nearest values."""
        import numpy as np

        if not samples:
            return Figure(value=None)
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
        return _figure(float(np.quantile(values, q)), len(samples), draws, several)


def _figure(value: float, n: int, draws: ndarray, several: bool) -> Figure:
    """Make a figure with the percentile interval of its draws, which are nan without a value."""
    import numpy as np

    known = draws[~np.isnan(draws)]
    if not several or not len(known):
        return Figure(value=round(float(value), 6), n=n)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(value=round(float(value), 6), low=round(float(low), 6),
                  high=round(float(high), 6), n=n)  # fmt: skip
