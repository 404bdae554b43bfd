"""Compute the loss at every place where something is learned, in training and in validation.

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

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from duo.decoding.reading import batches_of_area, logits_only_where
from duo.tokens import StateTokens
from duo.training.encode import NOT_LEARNED, Target
from duo.training.settings import Answers, Inside

if TYPE_CHECKING:
    from duo.training.samples import Samples


def base_places(counts: Sequence[int], *, inside: Inside, answers: Answers) -> slice:
    """Find the places at which the model without its adapter is what is learned.

    Args:
        counts: of the places of each `Target`, in whose order they come.
        inside, answers: what is learned there.
    """
    spoken = sum(counts[: Target.INSIDE])
    start = counts[Target.STATE] if answers == "base" else spoken
    return slice(start, sum(counts) if inside == "base" else spoken)


def place_losses(
    logits: Tensor,
    target: Tensor,
    counts: Sequence[int],
    *,
    states: StateTokens,
    inside: Inside,
    end: int,
    answers: Answers = "words",
    base: Tensor | None = None,
) -> Tensor:
    """Compute the loss at each place, unweighted.

    Args:
        logits: `[places, vocabulary]`.
        target: `[places]`, the next token's id or `NOT_LEARNED`.
        counts: of the places of each `Target`, in whose order they come.
        states: ids of the state tokens.
        inside: what is learned at places of the kinds `INSIDE` and `PAUSE`.
        end: id of the token that ends a turn.
        answers: what is learned at places of the kind `OUTPUT`.
        base: where either of them is "base": logits of the model without its adapter at the places
            `base_places`.

    Returns:
        `[places]`, in nats, float32 or wider.
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    state, output, held, pause = (part.to(wide) for part in logits.split(list(counts)))
    next_state, next_output, next_held, _ = target.split(list(counts))
    if base is None:
        if "base" in (inside, answers):
            raise ValueError("the base model's logits are missing")
    elif answers == "base":
        base_output, base = base[: len(output)], base[len(output) :]

    losses = [_surprise(state, next_state), _surprise(output, next_output)]
    if answers == "base" and base is not None:
        kept = _divergence(output, base_output, states)
        losses[1] = torch.where(next_output == end, losses[1], kept)
    if inside == "none":
        losses.append(losses[0].new_zeros(len(held) + len(pause)))
    elif inside == "base" and base is not None:
        losses.append(_divergence(torch.cat([held, pause]), base, states))
    else:
        losses += [
            _surprise(held, next_held) if inside == "words" else no_state_loss(held, states),
            _surprise(pause, torch.full_like(target[: len(pause)], end)) if inside == "hold"
            else no_state_loss(pause, states),
        ]  # fmt: skip
    return torch.cat(losses)


def losses_in_parts(
    head: Callable[[Tensor], Tensor],
    hidden: Tensor,
    target: Tensor,
    counts: Sequence[int],
    size: int,
    **how: Any,
) -> Tensor:
    """Compute `place_losses` while the logits of at most `size` places are held.

    They are computed once more for their gradients, and never all kept.

    Args:
        head: gives logits `[..., vocabulary]` of states `[..., width]`.
        hidden: `[places, width]`.
        target, counts, how: see `place_losses`; nothing can be "base".
        size: of a part.
    """

    def part(hidden: Tensor, target: Tensor, counts: Sequence[int]) -> Tensor:
        return place_losses(head(hidden[None])[0], target, counts, **how)

    kinds = list(pairwise(accumulate(counts, initial=0)))
    losses = []
    for start in range(0, max(1, len(hidden)), size):
        stop = start + size
        own = [max(0, min(stop, last) - max(start, first)) for first, last in kinds]
        losses.append(
            checkpoint(
                part, hidden[start:stop], target[start:stop], own,
                use_reentrant=False, preserve_rng_state=False,
            )
        )  # fmt: skip
    return torch.cat(losses)


def _surprise(logits: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(logits, target, reduction="none")


def no_state_loss(logits: Tensor, states: StateTokens) -> Tensor:
    """Compute -log(1 - p(<1>) - p(<2>)) for logits `[places, vocabulary]`.

    It is never infinite by rounding.
    """
    own = torch.stack([logits[:, state] for state in states.decisions], -1)
    others = _without(logits, states.decisions)
    # 1 - p = sigmoid(logsumexp of the others - logsumexp of the states)
    return functional.softplus(own.logsumexp(-1) - others.logsumexp(-1))


def _without(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """Leave tokens out, one by one: a list as an index is copied to the device and waited for."""
    others = logits.clone()
    for token in tokens:
        others[:, token] = -torch.inf
    return others


def _divergence(logits: Tensor, base: Tensor, states: StateTokens) -> Tensor:
    ordinary = _without(base.to(logits.dtype), states.all)
    expected = ordinary.softmax(-1)
    surprise = torch.where(expected > 0, ordinary.log_softmax(-1) - logits.log_softmax(-1), 0.0)
    return (expected * surprise).sum(-1)


#: Padded tokens of one batch.
_AREA = 4096

_RATES = (
    "loss_state", "loss_output", "state_accuracy", "respond_recall", "ignore_recall", "premature",
    "premature_at_pauses",
)  # fmt: skip


def validate(
    model: Any,
    samples: Samples,
    states: StateTokens,
    *,
    numbers: range | None = None,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    gather: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Compute loss and accuracy of state tokens, with the true words before them, on samples.

    Args:
        model: a causal LM; left in the mode that it is in.
        samples: may be empty.
        states: ids of the state tokens.
        numbers: of the samples that are looked at; None for all.
        autocast: the number format that it is computed in.
        gather: adds up the counts of several processes.

    Returns:
        Those of these that the samples have cases for: `loss_state`, `loss_output` in nats a
        token; `state_accuracy`, the share of state tokens that are the likeliest token at their
        place, and the same as `respond_recall` and `ignore_recall`; `premature`, the share of
        places in the middle of an utterance where a state token is the likeliest token, and
        `premature_at_pauses`, where an utterance breaks off.
    """
    chosen = range(len(samples)) if numbers is None else numbers
    sums = torch.zeros(len(_RATES), 2, dtype=torch.float64, device=model.device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            lengths = [int(samples.lengths[number]) for number in chosen]
            for places in batches_of_area(lengths, _AREA):
                made = samples.batch([chosen[place] for place in places])
                where, target = (made[name].to(model.device) for name in ("where", "target"))
                if not len(target):
                    continue
                with autocast(), logits_only_where(model, where):
                    ids = made["input_ids"].to(model.device)
                    logits = model(input_ids=ids, use_cache=False).logits[0]
                sums += _sums(logits.float(), target, made["counts"], states)
    finally:
        model.train(training)
    found = (sums if gather is None else gather(sums)).tolist()
    pairs = zip(_RATES, found, strict=True)
    return {name: part / whole for name, (part, whole) in pairs if whole}


def _sums(logits: Tensor, target: Tensor, counts: Sequence[int], states: StateTokens) -> Tensor:
    """Sum up, for each of `_RATES`, what it divides and by what: `[rates, 2]`."""
    losses = functional.cross_entropy(logits, target, ignore_index=NOT_LEARNED, reduction="none")
    likeliest = logits.argmax(-1)
    right = likeliest == target
    decided = torch.isin(likeliest, likeliest.new_tensor(states.decisions))
    numbers = torch.arange(len(Target)).repeat_interleave(torch.tensor(counts))
    kind = numbers.to(target.device)
    state, output, inside = kind == Target.STATE, kind == Target.OUTPUT, kind >= Target.INSIDE
    pairs = (
        (losses, state), (losses, output), (right, state),
        (right, state & (target == states.respond)), (right, state & (target == states.ignore)),
        (decided, inside), (decided, kind == Target.PAUSE),
    )  # fmt: skip
    rows = [torch.stack([(values * where).sum(), where.sum()]) for values, where in pairs]
    return torch.stack([row.double() for row in rows])
