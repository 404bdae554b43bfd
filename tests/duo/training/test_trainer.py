"""The plan uses every sample equally often and splits batches into parts of about equal cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from duo.training.encode import Encoder
from duo.training.settings import Answers
from duo.training.train import make_trainer
from duo.training.trainer import DuoTrainer, Plan, turn_end
from duo.training.weights import trainable
from tests.duo.training.material import encoded, sample, settings
from tests.tiny import ARCHITECTURES, tiny_backbone
from tests.waits import Waits


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=40),
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(1, 12),
    st.booleans(),
)
def test_batches_are_whole_and_samples_equally_used(
    lengths: list[int], batch: int, parts: int, steps: int, packing: bool
) -> None:
    batch = max(batch, parts)
    made = Plan(lengths, batch=batch, parts=parts, steps=steps, seed=1, packing=packing)
    assert len(made) == steps
    for step in made:
        assert len(step) == parts
        assert all(step)
        assert sum(map(len, step)) == batch
    used = Counter(place for step in made for part in step for place in part)
    counts = [used[place] for place in range(len(lengths))]
    assert max(counts) - min(counts) <= 1


def test_the_plan_is_the_seeds() -> None:
    def made(seed: int, steps: int) -> list[list[list[int]]]:
        return list(Plan(range(1, 30), batch=6, parts=2, steps=steps, seed=seed, packing=False))

    assert made(1, 5) == made(1, 9)[:5]
    assert made(1, 5) != made(2, 5)


def test_parts_are_split_by_cost() -> None:
    lengths = [100, 100, 50, 50, 50, 50]
    [padded] = Plan(lengths, batch=6, parts=2, steps=1, seed=0, packing=False)
    assert [sorted(lengths[n] for n in part) for part in padded] == [[100, 100], [50] * 4]
    [packed] = Plan(lengths, batch=6, parts=2, steps=1, seed=0, packing=True)
    assert [sum(lengths[n] for n in part) for part in packed] == [200, 200]


def trainer_of(folder: Path, architecture: str = "llama", **values: Any) -> DuoTrainer:
    """Trains an adapter of a tiny model on a few samples."""
    backbone = tiny_backbone(architecture, dtype=torch.float32)
    encoder = Encoder(backbone.tokenizer, max_tokens=1000)
    samples = encoded([sample(seed) for seed in range(6)], encoder, folder)
    used = settings(**values)
    return make_trainer(
        trainable(backbone, used), used, samples, None, folder / "out",
        states=backbone.states, end=turn_end(backbone.chat),
    )  # fmt: skip


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("answers", get_args(Answers))
def test_a_loss_waits_for_nothing_and_is_the_same_packed(
    architecture: str, answers: Answers, tmp_path: Path
) -> None:
    """Nor does `transformers` look whether rows are packed, which it would in every pass."""
    found = []
    for packing in (False, True):
        trainer = trainer_of(
            tmp_path, architecture, packing=packing, answers=answers, inside="hold"
        )
        assert trainer.train_dataset is not None
        part = trainer.train_dataset[0]
        assert ("position_ids" in part) == packing
        with Waits() as waits:
            loss = trainer.compute_loss(trainer.model, part)
        assert waits.count == 0
        found.append(float(loss.detach()))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("architecture", sorted({*ARCHITECTURES} - {"gemma2"}))
def test_a_loss_in_parts_is_the_same_loss(architecture: str, tmp_path: Path) -> None:
    """Over any kinds of places, and no more logits are computed at once."""
    found = []
    for rank, size in [(0, 0), (0, 5), (2, 0), (2, 5), (2, 1000)]:
        trainer = trainer_of(
            tmp_path, architecture, lora_rank=rank, inside="hold", loss_places=size
        )
        torch.manual_seed(0)
        with torch.no_grad():
            for weight in trainer.model.parameters():
                if weight.requires_grad:
                    weight.add_(0.1 * torch.randn_like(weight))
        rows: list[int] = []
        head = trainer.model.get_output_embeddings()
        head.register_forward_hook(lambda *given, rows=rows: rows.append(given[2].shape[-2]))
        part = trainer.train_dataset[0]
        loss = trainer.compute_loss(trainer.model.train(), part)
        loss.backward()
        gradients = {n: p.grad for n, p in trainer.model.named_parameters() if p.requires_grad}
        found.append((loss.detach(), gradients))
        assert len(part["target"]) > 5
        if size:
            computed = rows[1:]  # the states came first
            assert max(computed) <= size
            assert sum(computed) == 2 * len(part["target"])
    for one, others in ((found[0], found[1:2]), (found[2], found[3:])):
        for other in others:
            torch.testing.assert_close(other[0], one[0], rtol=1e-5, atol=1e-6)
            for name, gradient in one[1].items():
                torch.testing.assert_close(other[1][name], gradient, rtol=1e-3, atol=1e-5)


def test_caps_are_not_the_heads(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="more than a product of its output head"):
        trainer_of(tmp_path, "gemma2", loss_places=5)


def test_steps_wait_for_nothing(tmp_path: Path) -> None:
    """A run waits where it begins and ends, and for what it logs: more steps are no more waits."""
    found = []
    for steps in (2, 6):
        trainer = trainer_of(
            tmp_path, steps=steps, log_every=9, save_every=9, answers="base", inside="hold"
        )
        with Waits() as waits:
            trainer.train()
        found.append(waits.count)
    assert 0 < found[0] == found[1]
