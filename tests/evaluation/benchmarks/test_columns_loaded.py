"""Models and adapters as columns: loaded, told apart by their files, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from duo.errors import BadInput
from duo.tokens import add_state_tokens
from evaluation.benchmarks.columns import Column
from evaluation.benchmarks.matrix import Settings
from evaluation.benchmarks.models import model_hash, open_model, resolved_dtype
from tests.evaluation.benchmarks.small import answer, copy_data, save_model


def save_adapter(base: Path, folder: Path) -> Path:
    """Save an adapter of a saved model with state tokens, as training does."""
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    add_state_tokens(model, tokenizer)
    torch.manual_seed(0)
    adapted = get_peft_model(
        model, LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(folder, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)
    return folder


def test_an_adapter_is_a_column_of_its_own(tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    adapter = save_adapter(base, tmp_path / "adapter")
    Column("duo", str(base), str(adapter)).check()
    assert model_hash(str(adapter)) != model_hash(str(base))
    plain, adapted = (
        open_model(str(name), device="cpu", dtype="float32") for name in (base, adapter)
    )
    assert len(adapted.states) == 3
    assert plain.states == ()
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        one, other = (loaded.model(ids).logits[0, :, :300] for loaded in (plain, adapted))
    assert not torch.allclose(one, other)
    data = copy_data(tmp_path / "data", "arc_easy")
    settings = Settings(batch_size="4")
    result, items = answer("arc_easy", adapter, data, tmp_path / "out", settings)
    assert result["model_sha256"] == model_hash(str(adapter))
    assert len(items) == 8


def test_the_hash_follows_what_changes_the_model_and_nothing_else(tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    adapter = save_adapter(base, tmp_path / "adapter")
    before = model_hash(str(base)), model_hash(str(adapter))
    (base / "manifest.json").write_text("{}")
    (base / "README.md").write_text("about")
    assert (model_hash(str(base)), model_hash(str(adapter))) == before
    config = base / "generation_config.json"
    config.write_text(config.read_text() + "\n")
    assert model_hash(str(base)) != before[0]
    assert model_hash(str(adapter)) != before[1]


def test_dtypes_have_one_name(tmp_path: Path) -> None:
    assert resolved_dtype("auto", "cpu") == "float32"
    assert resolved_dtype("bfloat16", "cpu") == "bfloat16"


def test_an_adapter_without_a_base_is_told(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BadInput, match="base_model_name_or_path: names no base model"):
        model_hash(str(tmp_path))
