"""Other people's adapters load with the logits that stock PEFT gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from duo.backbone import load, open_weights
from duo.errors import BadInput
from tests.tiny import tiny_model, tiny_tokenizer

PAIR = ["q_proj", "v_proj"]
BOTH = ["embed_tokens", "lm_head"]

#: kind -> tied, tokens added, whether their tokenizer was saved, settings of LoRA.
KINDS: dict[str, tuple[bool, int, bool, dict[str, Any]]] = {
    "plain": (True, 0, False, {}),
    "plain-untied": (False, 0, True, {}),
    "tokens": (True, 4, True, {}),
    "tokens-untied": (False, 4, True, {}),
    "both-saved": (True, 0, True, {"modules_to_save": BOTH}),
    "both-saved-untied": (False, 0, False, {"modules_to_save": BOTH}),
    "both-saved-tokens": (True, 4, True, {"modules_to_save": BOTH}),
    "both-saved-tokens-untied": (False, 4, True, {"modules_to_save": BOTH}),
    "head-saved-untied": (False, 0, True, {"modules_to_save": ["lm_head"]}),
    "embedding-saved-untied": (False, 4, True, {"modules_to_save": ["embed_tokens"]}),
    "embedding-saved": (True, 0, True, {"modules_to_save": ["embed_tokens"]}),
    "head-saved": (True, 0, True, {"modules_to_save": ["lm_head"]}),
    "rows": (True, 0, True, {"trainable_token_indices": [5, 9]}),
    "rows-of-tokens": (True, 3, True, {"trainable_token_indices": "new"}),
    "rows-of-tokens-untied": (False, 3, True, {"trainable_token_indices": "new both"}),
    "rows-without-tokenizer": (False, 0, False, {"trainable_token_indices": {"lm_head": [7]}}),
    "low-rank-embedding": (False, 0, True, {"target_modules": [*PAIR, "embed_tokens"]}),
    "low-rank-head-tokens": (False, 4, True, {"target_modules": [*PAIR, "lm_head"]}),
}


def made(folder: Path, kind: str) -> tuple[Path, int]:
    """A base model and an adapter with random weights, by stock means; and the rows it has."""
    tied, added, saved, settings = KINDS[kind]
    tokenizer = tiny_tokenizer(states=False)
    before = len(tokenizer)
    base = tiny_model("llama", before, dtype=torch.float32, tie_word_embeddings=tied)
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    tokenizer.add_tokens([f"<own {number}>" for number in range(added)])
    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    if added:
        model.resize_token_embeddings(len(tokenizer))
    fresh = [*range(before, len(tokenizer))]
    settings = {"r": 2, "target_modules": PAIR, "task_type": "CAUSAL_LM", **settings}
    if settings.get("trainable_token_indices") == "new":
        settings["trainable_token_indices"] = fresh
    elif settings.get("trainable_token_indices") == "new both":
        settings["trainable_token_indices"] = dict.fromkeys(BOTH, fresh)
    adapted = get_peft_model(model, LoraConfig(**settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    adapted.save_pretrained(folder / "adapter")
    if saved:
        tokenizer.save_pretrained(folder / "adapter")
    return folder / "adapter", len(tokenizer)


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_has_the_logits_it_was_saved_with(tmp_path: Path, kind: str) -> None:
    adapter, rows = made(tmp_path, kind)
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    base.resize_token_embeddings(rows)
    stock = PeftModel.from_pretrained(base, adapter).eval()
    ids = [3, 5, 9, 7, 40, rows - 1, rows - 2, 11]
    if kind == "low-rank-head-tokens":  # the rows of new tokens are not saved in it: they are lost
        ids = ids[:5]
    expected = logits(stock, ids)
    # As it is benchmarked: not a row more. As it is decoded: the same, and the state tokens.
    bare, tokenizer = open_weights(adapter, torch.float32, "sdpa")
    assert logits(bare, ids).shape == expected.shape
    torch.testing.assert_close(logits(bare, ids), expected, rtol=1e-4, atol=1e-4)
    backbone = load(str(adapter), device="cpu")
    torch.testing.assert_close(
        logits(backbone.model, ids)[:, :rows], expected, rtol=1e-4, atol=1e-4
    )
    assert min(backbone.states.respond, backbone.states.ignore, backbone.states.idle) >= rows
    assert len(tokenizer) == (rows if KINDS[kind][2] else len(tiny_tokenizer(states=False)))


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_another_width_is_refused_in_one_line(tmp_path: Path) -> None:
    adapter, _ = made(tmp_path, "both-saved")
    wide = tiny_model("llama", 500, dtype=torch.float32, hidden_size=64)
    wide.save_pretrained(tmp_path / "base")
    with pytest.raises(BadInput, match="cannot load this adapter") as caught:
        load(str(adapter), device="cpu")
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith(":")


@pytest.mark.filterwarnings("ignore")
def test_a_learned_prompt_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "plain")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    get_peft_model(base, config).save_pretrained(tmp_path / "prompt")
    with pytest.raises(BadInput, match="PROMPT_TUNING is a prompt"):
        load(str(tmp_path / "prompt"), device="cpu")
