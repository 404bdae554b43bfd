"""The loss, against the definitions; and rows packed together against samples alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duo.decoding.reading import logits_only_where
from duo.tokens import StateTokens
from duo.training.encode import NOT_LEARNED, Encoder, Target, targets
from duo.training.loss import (
    base_places,
    no_state_loss,
    place_losses,
)
from duo.training.settings import Answers, Inside
from tests.duo.training.material import encoded, sample
from tests.tiny import ARCHITECTURES, tiny_backbone
from tests.waits import Waits

STATES = StateTokens(respond=3, ignore=4, idle=5)
END = 2


def losses(
    logits: torch.Tensor, target: list[int], kind: Sequence[int], inside: Inside, **more: Any
) -> torch.Tensor:
    counts = [list(kind).count(which) for which in Target]
    if "base" in more:
        known = base_places(counts, inside=inside, answers=more.get("answers", "words"))
        more["base"] = more["base"][known]
    return place_losses(
        logits, torch.tensor(target), counts, states=STATES, inside=inside, end=END, **more
    )


@pytest.mark.parametrize("inside", get_args(Inside))
def test_each_kind_of_place_has_its_loss(inside: Inside) -> None:
    torch.manual_seed(0)
    logits, base = torch.randn(2, 4, 9, dtype=torch.float64).unbind()
    chance = logits.softmax(-1)
    kind = [Target.STATE, Target.OUTPUT, Target.INSIDE, Target.PAUSE]
    found = losses(logits, [3, 7, 8, NOT_LEARNED], kind, inside, base=base).tolist()
    assert found[0] == pytest.approx(-math.log(chance[0, 3]))
    assert found[1] == pytest.approx(-math.log(chance[1, 7]))
    unlikely = [-math.log(1 - chance[place, 3] - chance[place, 4]) for place in (2, 3)]
    kept = base.softmax(-1)
    kept[:, [3, 4, 5]] = 0
    kept /= kept.sum(-1, keepdim=True)
    ordinary = [0, 1, 2, 6, 7, 8]
    divergence = [
        sum(kept[p, t] * (kept[p, t].log() - chance[p, t].log()) for t in ordinary) for p in (2, 3)
    ]
    expected = {
        "none": [0.0, 0.0],
        "unlikely": unlikely,
        "words": [-math.log(chance[2, 8]), unlikely[1]],
        "hold": [unlikely[0], -math.log(chance[3, END])],
        "base": [float(value) for value in divergence],
    }
    assert found[2:] == pytest.approx(expected[inside])


@pytest.mark.parametrize("inside", get_args(Inside))
def test_answers_may_be_what_the_model_says_without_its_adapter(inside: Inside) -> None:
    torch.manual_seed(0)
    logits, base = torch.randn(2, 5, 9, dtype=torch.float64).unbind()
    kind = [Target.STATE, Target.OUTPUT, Target.OUTPUT, Target.INSIDE, Target.PAUSE]
    target = [3, 7, END, 8, NOT_LEARNED]
    found = losses(logits, target, kind, inside, answers="base", base=base).tolist()
    words = losses(logits, target, kind, inside, base=base).tolist()
    kept = base.softmax(-1)
    kept[:, [3, 4, 5]] = 0
    kept /= kept.sum(-1, keepdim=True)
    divergence = sum(
        kept[1, t] * (kept[1, t].log() - logits.log_softmax(-1)[1, t]) for t in (0, 1, 2, 6, 7, 8)
    )
    assert found[1] == pytest.approx(float(divergence))
    assert found[:1] + found[2:] == words[:1] + words[2:]  # states and ends are learned as ever
    same = losses(logits, target, kind, "none", answers="base", base=logits).tolist()
    assert 0 <= same[1] == pytest.approx(no_state_and_idle(logits[1]))  # all but the states is kept
    with pytest.raises(ValueError, match="base model"):
        losses(logits, target, kind, inside, answers="base")


@pytest.mark.parametrize("answers", get_args(Answers))
@pytest.mark.parametrize("inside", get_args(Inside))
def test_no_loss_waits_for_the_device(inside: Inside, answers: Answers) -> None:
    logits, base = torch.randn(2, 5, 9).unbind()
    target = torch.tensor([3, 7, END, 8, NOT_LEARNED])
    counts = [1, 2, 1, 1]
    known = base[base_places(counts, inside=inside, answers=answers)]
    with Waits() as waits:
        place_losses(
            logits, target, counts,
            states=STATES, inside=inside, end=END, answers=answers, base=known,
        )  # fmt: skip
    assert waits.count == 0


def no_state_and_idle(logits: torch.Tensor) -> float:
    return -math.log(1 - float(logits.softmax(-1)[[3, 4, 5]].sum()))


@given(st.floats(-100, 100))
def test_the_loss_inside_stays_finite(size: float) -> None:
    logits = torch.zeros(1, 9)
    logits[0, 3] = size
    logits.requires_grad_(True)
    loss = no_state_loss(logits, STATES).sum()
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert float(logits.grad[0, 3]) >= 0  # it only ever pushes a state down


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("packing", [True, False])
def test_a_batch_has_the_loss_of_its_samples_alone(
    architecture: str, packing: bool, tmp_path: Path
) -> None:
    backbone = tiny_backbone(architecture)
    states = backbone.states
    encoder = Encoder(backbone.tokenizer, max_tokens=1000)
    dialogues = [sample(seed, unfinished=seed % 2 == 0) for seed in range(4)]
    samples = encoded(dialogues, encoder, tmp_path)
    made = samples.batch(range(4), packing=packing)
    seen = {name: made[name] for name in ("input_ids", "position_ids") if name in made}
    with logits_only_where(backbone.model, made["where"]), torch.no_grad():
        logits = backbone.model(**seen, use_cache=False).logits[0]
    found = place_losses(
        logits, made["target"], made["counts"], states=states, inside="words", end=0
    )
    losses = [part.sum() for part in found.split(made["counts"])]
    alone = torch.zeros(len(Target), dtype=found.dtype)
    for dialogue in dialogues:  # one at a time, logits of every place, nothing packed or masked
        one = encoder.sample(dialogue)
        with torch.no_grad():
            logits = backbone.model(torch.tensor([one.ids]), use_cache=False).logits[0]
        for place, following, kind in targets(one, states):
            counts = [int(which == kind) for which in Target]
            alone[kind] += place_losses(
                logits[place, None], torch.tensor([following]), counts, states=states,
                inside="words", end=0,
            )[0]  # fmt: skip
    torch.testing.assert_close(torch.stack(losses), alone, rtol=1e-9, atol=1e-9)
