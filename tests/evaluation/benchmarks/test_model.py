"""Models and adapters: told apart by their files, measured as they are, state tokens banned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from duo.errors import BadInput
from duo.tokens import add_state_tokens, state_tokens
from evaluation.benchmarks.experiment import Column, Settings
from evaluation.benchmarks.model import model_hash, open_model, resolved_dtype
from evaluation.benchmarks.results import BenchmarkResult, Run
from evaluation.benchmarks.showing import result_line
from tests.evaluation.benchmarks.small import answer, copy_data, save_model

_SETTINGS = Settings(batch_size="4", max_new_tokens=4)


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
    assert result.model_sha256 == model_hash(str(adapter))
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


def leaning(folder: Path) -> Path:
    """A model that says `<1>` or `<2>` whenever it may, else one of two plain words.

    Of its last hidden state only the first part counts: its sign says which of each pair.
    """
    save_model(folder, states=True, tie_word_embeddings=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    states = state_tokens(tokenizer)
    plain = tokenizer.encode("the", add_special_tokens=False)[0]
    other = tokenizer.encode("7", add_special_tokens=False)[0]
    with torch.no_grad():
        head = model.get_output_embeddings().weight
        head.zero_()
        head[states.respond, 0], head[states.ignore, 0] = 1.0, -1.0
        head[plain, 0], head[other, 0] = 0.5, -0.5
    model.save_pretrained(folder)
    return folder


def test_models_are_measured_as_they_are(tmp_path: Path) -> None:
    """A base model without state tokens gets none; one that has them keeps them."""
    plain = open_model(str(save_model(tmp_path / "plain")), device="cpu", dtype="float32")
    assert plain.states == ()
    assert plain.model.get_input_embeddings().weight.shape[0] == len(plain.tokenizer)
    own = open_model(str(save_model(tmp_path / "own", states=True)), device="cpu", dtype="float32")
    assert len(own.states) == 3


def test_banned_they_never_come_and_allowed_they_are_counted(tmp_path: Path) -> None:
    model = leaning(tmp_path / "model")
    data = copy_data(tmp_path / "data", "gsm8k")
    banned, items = answer("gsm8k", model, data, tmp_path / "banned", _SETTINGS)
    assert banned.leak_rate == 0.0
    assert banned.banned_state_tokens is True
    assert all(item["resps"][0][0] for item in items)
    settings = replace(_SETTINGS, ban_states=False)
    allowed, _ = answer("gsm8k", model, data, tmp_path / "allowed", settings)
    assert allowed.leak_rate == 1.0
    assert allowed.banned_state_tokens is False
    assert "state tokens in 100.0 % of the answers" in line(allowed)
    assert "state tokens" not in line(banned)


def line(told: BenchmarkResult) -> str:
    """The line that a run prints of a result."""
    return result_line(Run(Path("nowhere"), told))


def test_questions_that_are_cut_are_counted(tmp_path: Path) -> None:
    data = copy_data(tmp_path / "data", "arc_easy", "gsm8k")
    long = save_model(tmp_path / "long")
    short = save_model(tmp_path / "short")
    for name, context in (("arc_easy", 24), ("gsm8k", 60)):
        change_context(short, context)
        whole, _ = answer(name, long, data, tmp_path / "out", _SETTINGS)
        cut, _ = answer(name, short, data, tmp_path / "out", _SETTINGS)
        assert whole.truncated == 0
        assert cut.truncated is not None
        assert 1 < cut.truncated <= 8  # however many options a question has
        assert f"{cut.truncated} questions cut to the model's context" in line(cut)
    change_context(short, 6)
    with pytest.raises(BadInput, match=r"an answer of \d+ tokens does not fit into a context of 6"):
        answer("arc_easy", short, data, tmp_path / "out", _SETTINGS)


def change_context(folder: Path, tokens: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": tokens}))


def test_likelihoods_are_not_touched(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", states=True)
    data = copy_data(tmp_path / "data", "arc_easy")
    one, items = answer("arc_easy", model, data, tmp_path / "one", _SETTINGS)
    settings = replace(_SETTINGS, ban_states=False)
    other, others = answer("arc_easy", model, data, tmp_path / "other", settings)
    assert items == others
    assert one.leak_rate is other.leak_rate is None
