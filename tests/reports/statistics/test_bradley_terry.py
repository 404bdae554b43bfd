"""Scores against closed forms, a published example and a general optimiser."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import t

from reports.statistics.bradley_terry import bradley_terry, pairs
from reports.statistics.clustered import mean
from reports.statistics.ratings import scored
from reports.statistics.simulate import Design, draw

TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
# Agresti, Categorical Data Analysis: baseball 1987; games that the row won against the column.
WON = (
    (0, 7, 9, 7, 7, 9, 11), (6, 0, 7, 5, 11, 9, 9), (4, 6, 0, 7, 7, 8, 12), (6, 8, 6, 0, 6, 7, 10),
    (6, 2, 6, 7, 0, 7, 12), (4, 4, 5, 6, 6, 0, 6), (2, 4, 1, 3, 1, 7, 0),
)  # fmt: skip
PUBLISHED = (1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_agrestis_baseball_league() -> None:
    votes = np.zeros((13, 1, 21, 3))
    for at, (i, j) in enumerate(combinations(range(7), 2)):
        votes[: WON[i][j], 0, at, 0] = 1
        votes[WON[i][j] :, 0, at, 2] = 1
    found = bradley_terry(TEAMS, votes, rng(), 20)
    scores = {one.system: one.score.value for one in found.standings}
    last = scores["Baltimore"]
    assert last is not None
    differences = [value - last for team in TEAMS if (value := scores[team]) is not None]
    assert differences == pytest.approx(PUBLISHED, abs=0.006)
    assert [one.rank for one in found.standings] == list(range(1, 8))
    assert tuple(one.system for one in found.standings) == TEAMS
    assert found.tie == 0


@pytest.mark.parametrize("seed", range(4))
def test_two_systems_have_a_closed_form(seed: int) -> None:
    votes = draw(Design(preference=0.7), 1, np.random.default_rng(seed))[0]
    win, tie, bad, loss = np.moveaxis(votes, -1, 0)
    of_pair = np.stack([win, tie + bad, loss], -1)[:, :, None]
    found = bradley_terry(("a", "b"), of_pair, rng(), 50)
    wins, ties, losses = of_pair.sum((0, 1, 2))
    by_name = {one.system: one.score for one in found.standings}
    assert by_name["a"].value == pytest.approx(np.log(wins / losses) / 2)
    assert by_name["b"].value == pytest.approx(-np.log(wins / losses) / 2)
    assert found.tie == pytest.approx(ties / np.sqrt(wins * losses))
    # The sandwich is the delta method's variance of the untied share's log odds, but for the
    # correction of small samples: dialogues with ties alone count here.
    untied = mean(*scored(votes, "untied"))
    error = np.sqrt(untied.variance) / (untied.value * (1 - untied.value)) / 2
    assert by_name["a"].low is not None
    half = t.ppf(0.975, untied.df) * error
    assert by_name["a"].value - by_name["a"].low == pytest.approx(half, rel=0.03)


def three(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    strengths = (0.6, 0.0, -0.4)
    votes = [
        draw(Design(30, 8, 4, preference=strengths[i] - strengths[j]), 1, generator)[0]
        for i, j in pairs(3)
    ]
    return np.stack([np.stack([v[..., 0], v[..., 1] + v[..., 2], v[..., 3]], -1) for v in votes], 2)


@pytest.mark.parametrize("seed", range(3))
def test_three_systems_with_ties_maximise_davidsons_likelihood(seed: int) -> None:
    votes = three(seed)
    total = votes.sum((0, 1))

    def loss(of: np.ndarray) -> float:
        strength, nu = np.exp([of[0], of[1], -of[0] - of[1]]), np.exp(of[2])
        value = 0.0
        for (i, j), (win, tie, lose) in zip(pairs(3), total, strict=True):
            both = nu * np.sqrt(strength[i] * strength[j])
            whole = strength[i] + strength[j] + both
            value -= win * np.log(strength[i] / whole) + lose * np.log(strength[j] / whole)
            value -= tie * np.log(both / whole)
        return value

    best = minimize(loss, np.zeros(3), method="BFGS").x
    found = bradley_terry(("a", "b", "c"), votes, rng(), 50)
    by_name = {one.system: one.score.value for one in found.standings}
    assert [by_name["a"], by_name["b"]] == pytest.approx(best[:2], abs=1e-4)
    assert found.tie == pytest.approx(np.exp(best[2]), abs=1e-3)
    assert sum(filter(None, by_name.values())) == pytest.approx(0, abs=1e-9)
    assert sum(one.first or 0 for one in found.standings) == pytest.approx(1)
    for one in found.standings:
        assert one.ranks[0] <= one.rank <= one.ranks[1]


def test_the_order_of_systems_does_not_matter() -> None:
    votes = three(1)
    one = bradley_terry(("a", "b", "c"), votes, rng(), 0)
    # c, b, a: pairs (c, b), (c, a), (b, a) are the old (b, c), (a, c), (a, b) turned round
    turned = bradley_terry(("c", "b", "a"), votes[:, :, [2, 1, 0]][..., ::-1], rng(), 0)
    for left, right in zip(one.standings, turned.standings, strict=True):
        assert left.system == right.system
        assert left.ranks == right.ranks
        assert (left.score.value, left.score.low) == pytest.approx(
            (right.score.value, right.score.low)
        )


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_an_exact_circle_is_a_third_each_whatever_the_names(names: tuple[str, ...]) -> None:
    votes = np.zeros((6, 4, 3, 3))
    votes[:, :, 0, 0] = votes[:, :, 2, 0] = 1  # the first beats the second, the second the third
    votes[:, :, 1, 2] = 1  # and the third the first
    found = bradley_terry(names, votes, rng(), 100)
    for one in found.standings:
        assert one.first == pytest.approx(1 / 3)
        assert one.ranks == (1, 3)
        assert one.score.value == pytest.approx(0, abs=1e-9)


def test_scores_that_do_not_exist_are_named() -> None:
    votes = np.zeros((5, 2, 3, 3))
    assert bradley_terry(("a", "b", "c"), votes, rng()).note == "no votes"
    votes[..., 1] = 1
    assert bradley_terry(("a", "b", "c"), votes, rng()).note == "all votes are ties"
    never = np.zeros((5, 2, 3, 3))
    never[..., 0] = 1
    never[0, :, 2] = (0, 0, 1)
    found = bradley_terry(("a", "b", "c"), never, rng())
    assert found.note.startswith("no finite scores")
    assert not found.standings


def test_intervals_cover_the_true_difference() -> None:
    """Drawn by Davidson's model itself, with independent votes: 95 % must hold about 95 %."""
    generator = np.random.default_rng(9)
    truth, nu = np.array([0.5, 0.0, -0.5]), 0.7
    held = 0
    for _ in range(200):
        votes = np.zeros((20, 6, 3, 3))
        for at, (i, j) in enumerate(pairs(3)):
            weights = np.array(
                [np.exp((truth[i] - truth[j]) / 2), nu, np.exp((truth[j] - truth[i]) / 2)]
            )
            votes[:, :, at] = generator.multinomial(1, weights / weights.sum(), (20, 6))
        best = bradley_terry(("a", "b", "c"), votes, generator, 0)
        score = next(one.score for one in best.standings if one.system == "a")
        assert score.low is not None
        assert score.high is not None
        held += score.low <= truth[0] <= score.high
    assert 0.92 <= held / 200 <= 1.0
