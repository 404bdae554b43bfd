"""Decide who rates what and how the dialogues stand on the page, and give out the pages.

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
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, or_, select

from sessions.study.blinding import Dialogue
from sessions.study.store import insert
from sessions.study.study import Study, record
from sessions.study.tables import dialogues, items, pages, raters

#: Pages that lie between an item and its repeat, if a rater has enough.
_APART = 3

PageKind = Literal["item", "repeat", "attention"]

#: What there is for a rater: a page; nothing now, but others have only reserved what is left; or
#: nothing any more, unless somebody is revoked.
Outlook = Literal["page", "later", "nothing"]


@dataclass(frozen=True)
class Tally:
    """Count the pages submitted or reserved by raters who neither were revoked nor withdrew.

    Attributes:
        raters: for each item number, how many raters have it.
        orders: for each item number and order number, on how many pages it had that order.
        submitted: for each item number, how many of the raters submitted it.
    """

    raters: Mapping[int, int]
    orders: Mapping[tuple[int, int], int]
    submitted: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """An item, and in which order its dialogues stand: an index into `orders(systems)`."""

    item: int
    order: int


@lru_cache
def orders(systems: int) -> tuple[tuple[int, ...], ...]:
    """Return a Williams design: rows with each system equally often at each position.

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
    """Return the order in which a rater prefers the items: a row of a Williams square.

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
    """Choose the next item for a rater; None if no item needs this rater.

    Args:
        items: how many there are; they are numbered from 0.
        tally: of all raters, this one included.
        own: what this rater has had, in any order; none of it is given again.
        rater: the rater's number, from 0.
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
            rows, key=lambda row: (tally.orders.get((item, row), 0), own_orders[row], chance[row])
        )

    def worth(item: int) -> tuple[bool, int]:
        row = order_for(item)
        return own_orders[row] > min(own_orders), wanted[item]

    item = min((item for item, count in counts.items() if count == fewest), key=worth)
    return Placement(item, order_for(item))


def skeleton(
    items: int, repeats: int, attention: int, *, rater: int, seed: int
) -> tuple[PageKind, ...]:
    """Plan of what kind each of a rater's pages is.

    Attention checks stand anywhere but first. Repeats come when three quarters of the items were
    seen, so that the rater has forgotten the first time. With no items there is nothing to repeat.
    """
    draw = random.Random(f"pages {seed} {rater}")
    kinds: list[PageKind] = ["item"] * items
    late = max(1, -(-3 * items // 4))
    for _ in range(min(repeats, items)):
        kinds.insert(draw.randint(late, len(kinds)), "repeat")
    for _ in range(attention):
        kinds.insert(draw.randint(min(1, len(kinds)), len(kinds)), "attention")
    return tuple(kinds)


def repeated(
    own: Sequence[Placement], again: Sequence[int], *, systems: int, rater: int, seed: int
) -> Placement | None:
    """Choose which of a rater's items to show once more, in the reverse of its first order.

    Args:
        own: the items that the rater has rated, in the order in which they were seen.
        again: items that were already repeated.

    Returns:
        One of the first quarter, then the earliest of those left; None if there is none.
    """
    left = [placement for placement in own if placement.item not in again]
    if not left:
        return None
    draw = random.Random(f"repeat {seed} {rater} {len(again)}")
    placement = draw.choice(left[: max(1, len(own) // 4 - len(again))])
    rows = orders(systems)
    return Placement(placement.item, rows.index(rows[placement.order][::-1]))


def _zigzag(places: int) -> list[int]:
    """Return 0, 1, n-1, 2, n-2, ...: the first row of a Williams square."""
    return [(step + 1) // 2 if step % 2 else -(step // 2) % places for step in range(places)]


def pages_of(connection: Connection, rater: int) -> list[Any]:
    """Return a rater's pages in order: all columns, and of the item `kind` and `number`."""
    return list(
        connection.execute(
            select(pages, items.c.kind, items.c.number)
            .join(items, pages.c.item_id == items.c.id)
            .where(pages.c.rater_id == rater)
            .order_by(pages.c.position)
        )
    )


def total_pages(study: Study, rater_number: int) -> int:
    """Return how many pages a rater is meant to see."""
    return len(_plan(study, rater_number))


def dialogues_of(connection: Connection, item: int, placement: int) -> list[tuple[Dialogue, str]]:
    """Return a page's dialogues, from left to right, with the names of their sound files."""
    rows = connection.execute(
        select(dialogues.c.shown, dialogues.c.audio)
        .where(dialogues.c.item_id == item)
        .order_by(dialogues.c.place)
    ).all()
    order = orders(len(rows))[placement]
    return [(Dialogue.from_data(rows[i].shown), rows[i].audio) for i in order]


def width(connection: Connection, item: int) -> int:
    """Return how many dialogues an item has."""
    return connection.execute(
        select(func.count()).select_from(dialogues).where(dialogues.c.item_id == item)
    ).scalar_one()


def outlook(connection: Connection, study: Study, rater: Any) -> Outlook:
    """Return what there is for a rater whose pages are all submitted; changes nothing."""
    chosen = _next(connection, study, rater, pages_of(connection, rater.id))
    return chosen if isinstance(chosen, str) else "page"


def next_release(connection: Connection, study: Study, rater: Any) -> float:
    """Return in how many seconds the next reserved page of others is given out again, at most."""
    since = study.clock() - 60 * study.design.reserve_minutes
    had = select(pages.c.item_id).where(pages.c.rater_id == rater.id)
    touched = connection.execute(
        select(func.min(pages.c.touched_at))
        .join(items, pages.c.item_id == items.c.id)
        .join(raters, pages.c.rater_id == raters.c.id)
        .where(
            *_counting(study, synthetic=bool(rater.synthetic)),
            items.c.id.not_in(had),
            pages.c.submitted_at.is_(None),
            pages.c.touched_at >= since,
        )
    ).scalar_one()
    return 0.0 if touched is None else max(0.0, touched - since)


def give_page(connection: Connection, study: Study, rater: Any) -> Outlook:
    """Give a rater, whose pages are all submitted, the next page if there is one.

    The study must be locked: what is given depends on what all others have.
    """
    had = pages_of(connection, rater.id)
    chosen = _next(connection, study, rater, had)
    if isinstance(chosen, str):
        return chosen
    kind, placement, repeat = chosen
    item = connection.execute(
        select(items.c.id).where(
            items.c.study_id == study.id, items.c.kind == kind, items.c.number == placement.item
        )
    ).scalar_one()
    now = study.clock()
    page = insert(
        connection,
        pages,
        rater_id=rater.id,
        item_id=item,
        position=len(had),
        repeat=repeat,
        placement=placement.order,
        given_at=now,
        touched_at=now,
        seconds=0.0,
        comment="",
    )
    record(connection, study, "give", rater=rater.id, page=page)
    return "page"


def _counting(study: Study, *, synthetic: bool) -> list[ColumnElement[bool]]:
    """Say which pages count: of items, seen for the first time, by raters who are still in."""
    return [
        items.c.study_id == study.id,
        items.c.kind == "item",
        pages.c.repeat == 0,
        raters.c.synthetic.is_(synthetic),
        raters.c.revoked_at.is_(None),
        raters.c.withdrawn_at.is_(None),
    ]


def tally(connection: Connection, study: Study, *, synthetic: bool) -> Tally:
    """Count the pages given out; see `Tally`.

    People and synthetic raters are counted apart: trying a study out takes nothing from it.
    """
    since = study.clock() - 60 * study.design.reserve_minutes
    submitted = pages.c.submitted_at.is_not(None)
    rows = connection.execute(
        select(items.c.number, pages.c.placement, submitted.label("submitted"), func.count())
        .join(items, pages.c.item_id == items.c.id)
        .join(raters, pages.c.rater_id == raters.c.id)
        .where(
            *_counting(study, synthetic=synthetic),
            or_(submitted, pages.c.touched_at >= since),
        )
        .group_by(items.c.number, pages.c.placement, submitted)
    ).all()
    have, done, orders_had = Counter[int](), Counter[int](), Counter[tuple[int, int]]()
    for number, placement, is_submitted, count in rows:
        have[number] += count
        orders_had[number, placement] += count
        done[number] += count if is_submitted else 0
    return Tally(have, orders_had, done)


def _plan(study: Study, rater_number: int) -> tuple[str, ...]:
    seed = study.design.seed
    return skeleton(
        study.pages_wanted, study.repeats, study.attention, rater=rater_number, seed=seed
    )


def _next(
    connection: Connection, study: Study, rater: Any, had: list[Any]
) -> tuple[str, Placement, int] | Literal["later", "nothing"]:
    """Return kind of item, placement and repeat of the next page.

    Follows the rater's plan; where it wants an item and none needs this rater now, it goes on to
    what comes after. "later" if then nothing is left but what others have reserved.
    """
    first = [Placement(page.number, page.placement) for page in had if _is_first(page)]
    again = [page.number for page in had if page.repeat]
    attention = sum(page.kind == "attention" for page in had)
    given = Counter(item=len(first), repeat=len(again), attention=attention)
    design, seed, systems = study.design, study.design.seed, len(study.systems)
    fresh: Placement | None = None
    none: Literal["later", "nothing"] = "nothing"
    if given["item"] < study.pages_wanted:
        counted = tally(connection, study, synthetic=bool(rater.synthetic))
        if _open(study, counted, {placement.item for placement in first}):
            none = "later"
        fresh = choose(
            items=study.items,
            systems=systems,
            raters_per_item=design.raters_per_item,
            tally=counted,
            own=first,
            rater=rater.number,
            seed=seed,
        )
    if not first and fresh is None:  # checks alone would be of no use
        return none
    for kind in _plan(study, rater.number):
        if given[kind] > 0:
            given[kind] -= 1
        elif kind == "item" and fresh is not None:
            return "item", fresh, 0
        elif kind == "attention":
            return "attention", _check(rater.number, attention, study), 0
        elif kind == "repeat" and not (fresh is None and none == "later"):  # items come first
            once_more = repeated(first, again, systems=systems, rater=rater.number, seed=seed)
            if once_more is not None and _is_far(study, once_more.item, had):
                return "item", once_more, 1
    return none


def _is_far(study: Study, item: int, had: Sequence[Any]) -> bool:
    """Tell whether enough pages lie behind a rater since an item: also where few could be had."""
    position = next(page.position for page in had if _is_first(page) and page.number == item)
    return len(had) - int(position) > min(_APART, study.pages_wanted // 2)


def _open(study: Study, counted: Tally, had: Collection[int]) -> bool:
    """Tell whether an item that a rater has not had lacks submissions."""
    wanted = study.design.raters_per_item
    return any(
        counted.submitted.get(item, 0) < wanted for item in range(study.items) if item not in had
    )


def _is_first(page: Any) -> bool:
    return page.kind == "item" and page.repeat == 0


def _check(rater: int, number: int, study: Study) -> Placement:
    """Place a rater's attention check: the right answer is as often left as right, at random."""
    sides = [place % 2 for place in range(study.attention)]
    random.Random(f"sides {study.design.seed} {rater}").shuffle(sides)
    return Placement((rater + number) % study.attention, sides[number])
