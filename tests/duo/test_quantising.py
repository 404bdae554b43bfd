"""Weights of eight bits: the same decoder, held to the same model's plain passes."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from duo.backbone import load
from duo.decoding.check import fault, is_static
from duo.decoding.fused import FusedChannels
from duo.decoding.passes import whole_graph
from duo.decoding.static import StaticModel
from duo.errors import BadInput
from duo.quantising import is_quantised, quantise
from tests.duo.decoding.test_graphs import Captures
from tests.duo.decoding.test_static import held
from tests.tiny import tiny_backbone, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A model whose sizes every format takes."""
    made = tiny_backbone(dtype=torch.float32, hidden_size=256, intermediate_size=256)
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def assert_decoded_as_alone(model: Any, tolerance: float) -> None:
    channels = FusedChannels(model)
    channels.extend_prefix([1, 2, 3])
    channels.speaking = True
    scores = channels.encode().output
    assert scores is not None
    with torch.no_grad():
        alone = model(input_ids=torch.tensor([[1, 2, 3]], device=model.device)).logits[0, -1]
    torch.testing.assert_close(scores, alone, rtol=tolerance, atol=tolerance)


def test_eight_bits_are_decoded_exactly(folder: str) -> None:
    pytest.importorskip("torchao")
    backbone = load(folder, dtype="int8", device="cpu")
    assert backbone.number_format == "int8"
    assert fault(backbone.model) == ""
    assert is_static(backbone.model)
    layers = StaticModel(backbone.model).layers
    assert all(is_quantised(weight) for layer in layers for weight in layer.projections)
    assert not is_quantised(backbone.model.get_output_embeddings().weight)
    assert_decoded_as_alone(backbone.model, 1e-3)


def test_four_bits_are_for_gpus(folder: str) -> None:
    pytest.importorskip("torchao")
    if torch.cuda.is_available():
        backbone = load(folder, dtype="int4", device="cuda")
        assert any(map(is_quantised, backbone.model.parameters()))
        assert_decoded_as_alone(backbone.model, 5e-2)
    with pytest.raises(BadInput, match="int4 is for CUDA devices"):
        load(folder, dtype="int4", device="cpu")


class EightBits(torch.Tensor):
    """A weight in torchao's manner: two plain tensors, with a linear product and little else."""

    numbers: Tensor
    scales: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor, scales: Tensor) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, numbers.shape, dtype=scales.dtype)

    def __init__(self, numbers: Tensor, scales: Tensor) -> None:
        self.numbers, self.scales = numbers, scales

    def __tensor_flatten__(self) -> Any:
        return ["numbers", "scales"], None

    @classmethod
    def __tensor_unflatten__(cls, parts: Any, *_: Any) -> Any:
        return cls(parts["numbers"], parts["scales"])

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), named: Any = None) -> Any:
        if func is torch.nn.functional.linear:
            x, weight, *bias = args
            made = torch.nn.functional.linear(x, weight.numbers.to(x.dtype)) * weight.scales
            return made if not bias or bias[0] is None else made + bias[0]
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(named or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), named: Any = None) -> Any:
        assert func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default), func
        return cls(args[0].numbers, args[0].scales)


EightBits.__module__ = "torchao"  # which is how the decoder knows them


def in_eight_bits(model: Any) -> None:
    for layer in model.model.layers:
        for module in layer.modules():
            if isinstance(module, torch.nn.Linear):
                scales = module.weight.detach().abs().amax(1) / 127
                numbers = (module.weight.detach() / scales[:, None]).round().to(torch.int8)
                module.weight = torch.nn.Parameter(EightBits(numbers, scales), requires_grad=False)


@pytest.mark.parametrize("by", ["tensors like torchao's", "torchao"])
@pytest.mark.parametrize("way", ["compiled", "captured"])
def test_eight_bits_are_compiled_once_and_captured(by: str, way: str) -> None:
    model = tiny_model(dtype=torch.float32, hidden_size=64, intermediate_size=128)
    if by == "torchao":
        pytest.importorskip("torchao")
        quantise(model, "int8")
    else:
        in_eight_bits(model)
    torch._dynamo.reset()
    counters.clear()
    compiled = {"compiler": partial(whole_graph, backend="eager")}
    found = held(model, 2, **compiled if way == "compiled" else {"capture": Captures()})
    assert counters["stats"]["unique_graphs"] == 3 * (way == "compiled")
    for one, other in zip(found, held(model, 2), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_a_format_that_is_not_to_be_had_is_refused_in_a_line(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(BadInput, match=r"^dtype: torchao is not installed: pip install 'duo-duple"):
        load(folder, dtype="int8")
    with pytest.raises(BadInput, match=r"^dtype: .*int7.*int8"):
        load(folder, dtype="int7")
