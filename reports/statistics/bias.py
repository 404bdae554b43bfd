"""Find out whether a conversation's place or length decides votes, whichever system it is of.

Sides are counterbalanced, so that without a bias the left one wins as often as the right one. The
longer one may win more often for two reasons: raters like length, or the better system says more;
votes alone do not tell which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reports.statistics.clustered import Estimate, estimate, finite, holm, preference_tests
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
    """

    left: Bias
    longer: Bias


def biases(rows: pd.DataFrame, *, cluster: str = "item") -> Biases:
    """Estimate the biases in first votes.

    Args:
        rows: ratings of one criterion.
        cluster: the column that names the dialogue.
    """
    firsts = rows[~rows["attention"] & (rows["repeat"] == 0)]
    more = np.sign((firsts["words_left"] - firsts["words_right"]).to_numpy(dtype=float))
    longer, unknown = firsts[np.abs(more) == 1], len(firsts) > 0 and not np.isfinite(more).any()
    return Biases(
        _bias(firsts, np.ones(len(firsts)), cluster),
        _bias(
            longer,
            more[np.abs(more) == 1],
            cluster,
            nothing="lengths not known" if unknown else "",
        ),
    )


def with_holm(found: Sequence[Biases]) -> list[Biases]:
    """Correct the p values of each bias for all criteria, and flag by them."""
    lefts = _flagged([one.left for one in found], ("the left side", "the right side"))
    longer = _flagged([one.longer for one in found], ("the longer one", "the shorter one"))
    return [Biases(*both) for both in zip(lefts, longer, strict=True)]


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
