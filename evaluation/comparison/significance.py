"""Tests: exact McNemar for a pair of models, Holm's correction over several pairs."""

from __future__ import annotations

from collections.abc import Sequence


def exact_mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of McNemar's exact test.

    Of two models that answered the same items, only the items that one has right and the other
    wrong tell them apart. If neither is better, each such item is a fair coin:
    `p = min(1, 2 * sum_{k <= min(b, c)} C(b + c, k) / 2^(b + c))` (McNemar 1947, Psychometrika
    12:153; the exact form is the sign test on the `b + c` discordant items).

    Args:
        gained: items that only the other model has right, `c`.
        lost: items that only the base model has right, `b`.

    Returns:
        p; 1 where no item tells the models apart.
    """
    from scipy.stats import binomtest

    if gained + lost == 0:
        return 1.0
    return float(binomtest(min(gained, lost), gained + lost, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the chance of any false finding at their level.

    Sorted upwards, `p~_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))` (Holm 1979, Scandinavian
    Journal of Statistics 6:65). No assumption on how the tests depend on one another.

    Args:
        p_values: of one family of tests, in any order.

    Returns:
        The adjusted values, in the order of `p_values`.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[place]))
        adjusted[place] = largest
    return adjusted
