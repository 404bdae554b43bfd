"""Averages over items and strata, their standard errors and their bootstrap intervals."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluation.benchmarks.averages import Key, interval, mean, standard_error, stratify
from tests.evaluation.benchmarks.files import scored


@given(scored)
def test_micro_average_is_the_plain_mean_and_its_standard_error(values: dict[Key, float]) -> None:
    strata, scores = stratify(values, macro=False), list(values.values())
    assert mean(strata) == pytest.approx(np.mean(scores))
    assert standard_error(strata) == pytest.approx(stats.sem(scores))


@given(scored)
def test_macro_average_is_the_mean_of_the_subsets_means(values: dict[Key, float]) -> None:
    subsets = {subset for subset, _ in values}
    means = [np.mean([v for (s, _), v in values.items() if s == subset]) for subset in subsets]
    assert mean(stratify(values, macro=True)) == pytest.approx(np.mean(means))


def test_macro_standard_error_by_hand() -> None:
    values = {("a", "1"): 1.0, ("a", "2"): 0.0, ("b", "1"): 1.0, ("b", "2"): 0.0, ("b", "3"): 0.0}
    # Variances 1/2 and 1/3 over n = 2 and 3, half weight each: (1/4)(1/4 + 1/9) = 13/144.
    assert standard_error(stratify(values, macro=True)) == pytest.approx(math.sqrt(13) / 12)


def test_subsets_of_one_item_are_taken_together() -> None:
    values = {(subset, "1"): score for subset, score in zip("abcd", (1.0, 0, 0, 1), strict=True)}
    strata = stratify(values, macro=True)
    assert len(strata) == 1
    assert standard_error(strata) == pytest.approx(stats.sem([1, 0, 0, 1]))
    assert standard_error(stratify({("a", "1"): 1.0}, macro=True)) is None


def test_the_interval_is_that_of_an_independent_bootstrap() -> None:
    generator = np.random.default_rng(3)
    values = generator.choice([-1.0, 0.0, 1.0], size=400, p=[0.05, 0.85, 0.1])
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9999, rng=generator
    ).confidence_interval
    low, high = interval([(1.0, values)])
    assert low == pytest.approx(theirs.low, abs=0.006)
    assert high == pytest.approx(theirs.high, abs=0.006)


def test_small_strata_keep_their_spread() -> None:
    """Half the interval is 1.96 standard errors even where every subset has two items."""
    generator = np.random.default_rng(5)
    values = {(str(s), n): generator.random() for s, n in product(range(60), "ab")}
    strata = stratify(values, macro=True)
    low, high = interval(strata)
    stderr = standard_error(strata)
    assert stderr
    assert (high - low) / 2 == pytest.approx(1.96 * stderr, rel=0.05)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """300 studies of 200 items each with a known difference of 5 points."""
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        draws = generator.choice([-1.0, 0.0, 1.0], size=200, p=[0.10, 0.75, 0.15])
        low, high = interval([(1.0, draws)], resamples=1000)
        covered += low <= 0.05 <= high
    assert 0.92 <= covered / 300 <= 0.98


@settings(max_examples=30)
@given(scored, st.integers(1, 4))
def test_the_same_seed_gives_the_same_interval(values: dict[Key, float], seed: int) -> None:
    strata = stratify({key: n + value for n, (key, value) in enumerate(values.items())}, macro=True)
    assert interval(strata, seed=seed) == interval(strata, seed=seed)
    low, high = interval(strata, seed=seed)
    assert low <= high
