"""Standard errors, intervals and tests for votes that hang together by dialogue and by rater.

Three raters' votes on forty pairs are not 120 observations: votes on one dialogue resemble each
other, and so do votes of one rater. The variance of a mean is estimated from the sums of residuals
by dialogue, by rater and by single cell (Cameron, Gelbach and Miller 2011, Journal of Business &
Economic Statistics 29: 238-249),

    V = I/(I-1) sum_i e_i.^2 + R/(R-1) sum_r e_.r^2 - sum_ir e_ir^2,

which is the limit, for ever more resamples, of the bootstrap over dialogues plus that over raters
minus that over single votes. With six raters V is itself uncertain, so a t quantile is used, with
Satterthwaite's degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2: 110-114) of the two
sums that have few terms,

    f = V^2 / (A^2/(I-1) + B^2/(R-1)),     A, B: the dialogues' and the raters' part.

V may come out too small, even negative; it is never taken below the third sum, what V would be if
nothing hung together. `duo bench statistics` shows how well the intervals keep their word.

All functions take leading axes, so that thousands of simulated studies are one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Clustered:
    """A mean and how sure it is; arrays of one shape, NaN where nothing can be said.

    Attributes:
        value: the mean.
        variance: of the mean.
        df: degrees of freedom of the variance.
        dialogues, raters: how many have a vote that counts.
    """

    value: np.ndarray
    variance: np.ndarray
    df: np.ndarray
    dialogues: np.ndarray
    raters: np.ndarray


def mean(sums: np.ndarray, counts: np.ndarray) -> Clustered:
    """The mean over all votes, with its two-way clustered variance.

    A ratio of two sums, linearised: the residual of a cell is its sum minus the mean times its
    count. So the same serves a share among all votes and one among untied votes.

    Args:
        sums: of what is averaged, by dialogue and rater, shape (..., dialogues, raters).
        counts: votes behind each sum, same shape; zero where there is none.
    """
    total = counts.sum((-1, -2))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = sums.sum((-1, -2)) / total
        influence = (sums - value[..., None, None] * counts) / total[..., None, None]
    variance, df = clustered_variance(influence, counts > 0)
    dialogues, raters = _clusters(counts > 0)
    return Clustered(value, variance, df, dialogues, raters)


def clustered_variance(influence: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance and degrees of freedom of a sum of cells that hang together by row and column.

    With a single rater only the dialogues can vary, and the other way round; with one of both
    there is no variance (NaN).

    Args:
        influence: what each cell adds to the estimate, centred, shape (..., dialogues, raters).
        present: whether the cell has a vote, same shape.
    """
    dialogues, raters = _clusters(present)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_dialogue = (influence.sum(-1) ** 2).sum(-1) * dialogues / (dialogues - 1)
        by_rater = (influence.sum(-2) ** 2).sum(-1) * raters / (raters - 1)
        by_cell = (influence**2).sum((-1, -2))
        both = np.maximum(by_dialogue + by_rater - by_cell, by_cell)
        variance = np.where(raters < 2, by_dialogue, np.where(dialogues < 2, by_rater, both))
        variance = np.where((raters < 2) & (dialogues < 2), np.nan, variance)
        shaky = np.where(dialogues > 1, by_dialogue**2 / (dialogues - 1), 0.0) + np.where(
            raters > 1, by_rater**2 / (raters - 1), 0.0
        )
        df = np.maximum(variance**2 / shaky, 1.0)
    return variance, np.where(shaky > 0, df, np.maximum(np.maximum(dialogues, raters) - 1, 1))


def share_interval(of: Clustered, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a share: t on the arcsine scale, where a share's variance does not depend on it.

    asin(sqrt(p)) -+ t_f sqrt(V) / (2 sqrt(p (1-p))), taken back by sin^2 (delta method; Anscombe
    1948, Biometrika 35: 246-254). So it stays within 0 and 1 and leans the right way near them. A
    share of exactly 0 or 1 shows no variation; it gets the bound of Clopper and Pearson (1934)
    with each dialogue counted as one vote.
    """
    p = of.value
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.arcsin(np.sqrt(p))
        half = _quantile(of, level) * np.sqrt(of.variance) / (2 * np.sqrt(p * (1 - p)))
        low = np.sin(np.maximum(centre - half, 0.0)) ** 2
        high = np.sin(np.minimum(centre + half, np.pi / 2)) ** 2
        bound = ((1 - level) / 2) ** (1 / of.dialogues)
    low = np.where(p == 0, 0.0, np.where(p == 1, bound, low))
    high = np.where(p == 1, 1.0, np.where(p == 0, 1 - bound, high))
    return low, high


def balance_interval(of: Clustered, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a mean of votes between -1 and 1: value -+ t_f sqrt(V), cut at the ends.

    Where all votes are alike (no variance) it is as wide as that of a share of 0 or 1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        half = _quantile(of, level) * np.sqrt(of.variance)
        bound = 2 * (1 - ((1 - level) / 2) ** (1 / of.dialogues))
    half = np.where(of.variance == 0, bound, half)
    return np.maximum(of.value - half, -1.0), np.minimum(of.value + half, 1.0)


def p_value(of: Clustered, null: float = 0.0) -> np.ndarray:
    """Two-sided p of the null value: t = (value - null) / sqrt(V) on f degrees of freedom.

    Where all votes are alike the dialogues are the observations: 2 / 2^dialogues.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * stats.t.sf(np.abs(of.value - null) / np.sqrt(of.variance), of.df)
        alike = np.minimum(2.0 * 0.5**of.dialogues, 1.0)
    return np.where(of.variance == 0, np.where(of.value == null, 1.0, alike), p)


def _quantile(of: Clustered, level: float) -> np.ndarray:
    return np.asarray(stats.t.ppf(0.5 + level / 2, of.df))


def _clusters(present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return present.any(-1).sum(-1), present.any(-2).sum(-1)
