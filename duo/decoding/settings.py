"""Define the settings that all systems share, check them, and choose tokens by them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from duo.decoding.channels import Asked
from duo.errors import check_types

#: A probability that something needs: 0 would be needed by nothing.
Chance = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Sampling:
    """Settings of how output tokens are chosen. The default is greedy.

    Attributes:
        temperature: 0 for greedy; else logits are divided by it and a token is drawn.
        top_k: draw from the k likeliest tokens; 0 for all.
        top_p: draw from the likeliest tokens that hold this share of probability together.
        repetition_penalty: above 1, words that the context holds already become less likely. Marks
            are no words: the end of an answer does not become less likely with each answer.

    Raises:
        BadInput: a value of another type, or out of its range.
    """

    temperature: NonNegativeFloat = 0.0
    top_k: NonNegativeInt = 0
    top_p: Chance = 1.0
    repetition_penalty: PositiveFloat = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)


@lru_cache(maxsize=64)
def _on(device: torch.device, tokens: tuple[int, ...]) -> Tensor:
    """Put token ids on a device, where they stay: that is waited for."""
    return torch.tensor(tokens, dtype=torch.long, device=device)


@dataclass(frozen=True)
class Likeliest:
    """Finds the likeliest token, but for those that are banned; see `duo.decoding.channels.Ask`."""

    banned: tuple[int, ...]

    def __call__(self, scores: Tensor) -> Tensor:
        banned = _on(scores.device, self.banned)
        return scores.index_fill_(1, banned, -torch.inf).argmax(-1, keepdim=True)


@dataclass(frozen=True)
class Chances:
    """Finds the likeliest token and the probabilities of some tokens; see `Likeliest`."""

    tokens: tuple[int, ...]

    def __call__(self, scores: Tensor) -> Tensor:
        chances = scores.float().softmax(-1)[:, _on(scores.device, self.tokens)]
        return torch.cat([scores.argmax(-1, keepdim=True), chances], -1)


class Sampler:
    """Draws tokens, the same ones after each `reset`.

    Args:
        marks: tokens that the repetition penalty leaves alone.
    """

    def __init__(
        self, sampling: Sampling, banned: Iterable[int] = (), marks: Iterable[int] = ()
    ) -> None:
        self._sampling = sampling
        self._marks = frozenset(marks)
        self._likeliest = Likeliest(tuple(sorted(set(banned))))
        self._processors = LogitsProcessorList()
        if sampling.repetition_penalty != 1:
            self._processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
        if sampling.temperature > 0:
            self._processors.append(TemperatureLogitsWarper(sampling.temperature))
            if sampling.top_k:
                self._processors.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self._processors.append(TopPLogitsWarper(sampling.top_p))
        self.reset()

    @property
    def reads_context(self) -> bool:
        """Whether the ids before a token count for its choice."""
        return self._sampling.repetition_penalty != 1

    def reset(self) -> None:
        """Restart the sequence of draws."""
        self._random = Random(self._sampling.seed)

    def ask(self, logits: Tensor, context: Sequence[int]) -> Tensor | Asked:
        """Choose a token as a call does, but ask for all sessions at once where it is greedy."""
        return self(logits, context) if self._processors else Asked(self._likeliest, logits)

    def __call__(self, logits: Tensor, context: Sequence[int]) -> Tensor:
        """Choose a token, and do not wait for the device: it is there that it is drawn.

        Args:
            logits: `[vocabulary]`.
            context: the ids before, if it `reads_context`.

        Returns:
            Its id, without dimensions.
        """
        device = logits.device
        scores = logits.index_fill(0, _on(device, self._likeliest.banned), -torch.inf)
        if self._processors:
            words = torch.tensor([[token for token in context if token not in self._marks]])
            ids = words.to(device, torch.long, non_blocking=device.type == "cuda")
            scores = self._processors(ids, scores[None].float())[0]
        if self._sampling.temperature == 0:
            return scores.argmax()
        # The same number draws the same token on any device. Apple's have no double precision.
        wide = scores.cpu() if device.type == "mps" else scores
        shares = wide.softmax(-1).cumsum(-1, dtype=torch.float64)
        return torch.searchsorted(shares, self._random.random() * shares[-1:], right=True)[0]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a conversation.

    Attributes:
        cycle_seconds: a cycle's length on the conversation's clock.
        max_answer_seconds: an answer is ended when it has been spoken for so long. The transcript
            says so: it is the recording's limit and nothing that the system did.
        max_tokens: length of the context; None for what the model allows.
        when_full: "drop" the oldest turns to make room, or "refuse" to go on.
        sampling: how output tokens are chosen.

    Raises:
        BadInput: a value of another type or choice, or a number that is not positive.
    """

    cycle_seconds: PositiveFloat = 1.0
    max_answer_seconds: PositiveFloat = 120.0
    max_tokens: PositiveInt | None = None
    when_full: Literal["drop", "refuse"] = "drop"
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        check_types(self)

    def max_answer_tokens(self, tokens_per_cycle: int) -> int:
        """Count the tokens of an answer of `max_answer_seconds` at this pace of speech."""
        return max(1, round(self.max_answer_seconds / self.cycle_seconds * tokens_per_cycle))
