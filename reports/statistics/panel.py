"""Votes on one pair of systems as arrays, dialogues by raters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

#: The outcomes of a vote, seen from the first system of the pair.
OUTCOMES = ("win", "tie", "both_bad", "loss")
#: What is estimated of them; see `scored`.
ESTIMANDS = (*OUTCOMES, "net", "untied")


@dataclass(frozen=True)
class Panel:
    """Counts of votes; no vote is a row of zeros.

    Attributes:
        votes: counts by dialogue, rater and outcome (`OUTCOMES`), shape (dialogues, raters, 4).
            Mostly 0 or 1; more where several items of a dialogue fall into one cluster. Leading
            axes, for many studies at once, are allowed by all that takes arrays.
        dialogues, raters: names along the first two axes.
    """

    votes: np.ndarray
    dialogues: tuple[str, ...]
    raters: tuple[str, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Votes by outcome."""
        return dict(zip(OUTCOMES, map(int, self.votes.sum((0, 1))), strict=True))


def panel(rows: pd.DataFrame, first: str, second: str, *, cluster: str = "item") -> Panel:
    """The first votes (no repeated items, no attention checks) on one criterion's pair.

    Args:
        rows: ratings of one criterion.
        first, second: the two systems; a win is one of the first.
        cluster: the column whose values are the dialogues: `item`, or `scenario` where several
            items share one and votes on them hang together.
    """
    chosen = votes_on(rows, first, second)
    chosen = chosen[chosen["repeat"] == 0]
    dialogues, raters = _names(chosen[cluster]), _names(chosen["rater"])
    counts = np.zeros((len(dialogues), len(raters), len(OUTCOMES)))
    axes = ((chosen[cluster], dialogues), (chosen["rater"], raters), (chosen["outcome"], OUTCOMES))
    np.add.at(counts, tuple(_places(column, names) for column, names in axes), 1.0)
    return Panel(counts, dialogues, raters)


def votes_on(rows: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """The ratings that compare two systems, attention checks apart, with a column `outcome`."""
    pairs = ((rows["system_left"] == first) & (rows["system_right"] == second)) | (
        (rows["system_left"] == second) & (rows["system_right"] == first)
    )
    chosen = rows[pairs & ~rows["attention"]]
    return chosen.assign(outcome=chosen["winner"].replace({first: "win", second: "loss"}))


def scored(votes: np.ndarray, estimand: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts for `twoway.mean`.

    Args:
        votes: counts, shape (..., dialogues, raters, 4), outcomes as in `OUTCOMES`.
        estimand: an outcome (its share of all votes), `net` (win share minus loss share) or
            `untied` (the win share of votes for either system).
    """
    win, loss = votes[..., 0], votes[..., 3]
    if estimand == "untied":
        return win, win + loss
    if estimand == "net":
        return win - loss, votes.sum(-1)
    return votes[..., OUTCOMES.index(estimand)], votes.sum(-1)


def _names(column: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(set(column)))


def _places(column: pd.Series, names: Sequence[str]) -> np.ndarray:
    at = {name: place for place, name in enumerate(names)}
    return np.array([at[name] for name in column], dtype=np.intp)
