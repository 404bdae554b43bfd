"""Two models on the same items: how much better, how sure, by how many items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evaluation.comparison.bootstrap import interval
from evaluation.comparison.items import Items, check_same_items
from evaluation.comparison.significance import exact_mcnemar
from evaluation.comparison.strata import mean, standard_error, stratify


@dataclass(frozen=True)
class Comparison:
    """What sets a model apart from the base model. Scores are shares, from 0 to 1.

    Attributes:
        n: items that both answered.
        difference: the model's average minus the base's.
        stderr: of the difference, from the items' own differences; None for a single item.
        low, high: 95 % bootstrap interval of the difference.
        gained, lost: items on which the model scores higher, and lower, than the base.
        p: two-sided, exact.
        test: "mcnemar" where every score is right or wrong; "sign" where scores lie between, as
            means over seeds do: the same test on the signs of the differences.
    """

    n: int
    difference: float
    stderr: float | None
    low: float
    high: float
    gained: int
    lost: int
    p: float
    test: Literal["mcnemar", "sign"]


def compare(base: Items, other: Items, *, macro: bool) -> Comparison:
    """Compare a model with the base model, item by item.

    The difference and its interval are of the benchmark's own average, macro or micro. The test
    counts items, whichever subset they are in.

    Raises:
        BadInput: the two are not about the same items.
    """
    check_same_items(other, base)
    differences = {key: other.scores[key] - score for key, score in base.scores.items()}
    strata = stratify(differences, macro=macro)
    gained = sum(difference > 0 for difference in differences.values())
    lost = sum(difference < 0 for difference in differences.values())
    binary = all(score in (0, 1) for side in (base, other) for score in side.scores.values())
    low, high = interval(strata)
    return Comparison(
        n=len(differences),
        difference=mean(strata),
        stderr=standard_error(strata),
        low=low,
        high=high,
        gained=gained,
        lost=lost,
        p=exact_mcnemar(gained, lost),
        test="mcnemar" if binary else "sign",
    )
