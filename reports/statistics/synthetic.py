"""Rater studies whose truth is known, to see whether the statistics find it.

A vote of rater r on dialogue i is an ordered logit (McCullagh 1980) with crossed random effects:

    latent = preference + dialogue_i + rater_r + side * (bias + bias_r) + logistic noise,

a win of the first system above the rater's threshold, a loss below minus it, else a tie; side is 1
where the first system stands left and -1 where it stands right. Some ties are "both bad", which
hangs together within a dialogue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from reports.statistics.panel import OUTCOMES


@dataclass(frozen=True)
class Design:
    """What a synthetic study is drawn from. Effects are on the logit scale.

    Attributes:
        dialogues, raters: how many.
        votes_each: raters of a dialogue, assigned so that all have about as much to do.
        preference: for the first system; 0 for none.
        dialogue_sd, rater_sd: how much preference varies by dialogue and by rater.
        tie: the usual threshold of a tie; `tie_sd` is how much its logarithm varies by rater.
        side: advantage of the left side; `side_sd` how much it varies by rater.
        missing: share of votes that never came.
        both_bad: share of ties that are "both bad" in the usual dialogue; `both_bad_sd` how much
            its logit varies by dialogue.
    """

    dialogues: int = 40
    raters: int = 6
    votes_each: int = 3
    preference: float = 0.0
    dialogue_sd: float = 0.8
    rater_sd: float = 0.3
    tie: float = 0.6
    tie_sd: float = 0.4
    side: float = 0.2
    side_sd: float = 0.2
    missing: float = 0.1
    both_bad: float = 0.25
    both_bad_sd: float = 1.0


def truth(design: Design, nodes: int = 60) -> dict[str, float]:
    """What an endless study of this design would find: the share of each outcome, win share minus
    loss share (`net`) and the win share among untied votes (`untied`). By Gauss-Hermite quadrature
    over dialogues and raters."""
    at, weight = np.polynomial.hermite_e.hermegauss(nodes)
    weight = weight / weight.sum()
    spread = np.sqrt(design.dialogue_sd**2 + design.rater_sd**2 + design.side_sd**2)
    threshold = design.tie * np.exp(design.tie_sd * at[None, :])
    win = loss = 0.0
    for side in (design.side, -design.side):
        latent = design.preference + side + spread * at[:, None]
        each = weight[:, None] * weight[None, :] / 2
        win += float((each * expit(latent - threshold)).sum())
        loss += float((each * expit(-latent - threshold)).sum())
    bad = float((weight * expit(logit(design.both_bad) + design.both_bad_sd * at)).sum())
    tied = 1 - win - loss
    shares = (win, tied * (1 - bad), tied * bad, loss)
    return dict(zip(OUTCOMES, shares, strict=True)) | {
        "net": win - loss,
        "untied": win / (win + loss),
    }


def draw(design: Design, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Votes of many studies: counts 0 or 1, shape (studies, dialogues, raters, 4 outcomes)."""
    shape = (studies, design.dialogues, design.raters)
    by_dialogue, by_rater = (*shape[:2], 1), (shape[0], 1, shape[2])
    side = np.where(rng.random(shape) < 0.5, 1.0, -1.0)
    bias = design.side + design.side_sd * rng.normal(size=by_rater)
    threshold = design.tie * np.exp(design.tie_sd * rng.normal(size=by_rater))
    latent = (
        design.preference
        + design.dialogue_sd * rng.normal(size=by_dialogue)
        + design.rater_sd * rng.normal(size=by_rater)
        + side * bias
        + rng.logistic(size=shape)
    )
    bad = expit(logit(design.both_bad) + design.both_bad_sd * rng.normal(size=by_dialogue))
    tied = np.abs(latent) <= threshold
    both_bad = tied & (rng.random(shape) < bad)
    asked = _assigned(design, studies, rng) & (rng.random(shape) >= design.missing)
    outcome = np.stack([latent > threshold, tied & ~both_bad, both_bad, latent < -threshold], -1)
    return (outcome & asked[..., None]).astype(float)


def _assigned(design: Design, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Who rates what: each dialogue goes to those who have had fewest so far, ties by lot."""
    load = np.zeros((studies, design.raters))
    asked = np.zeros((studies, design.dialogues, design.raters), dtype=bool)
    row = np.arange(studies)[:, None]
    for dialogue in range(design.dialogues):
        turn = np.argsort(load + rng.random(load.shape), axis=-1)[:, : design.votes_each]
        asked[row, dialogue, turn] = True
        load[row, turn] += 1
    return asked
