"""Find out whether a conversation's place or length decides votes, whichever system it is of.

Sides are counterbalanced, so that without a bias the left one wins as often as the right one. The
longer one may win more often for two reasons: raters like length, or the better system says more.
Where each of two systems is sometimes the longer one, that can be told apart: how often does it win
when it is, and the other one when that is? The mean of both is one half without a bias, however
much better one of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from evaluation.benchmarks.compare import holm
from reports.statistics.clustered import (
    Estimate,
    clusters_note,
    estimate,
    finite,
    of_influence,
    p_value,
    preference_tests,
    share_interval,
)
from reports.statistics.ratings import cells, scored

if TYPE_CHECKING:
    import pandas as pd

#: A bias is flagged below this p, corrected for all criteria.
LEVEL = 0.05


@dataclass(frozen=True)
class Bias:
    """How often votes go for conversations with something in common.

    Attributes:
        wins: share of untied votes for them; `n` is how many were untied.
        p: two-sided p of one half by the rule of preferences (`clustered.preference_tests`): both
            the sign test of the dialogues and the two-way test; None where there is nothing to
            test.
        p_holm: Holm's, over the criteria.
        favoured: what wins more often than chance explains, in words; "" for nothing.
    """

    wins: Estimate
    p: float | None = None
    p_holm: float | None = None
    favoured: str = ""


@dataclass(frozen=True)
class Biases:
    """The biases of one criterion.

    Attributes:
        left: for the left side, which is also the one shown first.
        longer: for the conversation in which the assistant says more words.
        even: the same, but each system of a pair counts equally often as the longer one; `p` is the
            two-way test's. Nothing where one of each pair always is.
    """

    left: Bias
    longer: Bias
    even: Bias


def biases(rows: pd.DataFrame, *, cluster: str = "item") -> Biases:
    """Estimate the biases in the first votes on one criterion."""
    firsts = rows[~rows["attention"] & (rows["repeat"] == 0)]
    more = np.sign((firsts["words_left"] - firsts["words_right"]).to_numpy(dtype=float))
    unknown = len(firsts) > 0 and not np.isfinite(more).any()
    longer, side = firsts[np.abs(more) == 1], more[np.abs(more) == 1]
    nothing = "lengths not known" if unknown else ""
    return Biases(
        _bias(firsts, np.ones(len(firsts)), cluster),
        _bias(longer, side, cluster, nothing),
        _even(longer, side, cluster, nothing),
    )


def with_holm(found: Sequence[Biases]) -> list[Biases]:
    """Correct the p values of each bias for all criteria, and flag by them.

    Length is flagged by `even` where that has a value, else by `longer`.
    """
    length = ("the longer one", "the shorter one")
    lefts = _flagged([one.left for one in found], ("the left side", "the right side"))
    longer = _flagged([one.longer for one in found], length)
    even = _flagged([one.even for one in found], length)
    return [
        Biases(left, more if both.wins.value is None else replace(more, favoured=""), both)
        for left, more, both in zip(lefts, longer, even, strict=True)
    ]


def _even(rows: pd.DataFrame, side: np.ndarray, cluster: str, nothing: str) -> Bias:
    """Estimate how often the longer one wins, each system of a pair being it equally often.

    A mean of means: of each pair's two groups of untied votes, by which system is the longer one.
    A vote's influence is its distance from its group's mean.
    """
    untied = rows["choice"].isin(["left", "right"]).to_numpy()
    rows, side = rows[untied], side[untied]
    won = np.where(rows["choice"] == "left", 1.0, -1.0) == side
    lefts, rights = rows["system_left"].to_numpy(str), rows["system_right"].to_numpy(str)
    longer, shorter = np.where(side > 0, lefts, rights), np.where(side > 0, rights, lefts)
    value, influence, used = 0.0, np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    for system, other in sorted(set(zip(longer, shorter, strict=True))):
        group = (longer == system) & (shorter == other)
        back = (longer == other) & (shorter == system)
        if back.any():
            share, weight = won[group].mean(), (group | back).sum() / 2
            value += weight * share
            influence[group] = weight * (won[group] - share) / group.sum()
            used |= group
    n = int(used.sum())
    if not n:
        why = "one system is always longer" if len(rows) else "no untied votes"
        return Bias(Estimate(None, None, None, 0, nothing or why))
    kept = rows[used]
    sums = cells(kept, np.column_stack([influence[used] / n, np.ones(n)]), cluster)
    of = of_influence(np.array(value / n), sums[..., 0], sums[..., 1] > 0)
    low, high = share_interval(of)
    note = clusters_note(int(of.dialogues), int(of.raters))
    wins = Estimate(finite(of.value), finite(low), finite(high), n, note)
    return Bias(wins, finite(p_value(of, 0.5)))


def _bias(rows: pd.DataFrame, side: np.ndarray, cluster: str, nothing: str = "") -> Bias:
    """Estimate the bias for one side of each vote.

    Args:
        side: of each row, 1 for the left and -1 for the right.
        nothing: why there is nothing to estimate, if that is known.
    """
    vote = rows["choice"].map({"left": 1.0, "right": -1.0}).fillna(0.0).to_numpy(float) * side
    kinds = np.stack([vote > 0, vote == 0, np.zeros(len(vote), dtype=bool), vote < 0], axis=-1)
    votes = cells(rows, kinds.astype(float), cluster)
    sums, counts = scored(votes, "untied")
    wins = estimate(sums, counts, nothing=nothing or "no untied votes")
    return Bias(wins, finite(preference_tests(votes)["preference"]) if wins.n else None)


def _flagged(found: Sequence[Bias], names: tuple[str, str]) -> list[Bias]:
    flagged = []
    for one, p in zip(found, holm([one.p for one in found]), strict=True):
        sure = p is not None and p < LEVEL and one.wins.value is not None
        favoured = names[one.wins.value < 0.5] if sure and one.wins.value is not None else ""
        flagged.append(replace(one, p_holm=p, favoured=favoured))
    return flagged
