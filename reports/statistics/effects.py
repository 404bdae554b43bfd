"""How large a preference is, in the units that people compare studies by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from reports.statistics.estimate import Estimate


@dataclass(frozen=True)
class Effects:
    """Effect sizes of one comparison; None where there is nothing to measure.

    Attributes:
        cohens_h: of the untied win share against one half; .2 is small, .5 medium, .8 large.
        rank_biserial: of the dialogues' mean preferences, from -1 to 1.
        odds: untied wins for each loss, with the interval of the untied share taken over.
    """

    cohens_h: float | None
    rank_biserial: float | None
    odds: Estimate


def effects(votes: np.ndarray, untied: Estimate) -> Effects:
    """Effect sizes of one study's votes, shape (dialogues, raters, 4); `untied` is its estimate."""
    h = None if untied.value is None else cohens_h(untied.value, 0.5)
    counts = votes.sum((1, 2))
    rated = counts > 0
    means = (votes[rated, :, 0] - votes[rated, :, 3]).sum(-1) / counts[rated]
    return Effects(h, rank_biserial(means), _odds(untied))


def cohens_h(one: float, other: float) -> float:
    """Difference of two shares on the arcsine scale: 2 asin(sqrt(p1)) - 2 asin(sqrt(p2)).

    Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, section 6.2.
    """
    return 2 * math.asin(math.sqrt(one)) - 2 * math.asin(math.sqrt(other))


def rank_biserial(differences: np.ndarray) -> float | None:
    """Matched-pairs rank biserial correlation: (R+ - R-) / (R+ + R-).

    R+ and R- are the sums of the ranks of the absolute differences that are positive and negative,
    zeros left out (Kerby 2014, Comprehensive Psychology 3:11.IT.3.1). None if all are zero.
    """
    differences = np.asarray(differences, dtype=float)
    differences = differences[differences != 0]
    if not len(differences):
        return None
    # Rounded, since equal preferences reached by different sums must tie.
    ranks = rankdata(np.round(np.abs(differences), 12))
    return float((ranks * np.sign(differences)).sum() / ranks.sum())


def _odds(untied: Estimate) -> Estimate:
    def of(share: float | None) -> float | None:
        return None if share is None or share >= 1 else share / (1 - share)

    note = untied.note
    if untied.value == 1:
        note = "never lost: the odds have no upper end"
    return Estimate(of(untied.value), of(untied.low), of(untied.high), untied.n, note)
