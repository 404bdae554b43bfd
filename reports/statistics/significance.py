"""Tests of whether one system is preferred, and what many of them are worth together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from evaluation.comparison.significance import holm as adjust
from reports.statistics import twoway
from reports.statistics.panel import scored


def majorities(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many dialogues the first system wins, loses and ties by majority of its votes.

    Ties and "both bad" are votes for neither.

    Args:
        votes: counts, shape (..., dialogues, raters, 4), outcomes as in `panel.OUTCOMES`.
    """
    lead = (votes[..., 0] - votes[..., 3]).sum(-1)
    seen = votes.sum((-1, -2)) > 0
    wins, losses = (lead > 0).sum(-1), (lead < 0).sum(-1)
    return wins, losses, ((lead == 0) & seen).sum(-1)


def sign_test(wins: np.ndarray | int, losses: np.ndarray | int) -> np.ndarray:
    """Exact two-sided sign test: 2 P(X <= min(wins, losses)), X ~ Binomial(wins + losses, 1/2).

    Dixon and Mood 1946 (Journal of the American Statistical Association 41: 557-566); ties are
    left out. With dialogues by majority as its observations it generalises to further dialogues
    rated *by these raters*; that other raters would agree it does not test.
    """
    wins, losses = np.asarray(wins), np.asarray(losses)
    return np.minimum(2 * stats.binom.cdf(np.minimum(wins, losses), wins + losses, 0.5), 1.0)


def preference_tests(votes: np.ndarray) -> dict[str, np.ndarray]:
    """Test whether one system is preferred; `preference` is the p to claim it by.

    Args:
        votes: counts, shape (..., dialogues, raters, 4), outcomes as in `panel.OUTCOMES`.

    Returns:
        Two-sided p values of shape (...), NaN where there is nothing to test: `sign`, the exact
        sign test of the dialogues' majorities, about further dialogues and these raters; `two_way`,
        of the net win rate, about further dialogues and further raters; and `preference`: both
        must hold, so its p is the larger (an intersection-union test, Berger 1982, Technometrics
        24: 295-300).
    """
    wins, losses, _ = majorities(votes)
    sign = np.where(wins + losses > 0, sign_test(wins, losses), np.nan)
    two_way = twoway.p_value(twoway.mean(*scored(votes, "net")))
    return {"sign": sign, "two_way": two_way, "preference": np.maximum(sign, two_way)}


def holm(ps: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjusted p values, see `evaluation.comparison.significance.holm`.

    Where there is no p (nothing to test) there is none after, and it does not count.
    """
    adjusted = iter(adjust([p for p in ps if p is not None]))
    return tuple(None if p is None else next(adjusted) for p in ps)
