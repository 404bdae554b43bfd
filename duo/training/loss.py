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

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from duo.tokens import StateTokens
from duo.training.encode import NOT_LEARNED, Encoded
from duo.training.settings import Answers, Inside


class Target(IntEnum):
    """The kinds of places where something is learned."""

    STATE = 0  #: the state token that comes next
    OUTPUT = 1  #: the answer's token that comes next
    INSIDE = 2  #: that no state token comes next: the user is in the middle of an utterance
    PAUSE = 3  #: the same where the user breaks off


def targets(sample: Encoded, states: StateTokens, *, inside: bool) -> list[tuple[int, int, int]]:
    """List what a sample teaches: place of the last token seen, id of the next one, `Target`.

    The next id is `NOT_LEARNED` where a sample ends in the middle of an utterance.
    """
    found = []
    for place in range(len(sample)):
        last = place == len(sample) - 1
        label = NOT_LEARNED if last else sample.labels[place + 1]
        if label != NOT_LEARNED:
            state = label in (states.respond, states.ignore)
            found.append((place, label, int(Target.STATE if state else Target.OUTPUT)))
        elif inside and sample.inside[place]:
            following = NOT_LEARNED if last else sample.ids[place + 1]
            found.append((place, following, int(Target.PAUSE if last else Target.INSIDE)))
    return found


def collate(
    samples: Sequence[Encoded], states: StateTokens, *, packing: bool, inside: bool
) -> dict[str, Tensor]:
    """Put samples side by side in one batch.

    Args:
        samples: at least one.
        states: ids of the state tokens.
        packing: one row for all, position numbers restarting with each sample: `transformers`
            takes that as the sign that a token sees its own sample only.
        inside: whether places where no state token may come are among the targets.

    Returns:
        `input_ids` and `position_ids` `[rows, tokens]`; `where`, boolean of that shape, true at the
        places of the targets; `target` and `kind` `[targets]`, in the order of the places. Rows are
        padded on the right, where no token of theirs looks, so no mask is needed.
    """
    rows = [list(samples)] if packing else [[sample] for sample in samples]
    width = max(sum(map(len, row)) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    positions = torch.arange(width).repeat(len(rows), 1)
    where = torch.zeros_like(ids, dtype=torch.bool)
    found: list[tuple[int, int, int]] = []
    for number, row in enumerate(rows):
        start = 0
        for sample in row:
            stop = start + len(sample)
            ids[number, start:stop] = torch.tensor(sample.ids)
            positions[number, start:stop] = torch.arange(len(sample))
            learned = targets(sample, states, inside=inside)
            where[number, [start + place for place, _, _ in learned]] = True
            found += learned
            start = stop
    facts = torch.tensor(found, dtype=torch.long).reshape(-1, 3)
    return {
        "input_ids": ids,
        "position_ids": positions,
        "where": where,
        "target": facts[:, 1],
        "kind": facts[:, 2],
    }


@contextmanager
def logits_only_where(model: Any, where: Tensor) -> Iterator[None]:
    """Compute, within, logits for the places `where` `[rows, tokens]` alone.

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
    """Compute the loss at each place, unweighted.

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
    """Compute -log(1 - p(<1>) - p(<2>)) for logits `[places, vocabulary]`.

    It is never infinite by rounding.
    """
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


#: Padded tokens of one batch.
_AREA = 4096

_RATES = (
    "loss_state", "loss_output", "state_accuracy", "respond_recall", "ignore_recall", "premature",
    "premature_at_pauses",
)  # fmt: skip


def validate(
    model: Any,
    samples: Sequence[Encoded],
    states: StateTokens,
    *,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    gather: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Compute loss and accuracy of state tokens, with the true words before them, on samples.

    Args:
        model: a causal LM; left in the mode that it is in.
        samples: may be empty.
        states: ids of the state tokens.
        autocast: the number format that it is computed in.
        gather: adds up the counts of several processes.

    Returns:
        Those of these that the samples have cases for: `loss_state`, `loss_output` in nats a
        token; `state_accuracy`, the share of state tokens that are the likeliest token at their
        place, and the same as `respond_recall` and `ignore_recall`; `premature`, the share of
        places in the middle of an utterance where a state token is the likeliest token, and
        `premature_at_pauses`, where an utterance breaks off.
    """
    sums = torch.zeros(len(_RATES), 2, dtype=torch.float64)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            lengths = [len(sample) for sample in samples]
            for batch in batches_of_area(lengths, _AREA):
                chosen = [samples[place] for place in batch]
                made = collate(chosen, states, packing=False, inside=True)
                made = {name: value.to(model.device) for name, value in made.items()}
                if not len(made["target"]):
                    continue
                with autocast(), logits_only_where(model, made["where"]):
                    logits = model(
                        input_ids=made["input_ids"],
                        position_ids=made["position_ids"],
                        use_cache=False,
                    ).logits[0]
                sums += _sums(logits.float(), made["target"], made["kind"], states)
    finally:
        model.train(training)
    if gather is not None:
        sums = gather(sums)
    pairs = zip(_RATES, sums.tolist(), strict=True)
    return {name: part / whole for name, (part, whole) in pairs if whole}


def _sums(logits: Tensor, target: Tensor, kind: Tensor, states: StateTokens) -> Tensor:
    """Sum up, for each of `_RATES`, what it divides and by what: `[rates, 2]`."""
    losses = functional.cross_entropy(logits, target, ignore_index=NOT_LEARNED, reduction="none")
    likeliest = logits.argmax(-1)
    right = likeliest == target
    decided = (likeliest == states.respond) | (likeliest == states.ignore)
    state, output, inside = kind == Target.STATE, kind == Target.OUTPUT, kind >= Target.INSIDE
    pairs = (
        (losses, state), (losses, output), (right, state),
        (right, state & (target == states.respond)), (right, state & (target == states.ignore)),
        (decided, inside), (decided, kind == Target.PAUSE),
    )  # fmt: skip
    return torch.tensor(
        [[float(values[where].sum()), int(where.sum())] for values, where in pairs],
        dtype=torch.float64,
    )


def batches_of_area(lengths: Sequence[int], area: int) -> list[list[int]]:
    """Batch rows of about the same length, the longest first.

    Args:
        lengths: of the rows, in tokens.
        area: padded tokens of a batch at most, unless one row alone is longer.

    Returns:
        Places in `lengths`.
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= area:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches
