"""Who rates what, and how the dialogues stand on the page. Pure functions; nothing is drawn twice.

Pages are given out one by one, each when a rater asks for the next, from what has been given out so
far. So every item gets its raters even if they come at any time, stop early or are revoked: what
does not count any more is simply given out again.

A rater gets, of the items that still need raters and that they have not seen:

1. one that the fewest raters have (so no item is ever more than one ahead of another that the rater
   could have had);
2. of those, one whose balance of orders, of the rater's own sides and over the raters, comes out
   best;
3. of those, the next in the rater's own sequence, a row of a Williams square: over the raters, each
   item is seen equally often early and late and after each other item.

The order of the dialogues on the page is one of `orders(systems)`, a Williams design again: the one
that this item had least often, then the one that this rater had least often. For two systems, no
item's sides are then ever apart by more than one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

PageKind = Literal["item", "repeat", "attention"]


@dataclass(frozen=True)
class Tally:
    """What counts of the pages given out so far: submitted or reserved, by raters in good standing.

    Attributes:
        raters: for each item number, how many raters have it.
        orders: for each item number and order number, on how many pages it had that order.
    """

    raters: Mapping[int, int]
    orders: Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class Placement:
    """An item, and in which order its dialogues stand: an index into `orders(systems)`."""

    item: int
    order: int


@lru_cache
def orders(systems: int) -> tuple[tuple[int, ...], ...]:
    """A Williams design: rows in which each system stands equally often at each position.

    Each also follows each other equally often. Williams (1949), "Experimental designs balanced for
    the estimation of residual effects of treatments": rotations of 0, 1, n-1, 2, n-2, ...; for an
    odd number, each row also reversed.

    >>> orders(2)
    ((0, 1), (1, 0))
    """
    rows = [
        tuple((place + turn) % systems for place in _zigzag(systems)) for turn in range(systems)
    ]
    if systems % 2:
        rows += [row[::-1] for row in rows]
    return tuple(rows)


def sequence(items: int, rater: int, seed: int) -> list[int]:
    """In which order a rater prefers the items: the rater's row of a Williams square.

    The items are shuffled by the seed first, so that the square says nothing about their names.
    """
    shuffled = list(range(items))
    random.Random(f"items {seed}").shuffle(shuffled)
    row = [shuffled[(place + rater) % items] for place in _zigzag(items)]
    return row[::-1] if items and (rater // items) % 2 else row


def choose(
    *,
    items: int,
    systems: int,
    raters_per_item: int,
    tally: Tally,
    own: Sequence[Placement],
    rater: int,
    seed: int,
) -> Placement | None:
    """The next item for a rater, or None if no item needs this rater.

    Args:
        items: how many there are; they are numbered from 0.
        systems: dialogues on a page.
        raters_per_item: how many are wanted for each.
        tally: of all raters, this one included.
        own: what this rater has had, in any order; none of it is given again.
        rater: the rater's number, from 0.
        seed: of the study.
    """
    had = {placement.item for placement in own}
    counts = {
        item: tally.raters.get(item, 0)
        for item in range(items)
        if item not in had and tally.raters.get(item, 0) < raters_per_item
    }
    if not counts:
        return None
    fewest = min(counts.values())
    rows = range(len(orders(systems)))
    own_orders = [sum(placement.order == row for placement in own) for row in rows]
    wanted = {item: place for place, item in enumerate(sequence(items, rater, seed))}

    def order_for(item: int) -> int:
        draw = random.Random(f"order {seed} {item} {rater}")
        chance = [draw.random() for _ in rows]
        return min(
            rows,
            key=lambda row: (tally.orders.get((item, row), 0), own_orders[row], chance[row]),
        )

    def worth(item: int) -> tuple[bool, int]:
        row = order_for(item)
        return own_orders[row] > min(own_orders), wanted[item]

    item = min((item for item, count in counts.items() if count == fewest), key=worth)
    return Placement(item, order_for(item))


def skeleton(
    items: int, repeats: int, attention: int, *, rater: int, seed: int
) -> tuple[PageKind, ...]:
    """Of what kind each of a rater's pages is.

    Attention checks stand anywhere but first. Repeats stand in the last third, so that the rater
    has forgotten the first time. With no items there is nothing to repeat.
    """
    draw = random.Random(f"pages {seed} {rater}")
    kinds: list[PageKind] = ["item"] * items
    for _ in range(min(repeats, items)):
        kinds.insert(draw.randint(max(1, 2 * len(kinds) // 3), len(kinds)), "repeat")
    for _ in range(attention):
        kinds.insert(draw.randint(min(1, len(kinds)), len(kinds)), "attention")
    return tuple(kinds)


def repeated(
    own: Sequence[Placement], again: Sequence[int], *, systems: int, rater: int, seed: int
) -> Placement | None:
    """Which of a rater's items is shown once more, and in which order: the first one reversed.

    Args:
        own: the items that the rater has rated, in the order in which they were seen.
        again: items that were already repeated.

    Returns:
        One of the earlier half of those left, or None if there is none.
    """
    left = [placement for placement in own if placement.item not in again]
    if not left:
        return None
    draw = random.Random(f"repeat {seed} {rater} {len(again)}")
    placement = draw.choice(left[: (len(left) + 1) // 2])
    rows = orders(systems)
    return Placement(placement.item, rows.index(rows[placement.order][::-1]))


def _zigzag(places: int) -> list[int]:
    """0, 1, n-1, 2, n-2, ...: the first row of a Williams square."""
    return [(step + 1) // 2 if step % 2 else -(step // 2) % places for step in range(places)]
