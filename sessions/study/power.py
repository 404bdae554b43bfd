"""How many raters and dialogues does an effect need? By simulation, with clustered votes.

A vote that is no tie goes to the first system if mu + d + r + e > 0, where d ~ N(0, dialogue_sd) is
the dialogue's own, r ~ N(0, rater_sd) the rater's own and e ~ N(0, 1): votes on the same dialogue,
and votes of the same rater, resemble each other. mu is chosen such that over all dialogues and
raters the share of such votes is `preference`: for normal effects, mu = z(preference) *
sqrt(1 + dialogue_sd^2 + rater_sd^2).

The test is the one that the reports use: an exact two-sided sign test on the dialogues' majorities,
ties left out. (Resampling votes as if they were independent would promise too much.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from duo.errors import BadInput
from sessions.study.signs import sign_test

#: Simulated votes at a time: bounds the memory.
_BATCH = 4_000_000


@dataclass(frozen=True)
class Effect:
    """What is believed to be true.

    Attributes:
        preference: share of the votes that are no ties that go to the better system.
        ties: share of ties ("both bad" are such, too).
        dialogue_sd, rater_sd: spread between dialogues and between raters, in units of the spread
            of a rater's single votes.

    Raises:
        BadInput: a share or spread that cannot be.
    """

    preference: float
    ties: float = 0.2
    dialogue_sd: float = 0.5
    rater_sd: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.preference < 1:
            raise BadInput("must lie between 0 and 1", field="preference")
        if not 0 <= self.ties < 1:
            raise BadInput("must be at least 0 and less than 1", field="ties")
        for name in ("dialogue_sd", "rater_sd"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadInput("must be a number from 0 on", field=name)

    @property
    def mean(self) -> float:
        """mu of the model."""
        spread = math.sqrt(1 + self.dialogue_sd**2 + self.rater_sd**2)
        return NormalDist().inv_cdf(self.preference) * spread


@dataclass(frozen=True)
class Power:
    """The chance to find the effect with so many dialogues and raters, and its standard error."""

    dialogues: int
    raters: int
    power: float
    error: float


def power(
    effect: Effect,
    *,
    dialogues: int,
    raters: int,
    level: float = 0.05,
    comparisons: int = 1,
    simulations: int = 2_000,
    seed: int = 0,
) -> Power:
    """The share of simulated studies whose test is significant.

    Args:
        dialogues: pairs that are rated; each by all `raters`.
        level: of the test; with `comparisons` criteria at once, divided by their number (what the
            strictest step of Holm's correction asks for).
    """
    critical = _critical(dialogues, level / comparisons)
    draw = np.random.default_rng([seed, dialogues, raters])
    hits, done = 0, 0
    batch = max(1, _BATCH // (dialogues * raters))
    while done < simulations:
        n = min(batch, simulations - done)
        net = _net_votes(draw, effect, n, dialogues, raters)
        wins, losses = (net > 0).sum(axis=1), (net < 0).sum(axis=1)
        hits += int((np.maximum(wins, losses) >= critical[wins + losses]).sum())
        done += n
    share = hits / simulations
    return Power(dialogues, raters, share, math.sqrt(share * (1 - share) / simulations))


def table(
    effect: Effect,
    *,
    dialogues: Iterable[int],
    raters: Iterable[int],
    level: float = 0.05,
    comparisons: int = 1,
    simulations: int = 2_000,
    seed: int = 0,
) -> list[Power]:
    """`power` for all combinations."""
    return [
        power(
            effect,
            dialogues=n,
            raters=k,
            level=level,
            comparisons=comparisons,
            simulations=simulations,
            seed=seed,
        )
        for k in raters
        for n in dialogues
    ]


def _critical(dialogues: int, level: float) -> np.ndarray:
    """For each number of untied dialogues, the wins from which on the test is significant."""
    found = []
    for n in range(dialogues + 1):
        least = next((w for w in range((n + 1) // 2, n + 1) if sign_test(w, n - w) <= level), n + 1)
        found.append(least)
    return np.array(found)


def _net_votes(
    draw: np.random.Generator, effect: Effect, simulations: int, dialogues: int, raters: int
) -> np.ndarray:
    """Wins minus losses among each dialogue's votes: one row a simulated study."""
    shape = (simulations, dialogues, raters)
    latent = draw.standard_normal(shape)
    latent += effect.mean
    latent += effect.dialogue_sd * draw.standard_normal((simulations, dialogues, 1))
    latent += effect.rater_sd * draw.standard_normal((simulations, 1, raters))
    untied = draw.random(shape) >= effect.ties
    return np.where(untied, np.sign(latent), 0.0).sum(axis=2)
