"""Which samples are looked at in which step: known before the run, and so the same after a kill."""

from __future__ import annotations

import random
from collections.abc import Sequence

from duo.errors import BadInput


def plan(
    lengths: Sequence[int], *, batch: int, parts: int, steps: int, seed: int, packing: bool
) -> list[list[int]]:
    """The parts that batches are computed in, in order.

    Every sample is used once before one is used again. A step's batch is split into `parts` of
    about the same cost, each of samples of about the same length where they are padded.

    Args:
        lengths: of the samples, in tokens.
        batch: samples of a step.
        parts: parts of a step, over all processes and accumulations.
        steps: how many.
        seed: of the order.
        packing: whether a part costs the sum of its lengths, or its longest times its number.

    Returns:
        `steps * parts` lists of places in `lengths`, none empty.

    Raises:
        BadInput: there are no samples, or fewer in a batch than parts.
    """
    if not lengths:
        raise BadInput("no samples to train on")
    if batch < parts:
        raise BadInput(f"{batch} samples cannot be split into {parts} parts", field="batch")
    draw = random.Random(seed)
    order: list[int] = []
    made: list[list[int]] = []
    split = _packed if packing else _padded
    for _ in range(steps):
        while len(order) < batch:
            epoch = list(range(len(lengths)))
            draw.shuffle(epoch)
            order += epoch
        chosen, order = order[:batch], order[batch:]
        made += split(sorted(chosen, key=lambda place: (-lengths[place], place)), lengths, parts)
    return made


def _packed(chosen: list[int], lengths: Sequence[int], parts: int) -> list[list[int]]:
    """The longest first, each to the part that is shortest so far."""
    made: list[list[int]] = [[] for _ in range(parts)]
    for place in chosen:
        min(made, key=lambda part: sum(lengths[p] for p in part) if part else -1).append(place)
    return made


def _padded(chosen: list[int], lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Runs of the sorted samples: the smallest padded area for which `parts` runs are enough."""
    low, high = lengths[chosen[0]], lengths[chosen[0]] * len(chosen)
    while low < high:
        area = (low + high) // 2
        if len(_runs(chosen, lengths, area)) <= parts:
            high = area
        else:
            low = area + 1
    runs = _runs(chosen, lengths, high)
    while len(runs) < parts:  # every process has something to do
        longest = max(runs, key=len)
        runs.append([longest.pop()])
    return runs


def _runs(chosen: list[int], lengths: Sequence[int], area: int) -> list[list[int]]:
    runs: list[list[int]] = []
    for place in chosen:
        if runs and lengths[runs[-1][0]] * (len(runs[-1]) + 1) <= area:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs
