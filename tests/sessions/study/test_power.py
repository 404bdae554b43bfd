"""Power by simulation, against what can be calculated."""

from __future__ import annotations

import pytest
from scipy import stats

from duo.errors import BadInput
from sessions.study.power import Effect, power, table
from sessions.study.signs import sign_test

CERTAIN = {"ties": 0.0, "dialogue_sd": 0.0, "rater_sd": 0.0}


def exact_power(n: int, preference: float, level: float) -> float:
    """One rater, no ties, no clusters: the wins are binomial."""
    rejects = [w for w in range(n + 1) if stats.binomtest(w, n).pvalue <= level]
    return float(sum(stats.binom.pmf(w, n, preference) for w in rejects))


@pytest.mark.parametrize("preference", [0.5, 0.6, 0.7, 0.9])
@pytest.mark.parametrize("dialogues", [5, 20, 40])
def test_without_clusters_it_is_the_binomial_one(preference: float, dialogues: int) -> None:
    found = power(Effect(preference, **CERTAIN), dialogues=dialogues, raters=1, simulations=4_000)
    expected = exact_power(dialogues, preference, 0.05)
    assert found.power == pytest.approx(expected, abs=4 * max(found.error, 0.002))


def test_forty_untied_pairs() -> None:
    """Well known: 27 wins of 40 are needed, and 70 % preference is found with 70 % power."""
    assert sign_test(27, 13) <= 0.05 < sign_test(26, 14)
    found = power(Effect(0.7, **CERTAIN), dialogues=40, raters=1, simulations=10_000)
    assert found.power == pytest.approx(0.70, abs=0.02)


def test_more_of_everything_helps_and_clusters_do_not() -> None:
    def chance(dialogues: int, raters: int, **more: float) -> float:
        return power(Effect(0.65, **more), dialogues=dialogues, raters=raters).power

    assert chance(20, 3) < chance(40, 3) < chance(80, 3)
    assert chance(40, 1) < chance(40, 3) < chance(40, 9)
    assert chance(40, 9, dialogue_sd=2.0) < chance(40, 9, dialogue_sd=0.0)
    assert chance(40, 3, ties=0.8) < chance(40, 3, ties=0.0)


def test_clusters_of_dialogues_do_not_raise_false_alarms() -> None:
    found = power(Effect(0.5, dialogue_sd=2.0, rater_sd=0.0), dialogues=30, raters=5)
    assert found.power <= 0.05 + 3 * found.error


def test_the_preference_is_that_of_all_votes() -> None:
    """mu is set such that the share of votes is as asked, whatever the spreads."""
    import numpy as np

    effect = Effect(0.7, ties=0.0, dialogue_sd=1.5, rater_sd=0.8)
    draw = np.random.default_rng(0)
    n = 200_000
    spread = draw.normal(size=(3, n)) * [[1.0], [1.5], [0.8]]
    assert (effect.mean + spread.sum(axis=0) > 0).mean() == pytest.approx(0.7, abs=0.005)


def test_the_same_seed_gives_the_same_table() -> None:
    asked = {"dialogues": [10, 20], "raters": [1, 3], "simulations": 200}
    assert table(Effect(0.7), **asked, seed=1) == table(Effect(0.7), **asked, seed=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [{"preference": 0.0}, {"preference": 1.5}, {"ties": 1.0}, {"rater_sd": -1.0},
     {"dialogue_sd": float("nan")}],
)  # fmt: skip
def test_effects_that_cannot_be(change: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(change))):
        Effect(**({"preference": 0.7} | change))


@pytest.mark.parametrize("n", [0, 1, 7, 40])
def test_the_sign_test_is_scipys(n: int) -> None:
    for wins in range(n + 1):
        expected = stats.binomtest(wins, n).pvalue if n else 1.0
        assert sign_test(wins, n - wins) == pytest.approx(expected)
