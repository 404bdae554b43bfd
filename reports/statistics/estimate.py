"""One estimated number as results hold it: plain values, and words where there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reports.statistics import twoway


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


def share(sums: np.ndarray, counts: np.ndarray, nothing: str = "no votes") -> Estimate:
    """A share with `twoway.share_interval`.

    Args:
        sums, counts: one study's, as for `twoway.mean`.
        nothing: the note where there is nothing to take a share of.
    """
    of = twoway.mean(sums, counts)
    return _estimate(of, counts, twoway.share_interval(of), nothing)


def balance(sums: np.ndarray, counts: np.ndarray, nothing: str = "no votes") -> Estimate:
    """A mean of values between -1 and 1 with `twoway.balance_interval`; as for `share`."""
    of = twoway.mean(sums, counts)
    return _estimate(of, counts, twoway.balance_interval(of), nothing)


def finite(value: float | np.ndarray) -> float | None:
    """A number for a result: None in place of NaN and infinity."""
    number = float(value)
    return number if math.isfinite(number) else None


def clusters_note(dialogues: int, raters: int) -> str:
    """What an interval cannot know for want of clusters."""
    if dialogues < 2 and raters < 2:
        return "one dialogue and one rater: no interval"
    if raters < 2:
        return "one rater: the interval is about dialogues only"
    if dialogues < 2:
        return "one dialogue: the interval is about raters only"
    if raters < 4:
        return f"{raters} raters: the interval is rough"
    return ""


def _estimate(
    of: twoway.Clustered,
    counts: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray],
    nothing: str,
) -> Estimate:
    n = int(counts.sum())
    if not n:
        return Estimate(None, None, None, 0, nothing)
    note = clusters_note(int(of.dialogues), int(of.raters))
    if max(int(of.dialogues), int(of.raters)) < 2:
        return Estimate(finite(of.value), None, None, n, note)
    low, high = interval
    return Estimate(finite(of.value), finite(low), finite(high), n, note)
