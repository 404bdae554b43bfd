"""Who rates what: balance, whoever comes in whatever order."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.study.pages import (
    Placement,
    Tally,
    choose,
    orders,
    repeated,
    sequence,
    skeleton,
)


class Desk:
    """Gives out pages as the database does, in memory."""

    def __init__(self, items: int, systems: int, wanted: int, seed: int) -> None:
        self.items, self.systems, self.wanted, self.seed = items, systems, wanted, seed
        self.given: dict[int, list[Placement]] = {}
        self.gone: set[int] = set()

    def tally(self) -> Tally:
        counted = [
            one for rater, own in self.given.items() if rater not in self.gone for one in own
        ]
        return Tally(
            Counter(one.item for one in counted),
            Counter((one.item, one.order) for one in counted),
        )

    def give(self, rater: int) -> Placement | None:
        own = self.given.setdefault(rater, [])
        chosen = choose(
            items=self.items,
            systems=self.systems,
            raters_per_item=self.wanted,
            tally=self.tally(),
            own=own,
            rater=rater,
            seed=self.seed,
        )
        if chosen is not None:
            own.append(chosen)
        return chosen

    def imbalance(self) -> int:
        """By how much the counts of an item's orders differ, at most."""
        used = self.tally().orders
        rows = range(len(orders(self.systems)))
        return max(
            max(used.get((item, row), 0) for row in rows)
            - min(used.get((item, row), 0) for row in rows)
            for item in range(self.items)
        )


small = st.integers(1, 12)
visits = st.lists(st.integers(0, 7), max_size=120)


@given(small, st.integers(2, 4), st.integers(1, 5), st.integers(0, 9), visits)
def test_balance_for_any_order_of_arrival(
    items: int, systems: int, wanted: int, seed: int, who: list[int]
) -> None:
    desk = Desk(items, systems, wanted, seed)
    for rater in who:
        before = desk.tally().raters
        had = {one.item for one in desk.given.get(rater, [])}
        chosen = desk.give(rater)
        able = {i for i in range(items) if i not in had and before.get(i, 0) < wanted}
        assert (chosen is None) == (not able)
        if chosen is not None:
            # Never an item twice, never one that has enough, always one that has fewest.
            assert chosen.item in able
            assert before.get(chosen.item, 0) == min(before.get(i, 0) for i in able)
        assert desk.imbalance() <= 1
    assert all(count <= wanted for count in desk.tally().raters.values())


@given(small, st.integers(1, 4), st.integers(0, 9), visits, st.sets(st.integers(0, 7), max_size=4))
def test_who_stops_or_is_revoked_is_made_up_for(
    items: int, wanted: int, seed: int, who: list[int], gone: set[int]
) -> None:
    desk = Desk(items, 2, wanted, seed)
    for rater in who:
        desk.give(rater)
    desk.gone = gone
    for rater in range(100, 100 + wanted):  # these work until nothing is left for them
        while desk.give(rater):
            pass
    counts = desk.tally().raters
    assert counts == dict.fromkeys(range(items), wanted)


@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 99))
def test_raters_who_do_all_see_each_system_as_often_on_each_side(
    items: int, raters: int, seed: int
) -> None:
    desk = Desk(items, 2, raters, seed)
    for rater in range(raters):
        while desk.give(rater):
            pass
        sides = Counter(one.order for one in desk.given[rater])
        assert abs(sides[0] - sides[1]) <= 1
    assert desk.imbalance() <= 1


def test_the_same_again_for_the_same_seed_and_something_else_for_another() -> None:
    def all_of(seed: int) -> dict[int, list[Placement]]:
        desk = Desk(8, 2, 3, seed)
        for rater in [0, 1, 0, 2, 1, 1, 0, 2] * 6:
            desk.give(rater)
        return desk.given

    assert all_of(5) == all_of(5)
    assert all_of(5) != all_of(6)


@pytest.mark.parametrize("systems", [2, 3, 4, 5, 6])
def test_orders_are_a_williams_design(systems: int) -> None:
    rows = orders(systems)
    assert all(sorted(row) == list(range(systems)) for row in rows)
    for place in range(systems):
        assert len(set(Counter(row[place] for row in rows).values())) == 1
    following = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert len(following) == systems * (systems - 1)
    assert len(set(following.values())) == 1
    assert all(row[::-1] in rows for row in rows)


@given(st.integers(0, 20), st.integers(0, 50), st.integers(0, 9))
def test_a_sequence_has_every_item_once(items: int, rater: int, seed: int) -> None:
    assert sorted(sequence(items, rater, seed)) == list(range(items))


@pytest.mark.parametrize("items", [6, 7])
def test_over_the_raters_each_item_comes_equally_early_and_late(items: int) -> None:
    rows = [sequence(items, rater, 1) for rater in range(2 * items)]
    for place in range(items):
        assert set(Counter(row[place] for row in rows).values()) == {2}


@given(small, st.integers(0, 6), st.integers(0, 4), st.integers(0, 9), st.integers(0, 9))
def test_checks_are_never_first_and_repeats_come_late(
    items: int, repeats: int, attention: int, rater: int, seed: int
) -> None:
    kinds = skeleton(items, repeats, attention, rater=rater, seed=seed)
    assert Counter(kinds) == Counter(
        {"item": items, "repeat": min(repeats, items), "attention": attention}
    )
    assert kinds[0] == "item"
    without: Sequence[str] = [kind for kind in kinds if kind != "attention"]
    if "repeat" in without:
        assert without.index("repeat") >= max(1, 3 * items / 4)


@given(st.integers(4, 60), st.integers(1, 15), st.integers(0, 4), st.integers(0, 99))
def test_repeats_stand_far_from_their_originals(
    items: int, repeats: int, attention: int, rater: int
) -> None:
    """At least half of the items lie in between, if no more than a quarter is repeated."""
    kinds = skeleton(items, min(repeats, items // 4), attention, rater=rater, seed=0)
    own: list[Placement] = []
    again: list[int] = []
    for kind in kinds:
        if kind == "item":
            own.append(Placement(len(own), 0))
        elif kind == "repeat":
            chosen = repeated(own, again, systems=2, rater=rater, seed=0)
            assert chosen is not None
            assert len(own) - 1 - chosen.item >= items / 2
            again.append(chosen.item)


@given(st.integers(2, 5), st.lists(st.integers(0, 20), min_size=1, unique=True), st.data())
def test_a_repeat_swaps_the_sides(systems: int, items: list[int], data: st.DataObject) -> None:
    rows = st.integers(0, len(orders(systems)) - 1)
    own = [Placement(item, data.draw(rows)) for item in items]
    again: list[int] = []
    while (chosen := repeated(own, again, systems=systems, rater=1, seed=0)) is not None:
        first = next(one for one in own if one.item == chosen.item)
        assert orders(systems)[chosen.order] == orders(systems)[first.order][::-1]
        assert chosen.item not in again
        again.append(chosen.item)
    assert sorted(again) == sorted(items)
