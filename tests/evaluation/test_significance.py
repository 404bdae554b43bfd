"""Exact McNemar and Holm against hand-made numbers and another implementation."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from evaluation.comparison.significance import exact_mcnemar, holm


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),  # 2 * 1/2
        (0, 5, 2 / 32),
        (1, 4, 2 * (1 + 5) / 32),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (3, 3, 1.0),  # the sum passes a half, so p is cut at 1
        (12, 12, 1.0),
    ],
)
def test_mcnemar_by_hand(gained: int, lost: int, p: float) -> None:
    assert exact_mcnemar(gained, lost) == pytest.approx(p, rel=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_sum_of_binomials_and_knows_no_side(gained: int, lost: int) -> None:
    n, least = gained + lost, min(gained, lost)
    exact = min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)
    assert exact_mcnemar(gained, lost) == pytest.approx(exact, rel=1e-9)
    assert exact_mcnemar(gained, lost) == exact_mcnemar(lost, gained)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels(both: int, gained: int, lost: int, none: int) -> None:
    if gained + lost:
        theirs = mcnemar([[both, lost], [gained, none]], exact=True).pvalue
        assert exact_mcnemar(gained, lost) == pytest.approx(theirs, rel=1e-9)


def test_mcnemar_of_a_whole_benchmark_does_not_overflow() -> None:
    assert 0 < exact_mcnemar(6900, 7142) < 0.05
    assert exact_mcnemar(0, 14_042) == 0.0


def test_holm_by_hand() -> None:
    # 3 * 0.01, then 2 * 0.03 = 0.06, then 0.04, which may not be less than the one before.
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []
    assert holm([0.7, 0.6]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(ps: list[float]) -> None:
    theirs = multipletests(ps, method="holm")[1]
    assert holm(ps) == pytest.approx(list(theirs), abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_order_and_never_lowers(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(after >= before for before, after in zip(ps, adjusted, strict=True))
    by_p = [adjusted[n] for n in sorted(range(len(ps)), key=ps.__getitem__)]
    assert by_p == sorted(by_p)
