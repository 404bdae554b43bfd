"""State tokens stay out of benchmark answers, or are counted where that is asked for."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from duo.errors import BadInput
from duo.tokens import state_tokens
from evaluation.benchmarks.matrix import Settings
from evaluation.benchmarks.models import open_model
from evaluation.benchmarks.progress import MatrixProgress
from tests.evaluation.benchmarks.small import answer, copy_data, save_model, works_for

_SETTINGS = Settings(batch_size="4", max_new_tokens=4)


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
    assert banned["leak_rate"] == 0.0
    assert banned["banned_state_tokens"] is True
    assert all(item.get("response", item["answer"]) for item in items)
    settings = replace(_SETTINGS, ban_states=False)
    allowed, _ = answer("gsm8k", model, data, tmp_path / "allowed", settings)
    assert allowed["leak_rate"] == 1.0
    assert allowed["banned_state_tokens"] is False
    assert "state tokens in 100.0 % of the answers" in told(model, data, settings, allowed)
    assert "state tokens" not in told(model, data, _SETTINGS, banned)


def told(model: Path, data: Path, settings: Settings, result: dict[str, Any]) -> str:
    """The line that a run prints of a result."""
    stream = io.StringIO()
    works = works_for(result["benchmark"], model, data, settings)
    progress = MatrixProgress(works, Console(file=stream, width=300))
    progress.result(works[0], result, True)
    return stream.getvalue()


def test_questions_that_are_cut_are_counted(tmp_path: Path) -> None:
    data = copy_data(tmp_path / "data", "arc_easy", "gsm8k")
    long = save_model(tmp_path / "long")
    short = save_model(tmp_path / "short")
    for name, context in (("arc_easy", 24), ("gsm8k", 60)):
        change_context(short, context)
        whole, _ = answer(name, long, data, tmp_path / "out", _SETTINGS)
        cut, _ = answer(name, short, data, tmp_path / "out", _SETTINGS)
        assert whole["truncated"] == 0
        assert 1 < cut["truncated"] <= 8  # however many options a question has
        assert f"{cut['truncated']} questions cut to the model's context" in told(
            short, data, _SETTINGS, cut
        )
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
    assert one["leak_rate"] is other["leak_rate"] is None
