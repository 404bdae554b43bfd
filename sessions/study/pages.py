"""Pages in the database: which a rater has, and giving out the next one."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

from sqlalchemy import Connection, func, or_, select

from sessions.study.assignment import (
    Placement,
    Tally,
    choose,
    orders,
    repeated,
    skeleton,
)
from sessions.study.blinding import Dialogue
from sessions.study.history import record
from sessions.study.store import dialogues, items, pages, raters
from sessions.study.study import Study


def pages_of(connection: Connection, rater: int) -> list[Any]:
    """A rater's pages in order: the columns of `pages`, and of the item `kind` and `number`."""
    return list(
        connection.execute(
            select(pages, items.c.kind, items.c.number)
            .join(items, pages.c.item_id == items.c.id)
            .where(pages.c.rater_id == rater)
            .order_by(pages.c.position)
        )
    )


def total_pages(study: Study, rater_number: int) -> int:
    """How many pages a rater is meant to see."""
    return len(_plan(study, rater_number))


def dialogues_of(connection: Connection, item: int, placement: int) -> list[tuple[Dialogue, str]]:
    """What stands on a page, from left to right: dialogues, and the names of their sound files."""
    rows = connection.execute(
        select(dialogues.c.shown, dialogues.c.audio)
        .where(dialogues.c.item_id == item)
        .order_by(dialogues.c.place)
    ).all()
    order = orders(len(rows))[placement]
    return [(Dialogue.from_data(json.loads(rows[i].shown)), rows[i].audio) for i in order]


def width(connection: Connection, item: int) -> int:
    """How many dialogues an item has."""
    return connection.execute(
        select(func.count()).select_from(dialogues).where(dialogues.c.item_id == item)
    ).scalar_one()


def give_page(connection: Connection, study: Study, rater: Any) -> bool:
    """Give a rater, whose pages are all submitted, the next page; False if there is none.

    The study must be locked: what is given depends on what all others have.
    """
    had = pages_of(connection, rater.id)
    chosen = _next(connection, study, rater, had)
    if chosen is None:
        return False
    kind, placement, repeat = chosen
    item = connection.execute(
        select(items.c.id).where(
            items.c.study_id == study.id, items.c.kind == kind, items.c.number == placement.item
        )
    ).scalar_one()
    now = study.clock()
    row = pages.insert().values(
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
    page = connection.execute(row).inserted_primary_key[0]  # type: ignore[index]
    record(connection, study, "give", rater=rater.id, page=page)
    return True


def tally(connection: Connection, study: Study, *, synthetic: bool) -> Tally:
    """What counts of the pages given out; see `assignment`.

    People and synthetic raters are counted apart: trying a study out takes nothing from it.
    """
    since = study.clock() - 60 * study.design.reserve_minutes
    rows = connection.execute(
        select(items.c.number, pages.c.placement, func.count())
        .join(items, pages.c.item_id == items.c.id)
        .join(raters, pages.c.rater_id == raters.c.id)
        .where(
            items.c.study_id == study.id,
            items.c.kind == "item",
            pages.c.repeat == 0,
            raters.c.synthetic.is_(synthetic),
            raters.c.revoked_at.is_(None),
            or_(pages.c.submitted_at.is_not(None), pages.c.touched_at >= since),
        )
        .group_by(items.c.number, pages.c.placement)
    ).all()
    have: Counter[int] = Counter()
    for number, _, count in rows:
        have[number] += count
    return Tally(have, {(number, placement): count for number, placement, count in rows})


def _plan(study: Study, rater_number: int) -> tuple[str, ...]:
    checks, seed = study.design.checks, study.design.seed
    return skeleton(
        study.pages_wanted, checks.repeats, study.attention, rater=rater_number, seed=seed
    )


def _next(
    connection: Connection, study: Study, rater: Any, had: list[Any]
) -> tuple[str, Placement, int] | None:
    """Kind of item, placement and repeat of the next page.

    Follows the rater's plan; where it wants an item and none needs this rater, it goes on to what
    comes after.
    """
    first = [Placement(page.number, page.placement) for page in had if _is_first(page)]
    again = [page.number for page in had if page.repeat]
    attention = sum(page.kind == "attention" for page in had)
    given = Counter(item=len(first), repeat=len(again), attention=attention)
    design, seed, systems = study.design, study.design.seed, len(study.systems)
    fresh: Placement | None = None
    if given["item"] < study.pages_wanted:
        fresh = choose(
            items=study.items,
            systems=systems,
            raters_per_item=design.raters_per_item,
            tally=tally(connection, study, synthetic=bool(rater.synthetic)),
            own=first,
            rater=rater.number,
            seed=seed,
        )
    if not first and fresh is None:  # checks alone would be of no use
        return None
    for kind in _plan(study, rater.number):
        if given[kind] > 0:
            given[kind] -= 1
        elif kind == "item" and fresh is not None:
            return "item", fresh, 0
        elif kind == "attention":
            return "attention", _check(rater.number, attention, study), 0
        elif kind == "repeat":
            once_more = repeated(first, again, systems=systems, rater=rater.number, seed=seed)
            if once_more is not None:
                return "item", once_more, 1
    return None


def _is_first(page: Any) -> bool:
    return page.kind == "item" and page.repeat == 0


def _check(rater: int, number: int, study: Study) -> Placement:
    """A rater's attention check: the right answer is as often left as right, in no fixed order."""
    sides = [place % 2 for place in range(study.attention)]
    random.Random(f"sides {study.design.seed} {rater}").shuffle(sides)
    return Placement((rater + number) % study.attention, sides[number])
