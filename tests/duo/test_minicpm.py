"""MiniCPM's own checkpoints, read as Granite models: logits as its description gives them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from duo.backbone import load
from duo.errors import BadInput
from duo.minicpm import granite_settings
from tests.minicpm import weights
from tests.tiny import tiny_tokenizer

CONFIG: dict[str, Any] = {
    "model_type": "minicpm",
    "architectures": ["MiniCPMForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_minicpm.MiniCPMForCausalLM"},
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "scale_emb": 12,
    "scale_depth": 1.4,
    "dim_model_base": 16,
    "hidden_act": "silu",
    "rope_scaling": None,
}


def plain_forward(config: dict[str, Any], w: dict[str, Tensor], ids: list[int]) -> Tensor:
    """Logits `[len(ids), vocabulary]`, token by token and head by head, in float64."""
    length, hidden = len(ids), config["hidden_size"]
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size = hidden // heads
    scale = config["scale_depth"] / math.sqrt(config["num_hidden_layers"])
    theta = config.get("rope_theta", 10000.0)

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return weight * x / torch.sqrt((x * x).mean(-1, keepdim=True) + config["rms_norm_eps"])

    def rotate(x: Tensor) -> Tensor:  # [length, size]: pairs (i, i + size/2) turn with the position
        half = size // 2
        turned = torch.empty_like(x)
        for position in range(length):
            for pair in range(half):
                angle = position * theta ** (-2 * pair / size)
                a, b = x[position, pair], x[position, pair + half]
                turned[position, pair] = a * math.cos(angle) - b * math.sin(angle)
                turned[position, pair + half] = b * math.cos(angle) + a * math.sin(angle)
        return turned

    x = w["model.embed_tokens.weight"][ids] * config["scale_emb"]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        y = norm(x, w[at + "input_layernorm.weight"])
        q, k, v = (y @ w[f"{at}self_attn.{name}_proj.weight"].T for name in "qkv")
        outputs = []
        for head in range(heads):
            group = head * groups // heads
            mine, theirs = (
                slice(head * size, (head + 1) * size),
                slice(group * size, (group + 1) * size),
            )
            scores = rotate(q[:, mine]) @ rotate(k[:, theirs]).T / math.sqrt(size)
            future = torch.ones(length, length, dtype=torch.bool).triu(1)
            outputs.append(scores.masked_fill(future, -math.inf).softmax(-1) @ v[:, theirs])
        x = x + torch.cat(outputs, -1) @ w[at + "self_attn.o_proj.weight"].T * scale
        y = norm(x, w[at + "post_attention_layernorm.weight"])
        gate = y @ w[at + "mlp.gate_proj.weight"].T
        inner = gate * torch.sigmoid(gate) * (y @ w[at + "mlp.up_proj.weight"].T)
        x = x + inner @ w[at + "mlp.down_proj.weight"].T * scale
    x = norm(x, w["model.norm.weight"]) / (hidden / config["dim_model_base"])
    return x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def save(folder: Path, config: dict[str, Any], w: dict[str, Tensor], form: str) -> None:
    """A folder as MiniCPM is published in: its own code named, but not there."""
    tiny_tokenizer("chatml", states=False).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    if form == "safetensors":
        save_file(w, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        torch.save(w, folder / "pytorch_model.bin")


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"num_key_value_heads": 2, "rope_theta": 500.0, "rms_norm_eps": 1e-3},
        {"tie_word_embeddings": False, "scale_emb": 3.5, "dim_model_base": 48},
    ],
)
def test_logits_are_those_of_the_description(
    tmp_path: Path, form: str, change: dict[str, Any]
) -> None:
    vocabulary = len(tiny_tokenizer("chatml", states=False))
    config = {**CONFIG, "vocab_size": vocabulary, **change}
    w = weights(config, seed=len(change))
    save(tmp_path, config, w, form)
    backbone = load(str(tmp_path), dtype="float64", device="cpu")
    assert type(backbone.model).__name__ == "GraniteForCausalLM"
    ids = backbone.chat.render([{"role": "user", "content": "What is 2 + 2? 你好"}])
    with torch.inference_mode():
        found = backbone.model(torch.tensor([ids])).logits[0, :, :vocabulary]
    torch.testing.assert_close(found, plain_forward(config, w, ids), rtol=1e-5, atol=1e-6)
    # With wrong scalings they would differ: the comparison can fail.
    other = plain_forward({**config, "scale_depth": 1.0}, w, ids)
    assert (found - other).abs().max() > 1e-3


@settings(max_examples=50)
@given(
    layers=st.integers(1, 80),
    heads=st.integers(1, 64),
    size=st.sampled_from([8, 64, 128]),
    base=st.integers(1, 512),
    depth=st.floats(0.1, 4),
)
def test_scalings(layers: int, heads: int, size: int, base: int, depth: float) -> None:
    found = granite_settings(
        {
            **CONFIG,
            "vocab_size": 10,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "hidden_size": heads * size,
            "dim_model_base": base,
            "scale_depth": depth,
        }
    )
    assert found["attention_multiplier"] ** -2 == pytest.approx(size)
    assert found["residual_multiplier"] ** 2 * layers == pytest.approx(depth**2)
    assert found["logits_scaling"] * base == pytest.approx(heads * size)
    assert found["embedding_multiplier"] == 12


def test_the_published_model() -> None:
    """MiniCPM-2B: multipliers 12, 1.4/sqrt(40), 1/8 and a divisor of 9."""
    found = granite_settings(
        {
            **CONFIG,
            "vocab_size": 122753,
            "hidden_size": 2304,
            "intermediate_size": 5760,
            "num_hidden_layers": 40,
            "num_attention_heads": 36,
            "num_key_value_heads": 36,
            "dim_model_base": 256,
        }
    )
    assert found["logits_scaling"] == 9
    assert found["attention_multiplier"] == 1 / 8
    assert found["residual_multiplier"] == pytest.approx(0.22136, abs=1e-5)
    assert found["tie_word_embeddings"] is True


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale_emb": None}, "config.json: scale_emb: is missing or not a number"),
        ({"dim_model_base": "256"}, "config.json: dim_model_base: is missing or not a number"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "config.json: rope_scaling: "),
        ({"num_experts": 8}, "config.json: num_experts: "),
    ],
)
def test_what_granite_cannot_express(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    config = {**CONFIG, "vocab_size": 500, **change}
    save(tmp_path, config, {}, "safetensors")
    with pytest.raises(BadInput) as caught:
        load(str(tmp_path), device="cpu")
    assert said in str(caught.value)
