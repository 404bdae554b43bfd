"""Samples side by side: one tensor of tokens, and the places in it where something is learned."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import torch
from torch import Tensor

from duo.tokens import StateTokens
from duo.training.encode import NOT_LEARNED, Encoded


class Target(IntEnum):
    """What is learned at a place."""

    STATE = 0  #: the state token that comes next
    OUTPUT = 1  #: the answer's token that comes next
    INSIDE = 2  #: that no state token comes next: the user is in the middle of an utterance
    PAUSE = 3  #: the same where the user breaks off


def targets(sample: Encoded, states: StateTokens, *, inside: bool) -> list[tuple[int, int, int]]:
    """What a sample teaches: place of the last token seen, id of the next one, `Target`.

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
    """A batch of samples.

    Args:
        samples: at least one.
        states: ids of the state tokens.
        packing: one row for all, position numbers starting anew with each sample: `transformers`
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
