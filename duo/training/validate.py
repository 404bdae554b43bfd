"""How well state tokens are predicted, with the true words before them (teacher forcing)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from duo.tokens import StateTokens
from duo.training.batch import Target, collate
from duo.training.encode import NOT_LEARNED, Encoded
from duo.training.loss import logits_only_where

#: Padded tokens of one batch.
_AREA = 4096

# What is counted; each rate below is one over another.
_STATE, _STATE_LOSS, _RIGHT, _ANSWERED, _QUERIES, _IGNORED, _REMARKS = range(7)
_OUTPUT, _OUTPUT_LOSS, _INSIDE, _EARLY, _PAUSES, _EARLY_PAUSES = range(7, 13)
_COUNTS = 13


def validate(
    model: Any,
    samples: Sequence[Encoded],
    states: StateTokens,
    *,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    gather: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Loss and accuracy on samples.

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
    sums = torch.zeros(_COUNTS, dtype=torch.float64)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in _batches(samples):
                made = collate(batch, states, packing=False, inside=True)
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
    return _rates(sums.tolist())


def _sums(logits: Tensor, target: Tensor, kind: Tensor, states: StateTokens) -> Tensor:
    losses = functional.cross_entropy(logits, target, ignore_index=NOT_LEARNED, reduction="none")
    likeliest = logits.argmax(-1)
    right = likeliest == target
    decided = (likeliest == states.respond) | (likeliest == states.ignore)
    state, output, inside = kind == Target.STATE, kind == Target.OUTPUT, kind >= Target.INSIDE
    query, remark = state & (target == states.respond), state & (target == states.ignore)
    pause = kind == Target.PAUSE
    counted = {
        _STATE: state, _RIGHT: state & right, _QUERIES: query, _ANSWERED: query & right,
        _REMARKS: remark, _IGNORED: remark & right, _OUTPUT: output, _INSIDE: inside,
        _EARLY: inside & decided, _PAUSES: pause, _EARLY_PAUSES: pause & decided,
    }  # fmt: skip
    sums = torch.zeros(_COUNTS, dtype=torch.float64)
    for name, places in counted.items():
        sums[name] = int(places.sum())
    sums[_STATE_LOSS] = float(losses[state].sum())
    sums[_OUTPUT_LOSS] = float(losses[output].sum())
    return sums


def _rates(sums: list[float]) -> dict[str, float]:
    rates = {
        "loss_state": (_STATE_LOSS, _STATE),
        "loss_output": (_OUTPUT_LOSS, _OUTPUT),
        "state_accuracy": (_RIGHT, _STATE),
        "respond_recall": (_ANSWERED, _QUERIES),
        "ignore_recall": (_IGNORED, _REMARKS),
        "premature": (_EARLY, _INSIDE),
        "premature_at_pauses": (_EARLY_PAUSES, _PAUSES),
    }
    return {name: sums[part] / sums[whole] for name, (part, whole) in rates.items() if sums[whole]}


def _batches(samples: Sequence[Encoded]) -> list[list[Encoded]]:
    """Samples of about the same length together."""
    batches: list[list[Encoded]] = []
    for sample in sorted(samples, key=len, reverse=True):
        if batches and len(batches[-1][0]) * (len(batches[-1]) + 1) <= _AREA:
            batches[-1].append(sample)
        else:
            batches.append([sample])
    return batches
