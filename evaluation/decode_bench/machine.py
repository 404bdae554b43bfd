"""Measure what the machine can do: memory, matrix products, and transformers' `generate()`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer

from duo.backbone import Backbone
from duo.quantising import stored_bytes
from evaluation.decode_bench.drive import Shape

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
#: Of each measurement, the best of which counts.
_ROUNDS = 5
_RESET_PEAK = "5"  # to `clear_refs`: forget the peak of the resident set (man 5 proc)


class PeakMemory:
    """The most memory in use since the beginning, in bytes; None where that is unknown.

    On a GPU what torch allocated there, weights included; else the process's resident set.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._known = device, True
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            _CLEAR.write_text(_RESET_PEAK)
        except OSError:  # another system, or not allowed
            self._known = False

    @property
    def bytes(self) -> int | None:
        if not self._known:
            return None
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        lines = _STATUS.read_text().splitlines()
        peak = next((line for line in lines if line.startswith("VmHWM:")), None)
        return 1024 * int(peak.split()[1]) if peak else None


def weight_bytes(backbone: Backbone) -> int:
    """Count bytes of weights that each forward pass reads: all but an untied input embedding."""
    model = backbone.model
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    unread = embedding.nbytes if head is not embedding else 0
    return stored_bytes(model.parameters()) - unread


@torch.inference_mode()
def read_bandwidth(device: torch.device, size: int) -> float:
    """Measure bytes a second that the device reads memory at, the best of a few rounds.

    Two ways of reading a buffer of `size` bytes, as large as the weights, are tried: a sum and a
    matrix-vector product, the one that decoding consists of.
    """
    width = 1024
    buffer = torch.ones(max(1, size // 4 // width), width, device=device)
    vector = torch.ones(width, device=device)
    ways: tuple[Callable[[], Any], ...] = (buffer.sum, lambda: buffer @ vector)
    seconds = [timed(way, device) for _ in range(_ROUNDS) for way in ways]
    return buffer.nbytes / min(seconds)


@torch.inference_mode()
def product_seconds(
    backbone: Backbone, shapes: Iterable[Shape], rounds: int = _ROUNDS
) -> dict[Shape, float]:
    """Time the products with weight matrices of forward passes, the best of rounds, in seconds.

    No decoder on this model is faster: attention, norms, the cache and all bookkeeping come on top.
    """
    head = backbone.model.get_output_embeddings()
    layers = [layer for layer in backbone.model.modules() if isinstance(layer, nn.Linear)]
    inputs = {
        shape: [
            torch.ones(
                shape[layer is head], layer.in_features, dtype=layer.weight.dtype,
                device=backbone.device,
            )
            for layer in layers
        ]
        for shape in sorted(set(shapes))
    }  # fmt: skip
    best = dict.fromkeys(inputs, float("inf"))
    for _ in range(rounds):
        for shape, rows in inputs.items():

            def products(rows: list[torch.Tensor] = rows) -> None:
                for layer, row in zip(layers, rows, strict=True):
                    layer(row)

            best[shape] = min(best[shape], timed(products, backbone.device))
    return best


def product_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Measure floating point operations a second in a product of matrices, the best of rounds.

    The numbers are random: of equal ones a GPU makes products faster than it ever does in use.
    """
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / min(timed(lambda: matrix @ matrix, device) for _ in range(_ROUNDS))


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Time work in seconds, from when what was begun before is done until it is done."""
    settle(device)
    began = time.perf_counter()
    work()
    settle(device)
    return time.perf_counter() - began


def settle(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def generate_seconds(
    model: Any, prompt: list[int], tokens: int, *, stop: Sequence[int] = (), cache: str = "dynamic"
) -> float:
    """Time greedy `generate()`, in seconds a token, the first one (and so the prompt) not counted.

    None of `stop` ends it before `tokens`, 2 or more. `cache` is its kind, as `transformers` says.
    """
    ids = torch.tensor([prompt], device=model.device)
    times = _Times()
    model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            eos_token_id=list(stop) or None,
            cache_implementation=cache,
            pad_token_id=stop[0] if stop else 0,
        ),
        streamer=times,
    )
    first, last = times.moments[1], times.moments[-1]  # the first of all is the prompt's
    return (last - first) / (len(times.moments) - 2)


class _Times(BaseStreamer):
    """Notes when each token comes."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def put(self, value: Any) -> None:
        self.moments.append(time.perf_counter())

    def end(self) -> None:
        pass
