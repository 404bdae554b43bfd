"""Estimate means of votes that hang together by dialogue and by rater; test preferences.

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
nothing hung together. `duo bench statistics` measures how often the intervals hold the truth.

All functions of arrays take leading axes, so that thousands of simulated studies are one call.
(statsmodels has this variance for one regression at a time, and neither the floor nor f; a test
compares.)
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from reports.statistics.ratings import scored

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
#: Numbers of one block of resamples that are held at once.
_BLOCK = 2_000_000
#: More votes than this are not fitted by a mixed model, which is dense in dialogues and raters.
_MOST_VOTES = 2500
_ROUNDS = 2000


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
    """Take the mean over all votes, with its two-way clustered variance.

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
    return of_influence(value, influence, counts > 0)


def of_influence(value: np.ndarray, influence: np.ndarray, present: np.ndarray) -> Clustered:
    """Estimate the variance of a sum of cells that hang together by row and column.

    With a single rater only the dialogues can vary, and the other way round; with one of both
    there is no variance (NaN).

    Args:
        value: the estimate.
        influence: what each cell adds to it, centred, shape (..., dialogues, raters).
        present: whether the cell has a vote, same shape.
    """
    dialogues, raters = present.any(-1).sum(-1), present.any(-2).sum(-1)
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
    df = np.where(shaky > 0, df, np.maximum(np.maximum(dialogues, raters) - 1, 1))
    return Clustered(value, variance, df, dialogues, raters)


def half_width(of: Clustered) -> np.ndarray:
    """Give half the width of an interval on the scale of the value: t_f sqrt(V)."""
    return np.asarray(stats.t.ppf(0.5 + LEVEL / 2, of.df) * np.sqrt(of.variance))


def share_interval(of: Clustered) -> tuple[np.ndarray, np.ndarray]:
    """Give the interval of a share: t on the arcsine scale, where variance is the same for all.

    asin(sqrt(p)) -+ t_f sqrt(V) / (2 sqrt(p (1-p))), taken back by sin^2 (delta method; Anscombe
    1948, Biometrika 35: 246-254). So it stays within 0 and 1 and leans the right way near them. A
    share of exactly 0 or 1 shows no variation; it gets the bound of Clopper and Pearson (1934)
    with each dialogue counted as one vote.
    """
    p = of.value
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.arcsin(np.sqrt(p))
        half = half_width(of) / (2 * np.sqrt(p * (1 - p)))
        low = np.sin(np.maximum(centre - half, 0.0)) ** 2
        high = np.sin(np.minimum(centre + half, np.pi / 2)) ** 2
        bound = ((1 - LEVEL) / 2) ** (1 / of.dialogues)
    low = np.where(p == 0, 0.0, np.where(p == 1, bound, low))
    high = np.where(p == 1, 1.0, np.where(p == 0, 1 - bound, high))
    return low, high


def balance_interval(of: Clustered) -> tuple[np.ndarray, np.ndarray]:
    """Give the interval of a mean from -1 to 1: value -+ t_f sqrt(V), cut at the ends.

    Where all votes are alike (no variance) it is as wide as that of a share of 0 or 1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        half = half_width(of)
        bound = 2 * (1 - ((1 - LEVEL) / 2) ** (1 / of.dialogues))
    half = np.where(of.variance == 0, bound, half)
    return np.maximum(of.value - half, -1.0), np.minimum(of.value + half, 1.0)


def p_value(of: Clustered, null: float = 0.0) -> np.ndarray:
    """Test the null value, two-sided: t = (value - null) / sqrt(V) on f degrees of freedom.

    Where all votes are alike the dialogues are the observations: 2 / 2^dialogues.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * stats.t.sf(np.abs(of.value - null) / np.sqrt(of.variance), of.df)
        alike = np.minimum(2.0 * 0.5**of.dialogues, 1.0)
    return np.where(of.variance == 0, np.where(of.value == null, 1.0, alike), p)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value, low, high: None where there is none.
        n: how many observations are behind it.
        note: why there is no value or no interval, or what the interval does not cover; else "".
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str = ""


def estimate(
    sums: np.ndarray, counts: np.ndarray, *, signed: bool = False, nothing: str = "no votes"
) -> Estimate:
    """Estimate one study's mean with its interval.

    Args:
        sums, counts: as for `mean`.
        signed: whether it is a mean of values from -1 to 1, and not a share.
        nothing: the note where there is nothing to take a mean of.
    """
    n = int(counts.sum())
    if not n:
        return Estimate(None, None, None, 0, nothing)
    of = mean(sums, counts)
    note = clusters_note(int(of.dialogues), int(of.raters))
    if max(int(of.dialogues), int(of.raters)) < 2:
        return Estimate(finite(of.value), None, None, n, note)
    low, high = (balance_interval if signed else share_interval)(of)
    return Estimate(finite(of.value), finite(low), finite(high), n, note)


def finite(value: float | np.ndarray) -> float | None:
    """Make a number for a result: None in place of NaN and infinity."""
    number = float(value)
    return number if math.isfinite(number) else None


def clusters_note(dialogues: int, raters: int) -> str:
    """Say what an interval cannot know for want of clusters."""
    if dialogues < 2 and raters < 2:
        return "one dialogue and one rater: no interval"
    if raters < 2:
        return "one rater: the interval is about dialogues only"
    if dialogues < 2:
        return "one dialogue: the interval is about raters only"
    if raters < 4:
        return f"{raters} raters: the interval is rough"
    return ""


def majorities(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the dialogues that the first system wins, loses and ties by majority of votes.

    Ties and "both bad" are votes for neither.

    Args:
        votes: counts, shape (..., dialogues, raters, 4), outcomes as in `ratings.OUTCOMES`.
    """
    lead = (votes[..., 0] - votes[..., 3]).sum(-1)
    seen = votes.sum((-1, -2)) > 0
    wins, losses = (lead > 0).sum(-1), (lead < 0).sum(-1)
    return wins, losses, ((lead == 0) & seen).sum(-1)


def sign_test(wins: np.ndarray | int, losses: np.ndarray | int) -> np.ndarray:
    """Make the exact sign test: 2 P(X <= min(wins, losses)), X ~ Binomial(wins + losses, 1/2).

    Dixon and Mood 1946 (Journal of the American Statistical Association 41: 557-566); ties are
    left out. With dialogues by majority as its observations it generalises to further dialogues
    rated *by these raters*; that other raters would agree it does not test.
    """
    wins, losses = np.asarray(wins), np.asarray(losses)
    return np.minimum(2 * stats.binom.cdf(np.minimum(wins, losses), wins + losses, 0.5), 1.0)


def preference_tests(votes: np.ndarray) -> dict[str, np.ndarray]:
    """Test whether one system is preferred; `preference` is the p to claim it by.

    Args:
        votes: counts, shape (..., dialogues, raters, 4), outcomes as in `ratings.OUTCOMES`.

    Returns:
        Two-sided p values of shape (...), NaN where there is nothing to test: `sign`, the exact
        sign test of the dialogues' majorities, about further dialogues and these raters; `two_way`,
        of the net win rate, about further dialogues and further raters; and `preference`: both
        must hold, so its p is the larger (an intersection-union test, Berger 1982, Technometrics
        24: 295-300).
    """
    wins, losses, _ = majorities(votes)
    sign = np.where(wins + losses > 0, sign_test(wins, losses), np.nan)
    two_way = p_value(mean(*scored(votes, "net")))
    return {"sign": sign, "two_way": two_way, "preference": np.maximum(sign, two_way)}


def draw_clusters(
    rng: np.random.Generator, dialogues: int, raters: int, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw how often each dialogue and rater counts, shapes (resamples, dialogues or raters).

    The pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1: 386-411): dialogues and
    raters are drawn with replacement, apart from each other; a vote counts as often as its
    dialogue was drawn times as often as its rater was.
    """
    of_dialogue, of_rater = (
        rng.multinomial(n, np.full(n, 1 / n), resamples).astype(float) for n in (dialogues, raters)
    )
    return of_dialogue, of_rater


def resampled_means(
    sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take means of resamples and their standard errors as `mean` would estimate them.

    A dialogue (rater) that is drawn twice counts as two dialogues (raters). Resamples without a
    single vote give NaN.

    Args:
        sums, counts: as for `mean`, shape (dialogues, raters).
    """
    dialogues, raters = sums.shape
    values, errors = np.empty(resamples), np.empty(resamples)
    step = max(1, _BLOCK // (dialogues * raters))
    for start in range(0, resamples, step):
        some = slice(start, min(start + step, resamples))
        of_dialogue, of_rater = draw_clusters(rng, dialogues, raters, some.stop - some.start)
        values[some], errors[some] = _weighted(sums, counts, of_dialogue, of_rater)
    return values, errors


def _weighted(
    sums: np.ndarray, counts: np.ndarray, of_dialogue: np.ndarray, of_rater: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    dialogues, raters = sums.shape

    def whole(cells: np.ndarray) -> np.ndarray:
        return ((of_dialogue @ cells) * of_rater).sum(-1)

    with np.errstate(invalid="ignore", divide="ignore"):
        total = whole(counts)
        value = whole(sums) / total
        at = value[:, None]
        rows = of_rater @ sums.T - at * (of_rater @ counts.T)
        columns = of_dialogue @ sums - at * (of_dialogue @ counts)
        by_dialogue = (of_dialogue * rows**2).sum(-1) * dialogues / max(dialogues - 1, 1)
        by_rater = (of_rater * columns**2).sum(-1) * raters / max(raters - 1, 1)
        by_cell = whole(sums**2) - 2 * value * whole(sums * counts) + value**2 * whole(counts**2)
        variance = np.maximum(by_dialogue + by_rater - by_cell, by_cell)
        return value, np.sqrt(np.maximum(variance, 0)) / total


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """Give the middle of the resampled values (Efron 1981).

    Resampling both ways counts the noise of single votes up to three times (Owen 2007, section
    3), so with these draws the interval is too wide; `studentised_interval` mends that.
    """
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def studentised_interval(
    of: Clustered, values: np.ndarray, errors: np.ndarray
) -> tuple[float, float]:
    """Give the symmetric bootstrap-t interval: a quantile of |value* - value| / error* for t's.

    Hall 1988 (Annals of Statistics 16: 927-953). Holds from about six raters on; with three or
    four the resamples know too little of how raters differ.
    """
    usable = errors > 1e-9
    if not usable.any():
        return float("nan"), float("nan")
    ratios = np.abs(values[usable] - of.value) / errors[usable]
    half = float(np.quantile(ratios, LEVEL) * np.sqrt(of.variance))
    return float(of.value) - half, float(of.value) + half


@dataclass(frozen=True)
class MixedCheck:
    """The fitted model.

    Attributes:
        net: estimated preference on the scale of the net win rate, both sides alike.
        error: its standard error.
        p: two-sided, normal.
        side: what standing on the left adds.
        dialogue_variance, rater_variance, residual_variance: estimated components.
        converged: whether the optimiser says so. If it does not, trust none of it.
        note: what went wrong, or "".
    """

    net: float | None = None
    error: float | None = None
    p: float | None = None
    side: float | None = None
    dialogue_variance: float | None = None
    rater_variance: float | None = None
    residual_variance: float | None = None
    converged: bool = False
    note: str = ""


def mixed_check(rows: pd.DataFrame, first: str, *, cluster: str = "item") -> MixedCheck:
    """Fit vote = net + side * left + dialogue + rater + error by restricted maximum likelihood.

    The vote is 1 for the first system, -1 for the other and 0 for neither, left is 1 or -1;
    dialogue and rater are crossed random intercepts, written as variance components of a single
    group (Baayen, Davidson and Bates 2008, Journal of Memory and Language 59: 390-412; statsmodels
    `MixedLM`). Its normal p ignores that few raters leave their variance uncertain, so it is a
    check of the estimate and not the test that is reported first.

    Args:
        rows: first votes on one criterion and pair, with `outcome` (see `ratings.votes_on`).
    """
    import pandas as pd
    from statsmodels.regression.mixed_linear_model import MixedLM  # type: ignore[import-untyped]

    vote = rows["outcome"].map({"win": 1.0, "loss": -1.0}).fillna(0.0)
    if len(rows) > _MOST_VOTES:
        return MixedCheck(note=f"not fitted: more than {_MOST_VOTES} votes")
    if rows["rater"].nunique() < 2 or rows[cluster].nunique() < 2:
        return MixedCheck(note="not fitted: needs two dialogues and two raters")
    if vote.nunique() < 2:
        return MixedCheck(note="not fitted: all votes are alike")
    left = np.where(rows["system_left"] == first, 1.0, -1.0)
    # Numbers for names: the formula language must never read anybody's text.
    data = pd.DataFrame(
        {
            "vote": vote.to_numpy(),
            "left": left,
            "dialogue": pd.factorize(rows[cluster])[0],
            "rater": pd.factorize(rows["rater"])[0],
        }
    )
    sided = len(set(left)) > 1
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            model = MixedLM.from_formula(
                "vote ~ left" if sided else "vote ~ 1",
                groups=np.zeros(len(data)),
                vc_formula={"dialogue": "0 + C(dialogue)", "rater": "0 + C(rater)"},
                data=data,
            )
            # Without gradients: these mislead at the edge, where a component is zero.
            fitted = model.fit(method="nm", maxiter=_ROUNDS)
        except (np.linalg.LinAlgError, ValueError) as error:
            return MixedCheck(note=f"not fitted: {error}")
        net, deviation = finite(fitted.fe_params.iloc[0]), finite(fitted.bse_fe.iloc[0])
        variances = dict(zip(model.exog_vc.names, map(finite, fitted.vcomp), strict=True))
        converged = bool(fitted.converged) and deviation is not None
        return MixedCheck(
            net=net,
            error=deviation,
            p=finite(fitted.pvalues.iloc[0]),
            side=finite(fitted.fe_params.iloc[1]) if sided else None,
            dialogue_variance=variances["dialogue"],
            rater_variance=variances["rater"],
            residual_variance=finite(fitted.scale),
            converged=converged,
            note="" if converged else "did not converge: do not rely on it",
        )
