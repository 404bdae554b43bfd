"""Score three or more systems from pairwise votes by Bradley and Terry's model with ties.

Davidson 1970 (Journal of the American Statistical Association 65: 317-328): with strengths pi,

    P(i beats j) = pi_i / s,  P(tie) = nu g / s,  g = sqrt(pi_i pi_j),  s = pi_i + pi_j + nu g.

On the log scale that is a multinomial logit, whose likelihood is concave. For two systems the
estimate has a closed form: log(pi_1 / pi_2) = log(wins / losses), nu = ties / sqrt(wins * losses).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import softmax

from evaluation.benchmarks.compare import holm
from reports.statistics.clustered import (
    Clustered,
    Estimate,
    clusters_note,
    draw_clusters,
    finite,
    half_width,
    of_influence,
    p_value,
)

_ROUNDS = 100
#: Keeps resamples solvable in which a system wins everything; too weak to be seen elsewhere.
_RIDGE = 1e-4


@dataclass(frozen=True)
class Standing:
    """One system among all.

    Attributes:
        system: its name.
        score: log strength; the scores of all systems sum to zero. A difference of 1 is odds of
            2.7 to 1 among untied votes.
        rank: 1 for the highest score.
        ranks: the ranks it may have, given which pairwise differences are significant (Holm, .05).
        first: share of two-way bootstrap resamples in which its score is the highest; systems that
            are level there share it.
    """

    system: str
    score: Estimate
    rank: int
    ranks: tuple[int, int]
    first: float | None


@dataclass(frozen=True)
class Scores:
    """All systems on one criterion, best first; none where `note` says why not.

    Attributes:
        standings: by rank.
        tie: Davidson's nu; 0 where nobody tied.
        note: what is wrong, or "".
    """

    standings: tuple[Standing, ...] = ()
    tie: float | None = None
    note: str = ""


def pairs(systems: int) -> tuple[tuple[int, int], ...]:
    """List the pairs of systems in the order that `votes` has them."""
    return tuple(combinations(range(systems), 2))


def bradley_terry(
    systems: tuple[str, ...], votes: np.ndarray, rng: np.random.Generator, resamples: int = 500
) -> Scores:
    """Score systems, with two-way clustered intervals, ranks, and how often each comes first.

    The intervals are t intervals of the sandwich estimator: each vote's pull on the score
    (inverse information times its score vector) goes where residuals go in `clustered`.

    Args:
        votes: counts of win, tie, loss of the first of each pair, shape (dialogues, raters, pairs,
            3); "both bad" is a tie.
    """
    total = votes.sum((0, 1))
    if note := _unfit(systems, total):
        return Scores(note=note)
    features = _features(len(systems), ties=bool(total[:, 1].any()))
    fitted = fit(total, features)
    scores = _centred(fitted, len(systems))
    contrasts = np.eye(len(systems)) - 1 / len(systems)
    of = [_clustered(votes, features, fitted, contrast) for contrast in contrasts]
    note = clusters_note(int(of[0].dialogues), int(of[0].raters))
    order = np.argsort(-scores, kind="stable")
    ranges = _rank_ranges(votes, features, fitted, scores)
    firsts = _firsts(votes, features, len(systems), rng, resamples)
    return Scores(
        tuple(
            Standing(
                systems[i],
                Estimate(finite(scores[i]), *_interval(of[i]), int(total.sum()), note),
                rank,
                ranges[i],
                firsts[i],
            )
            for rank, i in enumerate(map(int, order), 1)
        ),
        float(np.exp(fitted[-1])) if total[:, 1].any() else 0.0,
    )


def fit(counts: np.ndarray, features: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    """Maximise the likelihood by Newton's method.

    Args:
        counts: shape (..., pairs, 3).
        features: of each outcome of each pair, shape (pairs, 3, parameters).
        ridge: weight of a quadratic penalty, a share of the votes.

    Returns:
        Parameters, shape (..., parameters): log strengths less the last system's, then log nu if
        there are ties.
    """
    of = np.zeros((*counts.shape[:-2], features.shape[-1]))
    weight = ridge * counts.sum((-1, -2))[..., None]
    for _ in range(_ROUNDS):
        gradient, information = _derivatives(counts, features, of)
        gradient = gradient - weight * of
        information = information + (weight[..., None] + 1e-12) * np.eye(of.shape[-1])
        step = np.linalg.solve(information, gradient[..., None])[..., 0]
        of = of + step / np.maximum(np.abs(step).max(-1, keepdims=True), 1.0)
        if np.abs(step).max() < 1e-10:
            break
    return of


def _features(systems: int, *, ties: bool) -> np.ndarray:
    """Log P is linear in these, but for a constant: half the difference of log strengths for a win,
    minus that for a loss, log nu for a tie."""
    found = np.zeros((len(pairs(systems)), 3, systems))
    for at, (i, j) in enumerate(pairs(systems)):
        found[at, 0, [i, j]] = 0.5, -0.5
        found[at, 2, [i, j]] = -0.5, 0.5
    found[:, :, -1] = 0
    if not ties:
        # Nobody tied: nu would go to zero, so the model does without ties.
        return found[:, [0, 2], : systems - 1]
    found[:, 1, -1] = 1
    return found


def _derivatives(
    counts: np.ndarray, features: np.ndarray, of: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    counts = _seen(counts, features)
    p = softmax(np.einsum("pok,...k->...po", features, of), axis=-1)
    n = counts.sum(-1)
    gradient = np.einsum("...po,pok->...k", counts - n[..., None] * p, features)
    expected = np.einsum("...po,pok->...pk", p, features)
    second = np.einsum("...p,...po,pok,pol->...kl", n, p, features, features)
    return gradient, second - np.einsum("...p,...pk,...pl->...kl", n, expected, expected)


def _seen(counts: np.ndarray, features: np.ndarray) -> np.ndarray:
    return counts if features.shape[1] == 3 else counts[..., [0, 2]]


def _centred(of: np.ndarray, systems: int) -> np.ndarray:
    scores = np.concatenate([of[..., : systems - 1], np.zeros((*of.shape[:-1], 1))], axis=-1)
    return scores - scores.mean(-1, keepdims=True)


def _clustered(
    votes: np.ndarray, features: np.ndarray, of: np.ndarray, contrast: np.ndarray
) -> Clustered:
    """Take a linear combination of scores (its weights sum to zero) with its clustered variance."""
    counts = _seen(votes, features)
    p = softmax(np.einsum("pok,k->po", features, of), axis=-1)
    pull = np.einsum("irpo,pok->irk", counts - counts.sum(-1, keepdims=True) * p, features)
    _, information = _derivatives(votes.sum((0, 1)), features, of)
    weights = np.zeros(len(of))
    weights[: len(contrast) - 1] = contrast[:-1]
    influence = pull @ np.linalg.solve(information, weights)
    return of_influence(of @ weights, influence, counts.sum((-1, -2)) > 0)


def _interval(of: Clustered) -> tuple[float | None, float | None]:
    return finite(of.value - half_width(of)), finite(of.value + half_width(of))


def _rank_ranges(
    votes: np.ndarray, features: np.ndarray, of: np.ndarray, scores: np.ndarray
) -> list[tuple[int, int]]:
    found, each = pairs(len(scores)), np.eye(len(scores))
    ps = [finite(p_value(_clustered(votes, features, of, each[i] - each[j]))) for i, j in found]
    ahead = np.zeros((len(scores), len(scores)), dtype=bool)
    for (i, j), p in zip(found, holm(ps), strict=True):
        if p is not None and p <= 0.05:
            ahead[i, j], ahead[j, i] = scores[i] > scores[j], scores[j] > scores[i]
    return [
        (1 + int(ahead[:, i].sum()), len(scores) - int(ahead[i].sum())) for i in range(len(scores))
    ]


def _firsts(
    votes: np.ndarray, features: np.ndarray, systems: int, rng: np.random.Generator, resamples: int
) -> list[float | None]:
    if not resamples:
        return [None] * systems
    of_dialogue, of_rater = draw_clusters(rng, votes.shape[0], votes.shape[1], resamples)
    counts = np.einsum("bi,br,irpo->bpo", of_dialogue, of_rater, votes, optimize=True)
    counts = counts[counts.sum((-1, -2)) > 0]
    scores = _centred(fit(counts, features, _RIDGE), systems)
    # Systems that are level share the first place: their names must not decide.
    best = scores > scores.max(-1, keepdims=True) - 1e-7
    return [float(share) for share in (best / best.sum(-1, keepdims=True)).mean(0)]


def _unfit(systems: tuple[str, ...], total: np.ndarray) -> str:
    """Say why there is no estimate: the best and the rest must have beaten each other, by whatever
    detour (Ford 1957, American Mathematical Monthly 64: 28-33); a tie counts for both."""
    if not total.sum():
        return "no votes"
    if not total[:, [0, 2]].any():
        return "all votes are ties"
    beaten = np.zeros((len(systems), len(systems)))
    for (i, j), (win, tie, loss) in zip(pairs(len(systems)), total, strict=True):
        beaten[i, j], beaten[j, i] = win + tie, loss + tie
    groups, of = connected_components(beaten, directed=True, connection="strong")
    if groups > 1:
        sides = (
            ", ".join(s for s, g in zip(systems, of, strict=True) if g == group)
            for group in range(groups)
        )
        return f"no finite scores: always or never won between {' | '.join(sides)}"
    return ""
