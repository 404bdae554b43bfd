"""The bench of training, on tiny models; its figures are of no account here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from transformers import LlamaConfig
from typer.testing import CliRunner

from duo.cli import app
from duo.files import read_result
from evaluation.train_bench import TrainBench, shape_bench, train_tables
from tests.duo.training.material import data_folder, model_folder, settings

TINY = LlamaConfig(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                   num_attention_heads=4, bos_token_id=None, eos_token_id=None)  # fmt: skip


def test_training_is_measured_beside_another_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    model_folder(tmp_path / "model", tie_word_embeddings=True)
    data_folder(tmp_path / "data")
    line = [
        "bench", "train", "--model", str(tmp_path / "model"), "--data", str(tmp_path / "data"),
        "--preset", "embedded", "--set", "batch=4", "--set", "max_tokens=300", "--rounds", "2",
        "--steps", "3", "--out", str(tmp_path / "train.json"),
    ]  # fmt: skip
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    found = read_result(tmp_path / "train.json", TrainBench)
    ours, beside, own = found.ways
    assert (ours, own) == ("duo", "duo, these settings")
    assert beside.startswith(("TRL", "transformers"))
    assert beside in done.stdout
    for name, way in found.ways.items():
        assert way.tokens_per_second.low > 0
        assert 0 <= way.waiting.low <= way.waiting.high <= 1
        assert (way.against_first is None) == (name == ours)
        # the same tokens and samples
        assert way.tokens_per_second.median / way.samples_per_second.median == pytest.approx(
            found.tokens / 8
        )
    assert json.loads((tmp_path / "train.json").read_text())["kind"] == "train-bench"


def test_a_shape_is_measured_within_its_time() -> None:
    for rank in (0, 2):
        used = settings(lora_rank=rank, max_tokens=40, batch=2, packing=True)
        found = shape_bench(TINY, used, seconds=0.0, steps=2, name="tiny")
        assert list(found.ways) == ["duo"]
        assert found.rounds == 1
        assert found.tokens == 80
        assert found.ways["duo"].share_of_limit.median > 0
        assert len(train_tables(found)[0].rows) == 1


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own look at its inputs
def test_what_is_measured_as_compiled_is(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CompileCounter()
    layer_compile = torch.nn.Module.compile

    def counted(module: torch.nn.Module, **how: Any) -> None:
        layer_compile(module, **how | {"backend": counter})

    monkeypatch.setattr(torch.nn.Module, "compile", counted)
    torch._dynamo.reset()
    for compiled in (False, True):
        used = settings(lora_rank=2, max_tokens=40, batch=2, compile=compiled)
        shape_bench(TINY, used, seconds=0.0, steps=2)
        assert (counter.frame_count > 0) == compiled
