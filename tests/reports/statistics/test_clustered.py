"""Clustered means, tests and effect sizes against statsmodels, scipy and worked examples."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest, wilcoxon

from reports.statistics import clustered
from reports.statistics.analysis import effects, rank_biserial
from reports.statistics.clustered import estimate, majorities, sign_test
from reports.statistics.ratings import ESTIMANDS, OUTCOMES, scored
from reports.statistics.simulate import Design, draw

_CODES = st.tuples(st.integers(1, 8), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(-1, len(OUTCOMES) - 1))
)
votes = _CODES.map(
    lambda codes: np.stack([codes == at for at in range(len(OUTCOMES))], -1).astype(float)
)


def study(seed: int, design: Design | None = None) -> np.ndarray:
    return draw(design or Design(preference=0.5), 1, np.random.default_rng(seed))[0]


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_of_the_variance_are_statsmodels_clustered_ones(seed: int) -> None:
    sums, counts = scored(study(seed), "net")
    dialogue, rater = np.nonzero(counts)
    y = sums[dialogue, rater]

    def variance(**kinds: object) -> float:
        fitted = sm.OLS(y, np.ones_like(y)).fit(**kinds)
        return float(fitted.cov_params()[0, 0])

    by_dialogue = variance(cov_type="cluster", cov_kwds={"groups": dialogue})
    by_rater = variance(cov_type="cluster", cov_kwds={"groups": rater})
    by_vote = variance(cov_type="HC0")
    of = clustered.mean(sums, counts)
    assert of.value == pytest.approx(y.mean())
    assert of.variance == pytest.approx(max(by_dialogue + by_rater - by_vote, by_vote))
    dialogues, raters = len(set(dialogue)), len(set(rater))
    spread = by_dialogue**2 / (dialogues - 1) + by_rater**2 / (raters - 1)
    assert of.df == pytest.approx(max(of.variance**2 / spread, 1))


def test_one_rater_leaves_the_ordinary_standard_error_of_a_mean() -> None:
    sums, counts = scored(study(0, Design(raters=1, votes_each=1, missing=0)), "net")
    of = clustered.mean(sums, counts)
    assert of.variance == pytest.approx(sums[:, 0].var(ddof=1) / len(sums))
    assert of.df == pytest.approx(len(sums) - 1)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (20, 20)])
def test_all_alike_is_bounded_as_clopper_and_pearson_do(hits: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    counts = np.ones((n, 3))
    low, high = clustered.share_interval(clustered.mean(counts * (hits > 0), counts))
    assert (low, high) == pytest.approx(proportion_confint(hits, n, method="beta"))


@given(votes)
def test_intervals_hold_their_value_and_stay_in_range(study: np.ndarray) -> None:
    for what in ESTIMANDS:
        of = clustered.mean(*scored(study, what))
        least = -1 if what == "net" else 0
        interval = clustered.balance_interval if what == "net" else clustered.share_interval
        low, high = interval(of)
        if np.isfinite(low):
            assert least <= low <= of.value + 1e-12
            assert of.value - 1e-12 <= high <= 1


@given(votes, st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(study: np.ndarray, random: object) -> None:
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    turned = study[rng.permutation(len(study))][:, rng.permutation(study.shape[1])]
    for what in ESTIMANDS:
        one, other = (clustered.mean(*scored(these, what)) for these in (study, turned))
        for left, right in zip(vars(one).values(), vars(other).values(), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)


@given(votes)
def test_swapping_the_systems_turns_everything_round(study: np.ndarray) -> None:
    swapped = study[..., [3, 1, 2, 0]]
    one, other = (clustered.mean(*scored(these, "net")) for these in (study, swapped))
    np.testing.assert_allclose(one.value, -other.value)
    np.testing.assert_allclose(clustered.p_value(one), clustered.p_value(other), rtol=1e-9)
    low, high = clustered.balance_interval(one)
    np.testing.assert_allclose(clustered.balance_interval(other), (-high, -low), atol=1e-12)
    win = clustered.share_interval(clustered.mean(*scored(study, "win")))
    np.testing.assert_allclose(
        win, clustered.share_interval(clustered.mean(*scored(swapped, "loss")))
    )
    low, high = clustered.share_interval(clustered.mean(*scored(study, "untied")))
    turned = clustered.share_interval(clustered.mean(*scored(swapped, "untied")))
    np.testing.assert_allclose(turned, (1 - high, 1 - low), atol=1e-12)


def test_many_studies_at_once_are_each_study_alone() -> None:
    many = draw(Design(), 7, np.random.default_rng(3))
    together = clustered.mean(*scored(many, "win"))
    for at, one in enumerate(many):
        alone = clustered.mean(*scored(one, "win"))
        for left, right in zip(vars(together).values(), vars(alone).values(), strict=True):
            assert left[at] == pytest.approx(float(right))


def test_the_interval_and_the_test_agree() -> None:
    for seed in range(30):
        of = clustered.mean(*scored(study(seed), "net"))
        low, high = clustered.balance_interval(of)
        assert (clustered.p_value(of) <= 0.05) == (low > 0 or high < 0)


def test_the_variance_is_the_limit_of_three_bootstraps() -> None:
    """Over dialogues, plus over raters, minus over votes, but for I/(I-1) and R/(R-1)."""
    sums, counts = scored(study(2, Design(60, 12, 6)), "net")
    rng = np.random.default_rng(0)
    n, many = int(counts.sum()), 20_000

    def variance(weights: np.ndarray) -> float:
        total, votes = (np.einsum("bir,ir->b", weights, of) for of in (sums, counts))
        return float((total / votes).var())

    dialogues, raters = counts.shape
    parts = [0.0, 0.0, 0.0]
    for _ in range(10):
        some = many // 10
        by_dialogue = rng.multinomial(dialogues, np.full(dialogues, 1 / dialogues), some)
        by_rater = rng.multinomial(raters, np.full(raters, 1 / raters), some)
        by_vote = np.zeros((some, *counts.shape))
        by_vote[:, counts > 0] = rng.multinomial(n, np.full(n, 1 / n), some)
        ones = np.ones((some, dialogues, raters))
        parts[0] += variance(by_dialogue[:, :, None] * ones) / 10
        parts[1] += variance(by_rater[:, None, :] * ones) / 10
        parts[2] += variance(by_vote) / 10
    expected = parts[0] * dialogues / (dialogues - 1) + parts[1] * raters / (raters - 1) - parts[2]
    assert clustered.mean(sums, counts).variance == pytest.approx(expected, rel=0.05)


@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_test_is_the_exact_binomial_test(wins: int, losses: int) -> None:
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)


def test_forty_untied_pairs_need_27_wins() -> None:
    assert sign_test(27, 13) < 0.05 < sign_test(26, 14)


def test_majorities_count_dialogues_and_not_votes() -> None:
    votes = np.zeros((4, 3, 4))
    votes[0, :, 0] = 1  # three wins
    votes[1, 0, 3] = votes[1, 1, 1] = votes[1, 2, 2] = 1  # loss, tie, both bad
    votes[2, 0, 0] = votes[2, 1, 3] = 1  # one each; nobody rated the last
    assert tuple(map(int, majorities(votes))) == (1, 1, 1)


def test_cohens_h_from_his_table_of_arcsines() -> None:
    # Cohen 1988, table 6.2.2: phi(.65) = 1.875, phi(.50) = 1.571
    votes = np.zeros((20, 1, 4))
    votes[:13, :, 0] = votes[13:, :, 3] = 1
    found, turned = (
        effects(these, estimate(*scored(these, "untied"))).cohens_h
        for these in (votes, votes[..., ::-1])
    )
    assert found == pytest.approx(1.875 - 1.571, abs=1e-3)
    assert turned == pytest.approx(-found)


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
    found = effects(votes, estimate(*scored(votes, "untied")))
    assert found.odds.value is None
    assert found.odds.high is None
    assert found.odds.low is not None
    assert "no upper end" in found.odds.note
    assert found.rank_biserial == 1
