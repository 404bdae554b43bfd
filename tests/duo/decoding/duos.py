"""Systems on random models that are steered to predict state tokens, and scripts for them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from duo.backbone import Backbone
from duo.decoding.channels import Channels, Scores
from duo.decoding.conversant import Conversant, CycleResult, Heard, Kind
from duo.decoding.duo import Duo, DuoSettings
from duo.decoding.fused import FusedChannels
from tests.duo.decoding.steering import by_ending, ending_after, steered
from tests.gguf_twin import TwinChannels, needs_llama
from tests.tiny import tiny_backbone

ARCHITECTURES = ("llama", "qwen2", "gemma2", "granite")
CASES = [
    *((FusedChannels, architecture) for architecture in ARCHITECTURES),
    pytest.param(TwinChannels, "qwen2", marks=needs_llama),
]
KINDS = [FusedChannels, pytest.param(TwinChannels, marks=needs_llama)]
QUERY = "What is the capital of France?"

words = st.sampled_from(
    ["the", "capital", " of", "France", ", and", " rain", "你好", "7:45", "mor", "ning"]
)
phrases = st.lists(words, min_size=1, max_size=6).map(" ".join)


@lru_cache
def backbone(architecture: str = "llama", **more: Any) -> Backbone:
    return tiny_backbone(architecture, **more)


def duo(
    model: Backbone, *, answer: int = 10_000, kind: type[Channels] = FusedChannels, **more: Any
) -> Duo:
    """A system that answers what ends in `?` and ignores what ends in `mhm` or a full stop."""
    channels = steered(model, by_ending(model), ending_after(model, answer), kind)
    return Duo(model, DuoSettings(**more), channels=channels)


def play(system: Conversant, script: list[Heard]) -> list[CycleResult]:
    return [system.cycle(heard) for heard in script]


def kinds(result: CycleResult) -> list[Kind]:
    return [event.kind for event in result.events if event.kind is not Kind.SPEECH]


def in_doubt(model: Any, more: int, less: int) -> Any:
    """Channels whose model expects no state token, but `more` sooner than `less`."""

    class Leaning(steered(model, by_ending(model))):  # type: ignore[misc]
        def bent(self, scores: Scores) -> Scores:
            scores = super().bent(scores)
            if scores.input is not None and int(scores.input.argmax()) not in (more, less):
                least = scores.input.min()
                places, raised = torch.tensor([more, less]), torch.stack([least, least - 1])
                scores = replace(scores, input=scores.input.index_copy(0, places, raised))
            return scores

    return Leaning
