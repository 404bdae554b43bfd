"""Weights of eight bits: the same decoder, held to the same model's plain passes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from duo.backbone import load
from duo.decoding.check import fault, is_static
from duo.decoding.fused import FusedChannels
from duo.decoding.static import StaticModel
from duo.errors import BadInput
from duo.quantising import is_quantised
from tests.tiny import tiny_backbone


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A model whose sizes every format takes."""
    made = tiny_backbone(dtype=torch.float32, hidden_size=64, intermediate_size=128)
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def test_eight_bits_are_decoded_exactly(folder: str) -> None:
    pytest.importorskip("torchao")
    backbone = load(folder, dtype="int8", device="cpu")
    assert backbone.number_format == "int8"
    assert fault(backbone.model) == ""
    assert is_static(backbone.model)
    layers = StaticModel(backbone.model).layers
    assert all(is_quantised(weight) for layer in layers for weight in layer.projections)
    assert not is_quantised(backbone.model.get_output_embeddings().weight)
    channels = FusedChannels(backbone.model)
    channels.extend_prefix([1, 2, 3])
    channels.speaking = True
    scores = channels.encode().output
    assert scores is not None
    with torch.no_grad():
        alone = backbone.model(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1]
    torch.testing.assert_close(scores, alone, rtol=1e-3, atol=1e-3)


def test_a_format_that_is_not_to_be_had_is_refused_in_a_line(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(BadInput, match=r"^dtype: torchao is not installed: pip install 'duo-duple"):
        load(folder, dtype="int8")
    with pytest.raises(BadInput, match=r"^dtype: .*int7.*int8"):
        load(folder, dtype="int7")
