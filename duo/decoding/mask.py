"""Build the attention mask of two channels over one prefix (the paper's Figure 1).

Every slot of the cache holds one token's keys and values and carries two facts: the channel it
belongs to and its logical position. A query token sees a slot if and only if the slot is part of
the prefix or of the query's own channel, and not later than the query itself. The channels continue
from the fork with the same position numbers, and neither ever sees the other.

`python -m duo.decoding.mask` draws the mask of a small fork in the terminal; `reports.plots.mask`
draws it for print.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import torch
from torch import Tensor


class Owner(IntEnum):
    """The owner of a slot of the cache."""

    FREE = 0
    PREFIX = 1
    OUTPUT = 2
    INPUT = 3


#: A plain number: FlexAttention traces a comparison with an enum member to a wrong mask.
_PREFIX = int(Owner.PREFIX)


def visible(
    query_owner: Tensor,
    query_position: Tensor,
    key_owner: Tensor,
    key_position: Tensor,
    window: int | None = None,
) -> Tensor:
    """Apply the rule above to any tensors that broadcast against each other.

    Args:
        query_owner: `Owner` codes of the queries; for a whole mask shaped `[queries, 1]`.
        query_position: their logical positions, same shape.
        key_owner: `Owner` codes of the slots; for a whole mask shaped `[slots]`.
        key_position: their logical positions, same shape.
        window: for layers with sliding-window attention, how many positions back a query sees,
            itself included; None for all.

    Returns:
        Boolean tensor of the broadcast shape, True where attention is allowed. Slots that are free
        are seen by nobody, as no query is owned by `FREE`.
    """
    shared = key_owner == _PREFIX
    own = key_owner == query_owner
    seen = (shared | own) & (key_position <= query_position)
    if window is not None:
        seen = seen & (query_position - key_position < window)
    return seen


def fork_mask(prefix: int, output: int, input: int, window: int | None = None) -> Tensor:
    """Build the whole mask of one fork, as if everything were encoded in one forward pass.

    Args:
        prefix, output, input: numbers of tokens of the prefix and of each channel.
        window: see `visible`.

    Returns:
        Boolean tensor `[prefix + output + input]` squared; rows are queries, columns are keys, both
        in the order prefix, output, input.
    """
    owner = torch.tensor(
        [Owner.PREFIX] * prefix + [Owner.OUTPUT] * output + [Owner.INPUT] * input, dtype=torch.int8
    )
    position = torch.cat(
        [torch.arange(prefix), prefix + torch.arange(output), prefix + torch.arange(input)]
    )
    return visible(owner[:, None], position[:, None], owner, position, window)


def draw(mask: Tensor, labels: Sequence[str]) -> str:
    """Draw a mask as text: a row a query, `#` where it sees the key of that column."""
    width = max((len(label) for label in labels), default=0)
    rows = [
        f"{label:>{width}} " + "".join(" #" if seen else " ·" for seen in row)
        for label, row in zip(labels, mask.tolist(), strict=True)
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    names = [f"prefix {n}" for n in range(4)]
    names += [f"output {n}" for n in range(4, 7)] + [f"input {n}" for n in range(4, 9)]
    print(draw(fork_mask(prefix=4, output=3, input=5), names))
