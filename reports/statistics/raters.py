"""What raters do whatever they are shown: prefer a side, change their minds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports.statistics import twoway
from reports.statistics.estimate import Estimate, finite, share

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SideBias:
    """Preference for the left side.

    Attributes:
        left: share of untied votes for the left system; `n` is how many were untied.
        p: two-sided p of one half, clustered by dialogue and rater.
    """

    left: Estimate
    p: float | None


@dataclass(frozen=True)
class Consistency:
    """Whether raters say the same about the same pair again.

    Attributes:
        same: share of repeated votes with the first vote's outcome.
        reversed: share of repeated votes for the other system than at first.
        kappa: the sameness beyond chance, Cohen's kappa; None where nothing varies.
    """

    same: Estimate
    reversed: Estimate
    kappa: float | None


def side_bias(rows: pd.DataFrame, *, cluster: str = "item") -> SideBias:
    """Share of the left side among untied first votes: no bias is one half.

    Sides must have been counterbalanced; then a better system wins on the left as often as on the
    right. The test is `twoway.p_value`, which knows that votes of one rater hang together.

    Args:
        rows: ratings of one criterion.
        cluster: the column that names the dialogue.
    """
    chosen = rows[~rows["attention"] & (rows["repeat"] == 0)]
    chosen = chosen[chosen["choice"].isin(["left", "right"])]
    left = (chosen["choice"] == "left").to_numpy(dtype=float)
    sums, counts = _cells(chosen, left, cluster)
    found = share(sums, counts, nothing="no untied votes")
    p = finite(twoway.p_value(twoway.mean(sums, counts), 0.5)) if len(chosen) else None
    return SideBias(found, p)


def consistency(rows: pd.DataFrame, *, cluster: str = "item") -> Consistency:
    """Compare each repeated vote with the same rater's first on the same pair and criterion.

    kappa = (p_o - p_e) / (1 - p_e) of first against repeated outcomes (Cohen 1960, Educational and
    Psychological Measurement 20: 37-46).

    Args:
        rows: ratings of one criterion and pair with `outcome` (see `panel.votes_on`).
        cluster: the column that names the dialogue.
    """
    key = ["study", "rater", "item"]
    first = rows[rows["repeat"] == 0].drop_duplicates(key)
    both = rows[rows["repeat"] > 0].merge(first[[*key, "outcome"]], on=key, suffixes=("", "_first"))
    again, before = both["outcome"].to_numpy(dtype=str), both["outcome_first"].to_numpy(dtype=str)
    sides = np.isin(again, ["win", "loss"]) & np.isin(before, ["win", "loss"])
    nothing = "no repeated items"
    return Consistency(
        share(*_cells(both, (again == before).astype(float), cluster), nothing=nothing),
        share(*_cells(both, (sides & (again != before)).astype(float), cluster), nothing=nothing),
        cohens_kappa(before, again),
    )


def cohens_kappa(one: np.ndarray, other: np.ndarray) -> float | None:
    """Cohen's kappa of two lists of categories; None where both hold one category only."""
    if not len(one):
        return None
    observed = float((one == other).mean())
    expected = sum(
        float((one == value).mean() * (other == value).mean())
        for value in sorted({*one.tolist(), *other.tolist()})
    )
    return None if expected > 1 - 1e-12 else (observed - expected) / (1 - expected)


def _cells(rows: pd.DataFrame, values: np.ndarray, cluster: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values and counts by dialogue and rater."""
    import pandas as pd

    dialogue, dialogues = pd.factorize(rows[cluster], sort=True)
    rater, raters = pd.factorize(rows["rater"], sort=True)
    sums = np.zeros((len(dialogues), len(raters)))
    counts = np.zeros_like(sums)
    np.add.at(sums, (dialogue, rater), values)
    np.add.at(counts, (dialogue, rater), 1.0)
    return sums, counts
