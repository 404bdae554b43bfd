"""Simulated studies: the model, the power against what can be calculated and against the report."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from typer.testing import CliRunner

from duo.cli import app
from duo.errors import BadInput
from reports.statistics.analysis import analyse
from reports.statistics.clustered import preference_tests, sign_test
from reports.statistics.ratings import OUTCOMES
from reports.statistics.simulate import (
    Crowd,
    Design,
    Effect,
    Power,
    Voting,
    draw,
    power,
    power_table,
    ranks,
    truth,
)
from tests.reports.rated import ratings, rows_of

CERTAIN = {"ties": 0.0, "dialogue_sd": 0.0, "rater_sd": 0.0}


def test_the_truth_is_what_many_votes_find() -> None:
    design = Design(dialogues=20, raters=20, votes_each=20, preference=0.7, side=0.5)
    votes = draw(design, 400, np.random.default_rng(0)).sum((0, 1, 2))
    shares, true = votes / votes.sum(), truth(design)
    found = dict(zip(OUTCOMES, shares, strict=True))
    for name, share in found.items():
        assert share == pytest.approx(true[name], abs=0.012)
    assert sum(true[name] for name in found) == pytest.approx(1)
    assert true["net"] == pytest.approx(true["win"] - true["loss"])


def test_raters_share_the_work_and_votes_go_missing() -> None:
    votes = draw(Design(40, 8, 3, missing=0), 5, np.random.default_rng(0)).sum(-1)
    assert (votes.sum(-1) == 3).all()
    assert (votes.sum(1) == 15).all()
    fewer = draw(Design(40, 8, 3, missing=0.3), 200, np.random.default_rng(0))
    assert fewer.sum() / (200 * 120) == pytest.approx(0.7, abs=0.02)


@given(arrays(float, (7, 3), elements=st.floats(-5, 5)), st.floats(0, 2))
def test_a_ranking_ties_what_is_liked_nearly_the_same(likings: np.ndarray, within: float) -> None:
    found = ranks(likings, np.full(len(likings), within))
    for liked, rank in zip(likings, found, strict=True):
        assert set(rank) == set(range(rank.max() + 1))
        order = np.argsort(-liked)
        for better, worse in pairwise(order):
            apart = liked[better] - liked[worse] > within
            assert rank[worse] - rank[better] == apart


def test_any_two_of_three_systems_are_drawn_as_a_pair_is() -> None:
    """Pages of three systems (`duo study simulate`) and pairs (power, bench) are one model."""
    voting = Voting(side=0.0, side_sd=0.0, tie_sd=0.0)
    crowd = Crowd.draw(voting, (0.7, 0.0, -1.0), (4, 50, 200), np.random.default_rng(1))
    rng = np.random.default_rng(2)
    likings = crowd.likings + rng.gumbel(size=crowd.likings.shape)
    gap = likings[..., 0] - likings[..., 1]
    true = truth(Design(preference=0.7, side=0.0, side_sd=0.0, tie_sd=0.0))
    assert (gap > voting.tie).mean() == pytest.approx(true["win"], abs=0.02)
    assert (gap < -voting.tie).mean() == pytest.approx(true["loss"], abs=0.02)


@pytest.mark.parametrize("preference", [0.02, 0.5, 0.65, 0.95])
@pytest.mark.parametrize("ties", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("spread", [0.0, 0.5, 5.0])
def test_an_effect_has_the_shares_that_were_asked_for(
    preference: float, ties: float, spread: float
) -> None:
    design = Effect(preference, ties, spread, spread / 2).design(30, 4)
    true = truth(design)
    assert true["untied"] == pytest.approx(preference, abs=1e-6)
    assert true["tie"] + true["both_bad"] == pytest.approx(ties, abs=1e-6)
    assert (design.dialogues, design.raters, design.votes_each) == (30, 4, 4)


@pytest.mark.parametrize("seed", range(3))
def test_the_p_of_power_is_the_p_by_which_the_report_claims(seed: int) -> None:
    """The same simulated studies through `duo report statistics`, as five criteria of one study."""
    design = Effect(0.7).design(25, 4)
    votes = draw(design, 5, np.random.default_rng(seed))
    ours = preference_tests(votes)
    result = analyse(ratings(rows_of(votes, criteria=tuple("abcde"))), resamples=20)
    reported = result.kept.comparisons
    for name in ("sign", "two_way", "preference"):
        ps = [getattr(one, name).p for one in reported]
        np.testing.assert_allclose(ours[name], ps, rtol=1e-8)
    # What `power` divides the level by is the first step of Holm's correction.
    smallest = min(reported, key=lambda one: one.preference.p or 0)
    assert smallest.preference.p_holm == pytest.approx(min(1, 5 * ours["preference"].min()))


def test_power_counts_the_studies_that_the_report_would_claim() -> None:
    effect, claimed = Effect(0.75), 0
    found = power(effect, dialogues=15, raters=3, simulations=40, seed=3)
    votes = draw(effect.design(15, 3), 40, np.random.default_rng([3, 15, 3]))
    for study in votes:
        result = analyse(ratings(rows_of(study[None])), resamples=20)
        (one,) = result.kept.comparisons
        claimed += one.preference.p is not None and one.preference.p <= 0.05
    assert 0 < claimed < 40
    assert found.power == claimed / 40


def test_five_criteria_six_raters_eighty_dialogues() -> None:
    """The sign test alone would find 87 % and 69 %."""
    found = power(Effect(0.65), dialogues=80, raters=6, comparisons=5, simulations=4_000)
    assert found.power == pytest.approx(0.475, abs=4 * found.error)
    fewer = power(Effect(0.65), dialogues=80, raters=3, comparisons=5, simulations=4_000)
    assert fewer.power == pytest.approx(0.16, abs=4 * fewer.error)


@pytest.mark.parametrize("preference", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("dialogues", [5, 20, 40])
def test_without_clusters_it_can_be_calculated(preference: float, dialogues: int) -> None:
    """One rater, no ties, no clusters, no sides: the wins are binomial."""
    found = power(
        Effect(preference, **CERTAIN), dialogues=dialogues, raters=1, simulations=4_000
    )  # fmt: skip
    wins = np.arange(dialogues + 1)
    votes = np.zeros((dialogues + 1, dialogues, 1, 4))
    for study, won in enumerate(wins):
        votes[study, :won, 0, 0] = 1
        votes[study, won:, 0, 3] = 1
    claimed = preference_tests(votes)["preference"] <= 0.05
    expected = stats.binom.pmf(wins, dialogues, preference)[claimed].sum()
    assert found.power == pytest.approx(expected, abs=4 * max(found.error, 0.003))
    assert found.error == pytest.approx((found.power * (1 - found.power) / 4_000) ** 0.5)


def test_forty_untied_pairs() -> None:
    """Well known: 27 wins of 40 are needed, and 70 % preference is found with 70 % power."""
    assert sign_test(27, 13) <= 0.05 < sign_test(26, 14)
    found = power(Effect(0.7, **CERTAIN), dialogues=40, raters=1, simulations=10_000)
    assert found.power == pytest.approx(0.70, abs=0.02)


def test_more_of_everything_helps_and_clusters_do_not() -> None:
    def chance(dialogues: int, raters: int, **more: float) -> float:
        return power(Effect(0.65, **more), dialogues=dialogues, raters=raters).power

    assert chance(20, 3) < chance(40, 3) < chance(80, 3)
    assert chance(40, 3) < chance(40, 9)
    assert chance(40, 9, dialogue_sd=2.0) < chance(40, 9, dialogue_sd=0.0)
    assert chance(40, 9, rater_sd=1.0) < chance(40, 9, rater_sd=0.0)
    assert chance(40, 3, ties=0.8) < chance(40, 3, ties=0.0)


def test_clusters_do_not_raise_false_alarms() -> None:
    for spread in ({"dialogue_sd": 2.0, "rater_sd": 0.0}, {"dialogue_sd": 0.5, "rater_sd": 0.6}):
        found = power(Effect(0.5, **spread), dialogues=30, raters=6)
        assert found.power <= 0.05 + 3 * found.error


def test_the_same_seed_gives_the_same_power_whatever_the_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(seed: int) -> Power:
        return power(Effect(0.7), dialogues=10, raters=3, simulations=200, seed=seed)

    assert found(1) == found(1)
    done: list[int] = []
    monkeypatch.setattr("reports.statistics.simulate._BATCH", 30 * 64)
    power(Effect(0.7), dialogues=10, raters=3, simulations=200, on_done=done.append)
    assert (sum(done), max(done)) == (200, 64)


@pytest.mark.parametrize(
    "change",
    [{"preference": 0.0}, {"preference": 1.5}, {"ties": 1.0}, {"rater_sd": -1.0},
     {"dialogue_sd": float("nan")}, {"rater_sd": 1e9}],
)  # fmt: skip
def test_effects_that_cannot_be(change: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(change))):
        Effect(**({"preference": 0.7} | change))


def test_the_table_names_the_smallest_studies_that_are_enough() -> None:
    found = [
        Power(n, k, chance, 0.01)
        for n, k, chance in ((20, 3, 0.4), (40, 3, 0.81), (20, 6, 0.85), (40, 6, 0.9))
    ]
    table = power_table(Effect(0.7), found, level=0.05, criteria=5)
    assert table.texts[0] == ["3", "40 ±2.0", "81 ±2.0"]
    assert "80 % (raters x dialogues): 3 x 40, 6 x 20" in table.notes[0]
    assert "0.05 / 5 criteria" in table.notes[1]
    alone = power_table(Effect(0.7), [Power(20, 1, 0.4, 0.01)], level=0.05, criteria=5)
    assert "about dialogues only" in alone.notes[2]
    assert len(table.notes) == 2


def test_the_command_says_what_the_reported_test_finds() -> None:
    done = CliRunner().invoke(
        app,
        ["study", "power", "--preference", "0.65", "--raters", "6", "--dialogues", "80"],
    )
    assert done.exit_code == 0, done.output
    (line,) = [line.split() for line in done.stdout.splitlines() if line.startswith("6 ")]
    assert 42 <= float(line[1]) <= 53
    assert line[2].startswith("±2")
    assert "duo report statistics" in " ".join(done.stdout.split())
