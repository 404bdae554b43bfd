"""The sign test."""

from __future__ import annotations

import math


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p of the sign test (Dixon and Mood, 1946)."""
    n, most = wins + losses, max(wins, losses)
    tail = sum(math.comb(n, k) for k in range(most, n + 1))
    return min(1.0, 2 * tail / 2**n)
