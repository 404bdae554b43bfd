"""Tests and effect sizes against scipy, statsmodels and worked examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, wilcoxon
from statsmodels.stats.multitest import multipletests

from reports.statistics.effects import cohens_h, effects, rank_biserial
from reports.statistics.estimate import share
from reports.statistics.panel import scored
from reports.statistics.significance import holm, majorities, sign_test


@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_test_is_the_exact_binomial_test(wins: int, losses: int) -> None:
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)


def test_forty_untied_pairs_need_27_wins() -> None:
    assert sign_test(27, 13) < 0.05 < sign_test(26, 14)


@given(st.lists(st.none() | st.floats(0, 1), max_size=12))
def test_holm_is_that_of_statsmodels_with_gaps(ps: list[float | None]) -> None:
    there = [p for p in ps if p is not None]
    found = holm(ps)
    assert [p is None for p in found] == [p is None for p in ps]
    if there:
        expected = multipletests(there, method="holm")[1]
        np.testing.assert_allclose([p for p in found if p is not None], expected)


def test_holm_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_majorities_count_dialogues_and_not_votes() -> None:
    votes = np.zeros((4, 3, 4))
    votes[0, :, 0] = 1  # three wins
    votes[1, 0, 3] = votes[1, 1, 1] = votes[1, 2, 2] = 1  # loss, tie, both bad
    votes[2, 0, 0] = votes[2, 1, 3] = 1  # one each; nobody rated the last
    assert tuple(map(int, majorities(votes))) == (1, 1, 1)


def test_cohens_h_from_his_table_of_arcsines() -> None:
    # Cohen 1988, table 6.2.2: phi(.65) = 1.875, phi(.45) = 1.471
    assert cohens_h(0.65, 0.45) == pytest.approx(1.875 - 1.471, abs=1e-3)
    assert cohens_h(0.45, 0.65) == -cohens_h(0.65, 0.45)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_rank_biserial_is_made_of_wilcoxons_rank_sums(values: list[int]) -> None:
    found = rank_biserial(np.array(values) / 3)
    if not any(values):
        assert found is None
        return
    positive = wilcoxon([v for v in values if v], alternative="greater", method="approx").statistic
    n = sum(map(bool, values))
    assert found == pytest.approx(2 * positive / (n * (n + 1) / 2) - 1)


def test_odds_of_a_system_that_never_loses_have_no_upper_end() -> None:
    votes = np.zeros((5, 2, 4))
    votes[..., 0] = 1
    found = effects(votes, share(*scored(votes, "untied")))
    assert found.odds.value is None
    assert found.odds.high is None
    assert found.odds.low is not None
    assert "no upper end" in found.odds.note
    assert found.rank_biserial == 1
