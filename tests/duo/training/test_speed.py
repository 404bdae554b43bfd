"""What is computed faster is what was computed before."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from duo.decoding.reading import logits_only_where
from duo.training.encode import Encoder
from duo.training.samples import Samples
from duo.training.speed import check_head, compile_layers, ease_frozen
from duo.training.weights import trainable
from tests.duo.training.material import encoded, sample, settings
from tests.tiny import ARCHITECTURES, tiny_backbone


def adapted(architecture: str, folder: Path, **config: Any) -> tuple[Any, Samples]:
    """A model with an adapter that does something, in float32, and samples for it."""
    backbone = tiny_backbone(architecture, dtype=torch.float32, **config)
    encoder = Encoder(backbone.tokenizer, max_tokens=1000)
    samples = encoded([sample(seed, turns=2) for seed in range(6)], encoder, folder)
    model = trainable(backbone, settings())
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    return model.train(), samples


def passed(
    model: Any, samples: Samples, numbers: list[int], half: bool
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Logits with and without the adapter, and gradients."""
    made = samples.batch(numbers)
    model.zero_grad()
    with (
        torch.autocast("cpu", torch.bfloat16, enabled=half),
        logits_only_where(model, made["where"]),
    ):
        with torch.no_grad(), model.disable_adapter():
            base = model(input_ids=made["input_ids"], use_cache=False).logits[0]
        logits = model(input_ids=made["input_ids"], use_cache=False).logits[0]
    torch.nn.functional.cross_entropy(logits.float(), made["target"]).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return base, logits, gradients


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("architecture", "tied"),
    [(name, name == "llama") for name in ARCHITECTURES] + [("qwen2", True)],
)
def test_frozen_weights_are_used_as_they_are(
    architecture: str, tied: bool, half: bool, tmp_path: Path
) -> None:
    model, samples = adapted(architecture, tmp_path, tie_word_embeddings=tied)
    plain = deepcopy(model)
    ease_frozen(model, half=half)
    found, wanted = (passed(one, samples, [0, 1, 2, 3], half) for one in (model, plain))
    close = {"rtol": 2e-2, "atol": 2e-2} if half else {"rtol": 1e-4, "atol": 1e-5}
    assert torch.equal(found[0], wanted[0])
    torch.testing.assert_close(found[1], wanted[1], **close)
    assert found[2].keys() == wanted[2].keys()
    for name, gradient in wanted[2].items():
        size = float(gradient.norm())
        assert float((found[2][name] - gradient).norm()) <= (0.05 if half else 1e-4) * size + 1e-6
    assert model.state_dict().keys() >= plain.state_dict().keys()


def test_what_is_dropped_at_random_is_not_the_heads(tmp_path: Path) -> None:
    """An adapter that was trained before, and is trained further with dropout."""
    model, _ = adapted("llama", tmp_path)
    for layer in model.modules():
        if hasattr(layer, "lora_dropout"):
            layer.lora_dropout["default"] = torch.nn.Dropout(0.5)
    model.train()
    check_head(model)
    assert model.training


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own look at its inputs
def test_all_layers_are_compiled_once(tmp_path: Path) -> None:
    model, samples = adapted("llama", tmp_path, num_hidden_layers=12)
    wanted = [passed(model, samples, numbers, False) for numbers in ([0, 1], [2, 3, 4], [5, 0])]
    counter = CompileCounter()
    compile_layers(model, counter)
    torch._dynamo.reset()
    found = [passed(model, samples, numbers, False) for numbers in ([0, 1], [2, 3, 4], [5, 0])]
    assert 0 < counter.frame_count <= 4  # with and without the adapter, and of few rows
    for (_, logits, gradients), (_, same, expected) in zip(found, wanted, strict=True):
        torch.testing.assert_close(logits, same, rtol=1e-4, atol=1e-5)
        for name, gradient in expected.items():
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-5)
