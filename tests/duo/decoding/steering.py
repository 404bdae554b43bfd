"""Channels whose scores are bent at chosen moments, so that random models take decisions.

A random model never predicts a state token and rarely ends an answer. Everything else about it is
real: only the wanted token's logit is raised above the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from duo.backbone import Backbone
from duo.decoding.channels import Channels, Scores, encode_together
from duo.decoding.fused import FusedChannels
from duo.fusion import token_of

#: What to predict after the text of the input channel; None leaves it to the model.
Listening = Callable[[str], int | None]
#: What to say after so many tokens of an answer; None leaves it to the model, which may then say
#: anything but the end of the answer.
Speaking = Callable[[int], int | None]


def steered(
    backbone: Backbone,
    listening: Listening = lambda text: None,
    speaking: Speaking = lambda count: None,
    kind: type[Channels] = FusedChannels,
) -> Callable[..., Channels]:
    """A maker of channels of this `kind`, steered by the two rules."""

    stop = torch.tensor(sorted(backbone.chat.stop))

    class Steered(kind):  # type: ignore[misc, valid-type]
        def encode(self) -> Scores:
            return self.bent(super().encode())

        def bent(self, scores: Scores) -> Scores:
            if scores.input is not None:
                text = backbone.tokenizer.decode([token_of(id) for id in self.input.ids])
                # By so much that the token is all but certain: decisions go by probabilities, too.
                scores = replace(scores, input=raised(scores.input, listening(text), by=30.0))
            if scores.output is not None:
                count = len(self.output.ids) + self.settled
                ongoing = scores.output.index_fill(0, stop, -torch.inf)
                scores = replace(scores, output=raised(ongoing, speaking(count)))
            return scores

        @property
        def settled(self) -> int:
            """Tokens of the answer that are prefix already, because of a fork."""
            opening = list(backbone.chat.assistant_open)
            ids = self.prefix.ids
            for end in range(len(ids), len(opening), -1):
                if ids[end - len(opening) : end] == opening:
                    return len(ids) - end
            return 0

    return Steered


def encode_steered(waiting: Sequence[Any]) -> list[Scores]:
    """Encode steered channels together."""
    return [
        channels.bent(scores)
        for channels, scores in zip(waiting, encode_together(waiting), strict=True)
    ]


def raised(scores: torch.Tensor, token: int | None, by: float = 1.0) -> torch.Tensor:
    """The scores with one token's above all others."""
    if token is None:
        return scores
    scores = scores.clone()
    scores[token] = scores.max() + by
    return scores


def by_ending(backbone: Backbone) -> Listening:
    """`?` ends a query, `mhm` and `.` something to ignore; nothing is known of other texts."""

    def rule(text: str) -> int | None:
        if text.endswith("?"):
            return backbone.states.respond
        if text.endswith(("mhm", ".")):
            return backbone.states.ignore
        return None

    return rule


def ending_after(backbone: Backbone, tokens: int) -> Speaking:
    """Answers of so many tokens."""
    stop = min(backbone.chat.stop)
    return lambda count: stop if count >= tokens else None
