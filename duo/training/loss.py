"""The loss at every place where something is learned.

State tokens: cross entropy. Answers, by the setting `answers`:

- `words`: cross entropy on the data's answer (the paper).
- `base`: KL divergence from the distribution of the model without its adapter, over all tokens but
  the state tokens; cross entropy on the token that ends an answer, which is a decision. The model
  goes on saying what it would have said: whoever wrote the data's answers is not imitated, and
  little else moves but the decisions (Li and Hoiem 2016, "Learning without Forgetting").

Where the user is in the middle of an utterance the paper learns nothing, and its samples never show
an utterance that is not over; so a model trained on them takes every pause for an end. What is
learned there instead is the setting `inside`:

- `none`: nothing (the paper).
- `unlikely`: -log(1 - p(<1>) - p(<2>)). It takes the state tokens away and leaves everything else
  to the model (the unlikelihood loss of Welleck et al. 2020, over two tokens at once).
- `words`: cross entropy on the user's next word; `unlikely` at the end of an utterance that breaks
  off, where the next word is not known.
- `hold`: `unlikely`, and at the end of an utterance that breaks off cross entropy on the token that
  ends a turn. The decoder's look-ahead stops at that token without a decision, so the model says
  "not yet" in one token. Without it the model goes on with words of its own, and a state token
  after these counts as a decision on a query that nobody has finished. It works against what
  chat models know: the embedded one ends the turn itself after most finished questions and goes on
  with four words or more after most broken off ones.
- `base`: KL divergence as above: user words are expected as before training, and no state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from duo.tokens import StateTokens
from duo.training.batch import Target
from duo.training.encode import NOT_LEARNED
from duo.training.settings import Answers, Inside


@contextmanager
def logits_only_where(model: Any, where: Tensor) -> Iterator[None]:
    """Within, the model computes logits for the places `where` `[rows, tokens]` alone.

    They come as `[1, places, vocabulary]`. With a large vocabulary that saves much of the time and
    most of the memory.
    """
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][where][None], *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()


def place_losses(
    logits: Tensor,
    target: Tensor,
    kind: Tensor,
    *,
    states: StateTokens,
    inside: Inside,
    end: int,
    answers: Answers = "words",
    base: Tensor | None = None,
) -> Tensor:
    """The loss at each place, unweighted.

    Args:
        logits: `[places, vocabulary]`.
        target: `[places]`, the next token's id or `NOT_LEARNED`.
        kind: `[places]`, of `Target`.
        states: ids of the state tokens.
        inside: what is learned at places of the kinds `INSIDE` and `PAUSE`.
        end: id of the token that ends a turn.
        answers: what is learned at places of the kind `OUTPUT`.
        base: where either of them is "base": logits of the model without its adapter, same shape.

    Returns:
        `[places]`, in nats, float32 or wider.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = functional.cross_entropy(logits, target, ignore_index=NOT_LEARNED, reduction="none")
    held = kind >= Target.INSIDE
    kept = torch.zeros_like(held)  # where the base model is what is learned
    if answers == "base":
        kept |= (kind == Target.OUTPUT) & (target != end)
    if inside == "base":
        kept |= held
    if bool(kept.any()):
        if base is None:
            raise ValueError("the base model's logits are missing")
        losses = losses.masked_scatter(kept, _divergence(logits[kept], base[kept], states))
    if inside == "base" or not bool(held.any()):
        return losses
    if inside == "none":
        return losses.masked_fill(held, 0.0)
    at = logits[held]
    unknown = target[held] == NOT_LEARNED
    fresh = no_state_loss(at, states)
    if inside == "words":
        fresh = torch.where(unknown, fresh, losses[held])
    elif inside == "hold":
        stops = functional.cross_entropy(at, torch.full_like(target[held], end), reduction="none")
        fresh = torch.where(unknown, stops, fresh)
    return losses.masked_scatter(held, fresh)


def no_state_loss(logits: Tensor, states: StateTokens) -> Tensor:
    """-log(1 - p(<1>) - p(<2>)) for logits `[places, vocabulary]`; never infinite by rounding."""
    decided = torch.logsumexp(logits[:, [states.respond, states.ignore]], dim=-1)
    others = logits.clone()
    others[:, [states.respond, states.ignore]] = -torch.inf
    # 1 - p = sigmoid(logsumexp of the others - logsumexp of the states)
    return functional.softplus(decided - torch.logsumexp(others, dim=-1))


def _divergence(logits: Tensor, base: Tensor, states: StateTokens) -> Tensor:
    ordinary = base.to(logits.dtype).clone()
    ordinary[:, [states.respond, states.ignore, states.idle]] = -torch.inf
    expected = ordinary.softmax(-1)
    surprise = torch.where(expected > 0, ordinary.log_softmax(-1) - logits.log_softmax(-1), 0.0)
    return (expected * surprise).sum(-1)
