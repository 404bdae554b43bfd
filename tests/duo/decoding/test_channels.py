"""Channels against a reference that knows no cache: each channel decoded alone, from nothing.

Random programs of edits run on both kinds of channels and several architectures; after every
encoding the logits must be those of a plain forward pass over the channel's own tokens.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from duo.backbone import Backbone
from duo.decoding.channels import Channels
from duo.decoding.fused import FusedChannels
from duo.decoding.llama import LlamaPool
from duo.decoding.sequential import SequentialChannels
from duo.errors import BadInput
from tests.gguf_twin import TwinChannels, needs_llama, twin
from tests.tiny import tiny_backbone

ARCHITECTURES = ("llama", "qwen2", "gemma2", "gemma3", "granite")
LLAMA = pytest.param(TwinChannels, marks=needs_llama)
KINDS = (FusedChannels, SequentialChannels, LLAMA)

#: What llama.cpp is tried with: rotary embeddings in its own order, biases, sliding windows.
IN_LLAMA = ("llama", "qwen2", "gemma2, tied")
CASES = [
    *((kind, architecture) for kind in KINDS[:2] for architecture in ARCHITECTURES),
    *(pytest.param(TwinChannels, architecture, marks=needs_llama) for architecture in IN_LLAMA),
]

#: Weights are float64, but norms and eager attention's softmax compute in float32 even so.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
#: llama.cpp computes in float32, and looks some functions up in tables in half precision.
ROUGHLY = {"rtol": 5e-3, "atol": 5e-3}

ids = st.lists(st.integers(0, 200), min_size=1, max_size=12)


@lru_cache
def backbone(architecture: str) -> Backbone:
    name, _, tied = architecture.partition(", ")
    return tiny_backbone(name, **({"tie_word_embeddings": True} if tied else {}))


@torch.inference_mode()
def alone(model: torch.nn.Module, tokens: list[int]) -> Tensor:
    """Logits after `tokens`, by a plain forward pass without any cache."""
    logits: Tensor = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
    return logits


def check_encoding(channels: Channels, model: torch.nn.Module) -> None:
    """Encode, and hold both channels' logits to the reference."""
    tolerance = ROUGHLY if isinstance(channels, TwinChannels) else TOLERANCE
    awaited = channels.input is not None and bool(channels.input.pending)
    scores = channels.encode()
    if scores.output is not None:
        expected = alone(model, channels.prefix.ids + channels.output.ids)
        check_scores(scores.output, expected, tolerance)
    assert (scores.output is not None) == channels.speaking
    if channels.input is not None and awaited:
        assert scores.input is not None
        expected = alone(model, channels.prefix.ids + channels.input.ids)
        check_scores(scores.input, expected, tolerance)


def check_scores(scores: Tensor, expected: Tensor, tolerance: dict[str, float]) -> None:
    torch.testing.assert_close(scores, expected, check_dtype=False, **tolerance)
    if scores.dtype == expected.dtype:
        assert scores.argmax() == expected.argmax()


def check_slots(channels: Channels) -> None:
    """Every cached token has a slot of its own and no slot is lost."""
    if isinstance(channels, TwinChannels):
        check_sequences(channels)
    if not isinstance(channels, FusedChannels):
        return
    strands = [channels.prefix, channels.output, channels.input]
    slots = [slot for strand in strands if strand is not None for slot in strand.slots]
    assert len(slots) == len(set(slots)) == channels.slots_in_use


def check_sequences(channels: TwinChannels) -> None:
    """Each of llama.cpp's sequences ends where its channel does."""
    pool, prefix = channels.pool, len(channels.prefix.ids)
    last = [pool._api.llama_memory_seq_pos_max(pool._memory, 2 * channels._row + n) for n in (0, 1)]
    heard = -1 if channels.input is None else prefix + len(channels.input.ids) - 1
    assert last == [prefix + len(channels.output.ids) - 1, heard]


@pytest.mark.parametrize(("kind", "architecture"), CASES)
@settings(max_examples=50, deadline=None, derandomize=True)
@given(data=st.data())
def test_each_channel_is_decoded_as_if_it_were_alone(
    kind: type, architecture: str, data: st.DataObject
) -> None:
    model = backbone(architecture).model
    channels: Channels = kind(model)
    channels.extend_prefix(data.draw(ids))
    for _ in range(data.draw(st.integers(4, 14))):
        listening = channels.input is not None
        edits = ["speak", "silence", "listen", "expect", "drop", "promote", "roll back"]
        if not listening:
            edits = ["speak", "silence", "extend", "fork", "fork", "cut", "shorten"]
        edit = data.draw(st.sampled_from(edits))
        if edit == "speak":
            channels.speaking = True
        elif edit == "silence":
            channels.speaking = False
        elif edit == "extend":
            channels.extend_prefix(data.draw(ids))
        elif edit == "fork":
            channels.fork(data.draw(ids))
        elif edit == "listen":
            assert channels.input is not None
            kept = data.draw(st.integers(0, len(channels.input.ids)))
            channels.listen(channels.input.ids[:kept] + data.draw(ids))
        elif edit == "expect":
            assert channels.input is not None
            channels.input.ids.append(data.draw(st.integers(0, 200)))
        elif edit == "drop":
            channels.drop_input()
        elif edit == "promote":
            channels.promote()
            channels.extend_prefix(data.draw(ids))
        elif edit == "roll back":
            assert channels.input is not None
            channels.listen(channels.input.ids[: data.draw(st.integers(1, 5))])
        elif edit == "cut" and len(channels.prefix.ids) > 2:
            channels.cut_prefix(1, data.draw(st.integers(1, len(channels.prefix.ids) - 1)))
        elif edit == "shorten":
            channels.truncate_prefix(
                data.draw(st.integers(1, len(channels.prefix.ids) + len(channels.output.ids)))
            )
        if channels.speaking and not (channels.output.pending or channels.prefix.pending):
            channels.speak(data.draw(st.integers(0, 200)))
        check_encoding(channels, model)
        check_slots(channels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rolled_back_channel_is_one_that_never_saw_the_rest(kind: type) -> None:
    """Property 4, in keys and values: expected words leave no trace once they are rolled back."""
    model = backbone("llama").model
    heard, expected, more = [11, 12, 13], [41, 42, 43, 44], [14, 15]
    seen, unseen = kind(model), kind(model)
    for channels in (seen, unseen):
        channels.extend_prefix([1, 2, 3, 4, 5])
        channels.fork(heard)
        channels.encode()
    for token in expected:
        seen.input.ids.append(token)
        seen.encode()
    for channels in (seen, unseen):
        channels.listen(heard + more)
        channels.encode()
    if kind is TwinChannels:
        assert [state(channels) for channels in (seen, unseen)].count(state(seen)) == 2
        return
    for one, other in zip(keys_and_values(seen), keys_and_values(unseen), strict=True):
        torch.testing.assert_close(one, other, **TOLERANCE)


def state(channels: TwinChannels) -> bytes:
    """Keys and values of prefix and input channel, as llama.cpp saves them."""
    return bytes(channels.pool._saved(2 * channels._row + 1))


def keys_and_values(channels: Channels) -> list[Tensor]:
    """Keys and values of prefix and input channel, in the order of their tokens."""
    assert channels.input is not None
    if isinstance(channels, FusedChannels):
        slots = torch.tensor(channels.prefix.slots + channels.input.slots)
        return [part[:, :, slots] for part in (*channels.pool.keys, *channels.pool.values)]
    assert isinstance(channels, SequentialChannels)
    assert channels._side is not None
    return [part for layer in channels._side.layers for part in (layer.keys, layer.values)]


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        (FusedChannels, 1),
        (SequentialChannels, 2),
        pytest.param(TwinChannels, 1, marks=needs_llama),
        pytest.param(partial(TwinChannels, sequential=True), 2, marks=needs_llama),
    ],
)
def test_two_channels_take_one_pass_and_the_published_scheme_two(kind: Any, passes: int) -> None:
    model = backbone("llama").model
    channels = kind(model)
    channels.extend_prefix([1, 2, 3])
    channels.speaking = True
    channels.encode()
    channels.speak(4)
    channels.fork([5, 6])
    before = channels.forward_passes
    check_encoding(channels, model)
    assert channels.forward_passes - before == passes


@pytest.mark.parametrize("kind", [FusedChannels, LLAMA])
def test_tokens_are_counted_exactly(kind: type) -> None:
    channels = kind(backbone("llama").model)
    channels.extend_prefix([1, 2, 3])
    channels.speaking = True
    channels.encode()
    channels.speak(4)
    channels.encode()
    channels.speak(5)
    channels.fork([6, 7])
    channels.encode()
    assert (channels.forward_passes, channels.tokens_processed) == (3, 3 + 1 + 3)


@pytest.mark.parametrize("kind", [FusedChannels, LLAMA])
def test_slots_of_dropped_channels_are_used_again(kind: type) -> None:
    """A hundred ignored remarks need no more memory than one."""
    channels = kind(backbone("llama").model)
    channels.extend_prefix(list(range(10)))
    allocated = []
    for _ in range(100):
        channels.fork([20] * 30)
        channels.encode()
        channels.drop_input()
        allocated.append(channels.cache_bytes)
    in_use = channels.cells if kind is TwinChannels else channels.slots_in_use
    assert in_use == 10
    assert len(set(allocated)) == 1


@pytest.mark.parametrize("kind", [FusedChannels, LLAMA])
def test_the_cache_grows_past_its_first_size_without_a_seam(kind: type) -> None:
    model = backbone("llama").model
    channels = kind(model)
    if kind is TwinChannels:
        channels = kind(model, LlamaPool(twin(model), 2, cells=256))
        other = kind(model, channels.pool)  # which stays as it is
        other.extend_prefix([1, 2, 3])
        other.encode()
    channels.extend_prefix([7] * 250)
    channels.speaking = True
    check_encoding(channels, model)
    channels.speak(3)
    channels.fork(list(range(40)))
    check_encoding(channels, model)
    if kind is TwinChannels:
        check_sequences(channels)
        channels.listen([*range(20), *[9] * 230])  # and again, in the middle of a fork
        channels.speak(6)
        check_encoding(channels, model)
        check_sequences(channels)
        other.speaking = True
        other.speak(4)
        check_encoding(other, model)
    channels.drop_input()
    channels.speak(5)
    check_encoding(channels, model)
    channels.clear()
    assert (channels.cells if kind is TwinChannels else channels.slots_in_use) == 0


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("attention", ["eager", "flex_attention"])
def test_other_kinds_of_attention_give_the_same_logits(attention: str, architecture: str) -> None:
    """With and without sliding windows; the fork lies beyond the window."""
    torch._dynamo.reset()  # FlexAttention is compiled, for so many masks of a process only
    scores = []
    for kind in ("sdpa", attention):
        model = tiny_backbone(architecture, attention=kind, dtype=torch.float32, head_dim=16).model
        channels = FusedChannels(model)
        channels.extend_prefix(list(range(1, 30)))
        channels.speaking = True
        channels.encode()
        channels.speak(9)
        channels.fork([5, 6, 7])
        scores.append(channels.encode())
    for one, other in ((scores[0].output, scores[1].output), (scores[0].input, scores[1].input)):
        assert one is not None
        assert other is not None
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_a_model_without_keys_and_values_is_refused() -> None:
    model = tiny_backbone("llama").model
    model.config.layer_types = ["linear_attention", "full_attention", "full_attention"]
    with pytest.raises(BadInput, match="its layers of the kind linear_attention"):
        FusedChannels(model)
