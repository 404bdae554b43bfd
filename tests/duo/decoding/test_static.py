"""The forward pass over plain buffers: whose models it is, what it costs, and that it compiles."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode

from duo.decoding.batched import encode_together
from duo.decoding.check import is_static
from duo.decoding.fused import FusedChannels, make_pool
from duo.decoding.passes import StaticPool, next_size, next_slots, whole_graph
from duo.decoding.slots import SlotPool
from duo.decoding.static import FAMILY, StaticModel
from duo.fusion import Kind, add_fusion
from tests.duo.decoding.architectures import tiny
from tests.tiny import tiny_model

FORMS = ("llama (YaRN)", "llama (llama3 rope)", "phi3 (longrope)", "qwen2 (sliding)")


@pytest.mark.parametrize("name", [*FAMILY, *FORMS])
def test_models_of_the_family_are_computed_exactly(name: str) -> None:
    """With windows, biases, norms, multipliers, caps and rotary embeddings of every kind."""
    model = tiny(name)
    if model is None:  # whose sizes are named otherwise
        model = tiny_model(name.removesuffix("_text"))
    assert is_static(model)
    assert isinstance(make_pool(model), StaticPool)


def test_a_model_that_computes_something_else_is_not_taken() -> None:
    """The check notices what no configuration tells."""
    model = tiny_model()
    model.model.layers[1].mlp.register_forward_hook(lambda module, given, made: 1.01 * made)
    assert not is_static(model)
    assert isinstance(make_pool(model), SlotPool)


def test_other_attention_is_the_models_own() -> None:
    assert isinstance(make_pool(tiny_model(attention="eager")), SlotPool)


def test_weights_are_there_once() -> None:
    """The model's projections are views of the joined ones, also of a second reading."""
    model = tiny_model(attention_bias=True)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert is_static(model)
    assert not any(weight.is_inference() for weight in model.parameters())
    one, other = StaticModel(model), StaticModel(model)
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    for weight, same in zip(one.weights(), other.weights(), strict=True):
        if weight.ndim == 2:
            assert weight.untyped_storage().data_ptr() in own
            assert weight.data_ptr() == same.data_ptr()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])


def operations(sessions: int, capacity: int) -> int:
    """Floating-point operations of a pass of both channels of each session."""
    model = tiny_model("gemma2")  # whose attention is made of products, which are counted
    pool = StaticPool(StaticModel(model), sessions, capacity=capacity, capture=lambda work: work)
    rows = [FusedChannels(model, pool) for _ in range(sessions)]
    for channels in rows:
        channels.extend_prefix([1, 2, 3, 4, 5])
        channels.speaking = True
    encode_together(rows)
    for channels in rows:
        channels.speak(6)
        channels.fork([7])
    with FlopCounterMode(display=False) as counter:
        encode_together(rows)
    return counter.get_total_flops()


def test_a_pass_grows_with_the_sessions_and_not_with_the_capacity() -> None:
    two, four, eight = (operations(sessions, 256) for sessions in (2, 4, 8))
    assert (four, eight) == (2 * two, 4 * two)
    assert operations(4, 1024) == four


def held(model: Any, rows: int, *, as_on_a_gpu: bool = False, **how: Any) -> list[Tensor]:
    """Logits of a conversation that meets all sizes: texts, answers, a remark, rows that grow."""
    pool = StaticPool(StaticModel(model), rows, **how)
    pool._products = as_on_a_gpu
    every = [FusedChannels(model, pool) for _ in range(rows)]
    found: list[Tensor] = []

    def encode() -> None:
        for scores in encode_together(every):
            found.extend(part for part in (scores.output, scores.input) if part is not None)

    for channels in every:
        channels.extend_prefix(list(range(1, 20)))
        channels.speaking = True
    encode()
    for token in range(3):
        for channels in every:
            channels.speak(token)
        encode()
    every[0].fork([5, 6, 7])
    for token in range(3):
        for channels in every:
            channels.speak(token)
        encode()
        assert every[0].input is not None
        every[0].input.ids.append(token)
    every[0].promote()
    every[0].extend_prefix(list(range(1, 300)))
    for token in range(2):
        for channels in every:
            channels.speak(token)
        encode()
    return found


@pytest.mark.parametrize("as_on_a_gpu", [False, True])
@pytest.mark.parametrize(
    ("architecture", "rows", "kind"),
    [("llama", 1, None), ("gemma3", 3, None), ("llama", 3, "early"), ("llama", 3, "middle")],
)
def test_nothing_is_compiled_again(
    architecture: str, rows: int, kind: Kind | None, as_on_a_gpu: bool
) -> None:
    """A conversation of all sizes has the graphs that its first passes needed: three."""
    model = tiny_model(architecture, dtype=torch.float32)
    if kind is not None:
        add_fusion(model, kind)
    torch._dynamo.reset()
    counters.clear()
    compiler = partial(whole_graph, backend="eager")
    found = held(model, rows, as_on_a_gpu=as_on_a_gpu, compiler=compiler)
    assert counters["stats"]["unique_graphs"] == 3
    for one, other in zip(found, held(model, rows), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_compiled_passes_give_the_same_tokens() -> None:
    model = tiny_model(dtype=torch.float32)
    found = held(model, 1, compiler=whole_graph)
    for one, other in zip(found, held(model, 1), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
        assert one.argmax() == other.argmax()


def test_rows_grow_by_half_at_most() -> None:
    """Of all rows, when one needs it: with hundreds that is most of a GPU's memory."""
    model = tiny_model()
    channels = FusedChannels(model, StaticPool(StaticModel(model), 2))
    found = []
    for tokens in (256, 1, 128, 128, 256):
        channels.extend_prefix([1] * tokens)
        channels.encode()
        found.append(channels.pool.capacity)
    assert found == [256, 384, 512, 768, 1024]


def test_sizes_are_few_and_waste_little() -> None:
    assert [next_size(number, 2) for number in (1, 2, 3, 9, 64)] == [2, 2, 4, 16, 64]
    assert [next_slots(number) for number in (1, 256, 257, 400, 512, 600, 800)] == [
        256, 256, 384, 512, 512, 768, 1024,
    ]  # fmt: skip
