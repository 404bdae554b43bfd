"""Test how long a user waited, on conversations whose waits are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.waits import Spread, Waits, unequal

ASKED, ANSWER = (0.0, 2.0), [(3.0, 3.5), (3.5, 4.0)]


@pytest.mark.parametrize(
    ("user", "system", "seconds", "given_up"),
    [
        ([ASKED, (5.5, 6.0)], ANSWER, (1.5,), 0),
        ([ASKED, (3.2, 3.8)], ANSWER, (), 0),  # into the answer
        ([ASKED, (4.5, 5.0)], [*ANSWER, (4.8, 5.2)], (), 0),  # into a breath of it
        ([ASKED, (4.2, 4.6), (9.0, 9.5)], ANSWER, (0.2,), 0),  # after words of the user's own
        ([ASKED, (12.0, 13.0)], [], (), 1),
        ([ASKED, (4.0, 5.0)], [], (), 0),  # the user goes on
        ([ASKED, (9.5, 10.0), (20.0, 21.0)], ANSWER, (5.5,), 1),
        ([(20.0, 21.0)], [], (), 0),  # nothing was asked yet
        ([], ANSWER, (), 0),
    ],
)
def test_waits(
    user: list[tuple[float, float]],
    system: list[tuple[float, float]],
    seconds: tuple[float, ...],
    given_up: int,
) -> None:
    assert Waits.of(user, system) == Waits(seconds, given_up)


SPANS = st.lists(st.integers(0, 400).map(lambda at: (at / 8, at / 8 + 0.125)), max_size=30)


@given(SPANS, SPANS, st.integers(0, 50))
def test_a_later_conversation_has_the_same_waits(
    user: list[tuple[float, float]], system: list[tuple[float, float]], later: int
) -> None:
    moved = [[(a + later, b + later) for a, b in spans] for spans in (user, system)]
    there, here = Waits.of(*moved), Waits.of(user, system)
    assert there.seconds == pytest.approx(here.seconds)
    assert there.given_up == here.given_up
    assert len(here.seconds) + here.given_up <= len(user)


def test_quantiles_of_several_conversations_together() -> None:
    together = Waits.together([Waits((1.0, 2.0), 1), Waits((4.0,), 2), Waits()])
    assert together.spread == Spread(3, 2.0, pytest.approx(3.6))
    assert together.given_up == 3
    assert Waits().spread is None


def test_only_a_difference_that_can_be_noticed_is_said() -> None:
    near = {"duo": Spread(10, 1.5, 2.0), "duplex": Spread(10, 1.99, 2.99), "silent": None}
    assert not list(unequal(near))
    far = {**near, "duplex": Spread(10, 2.0, 3.0)}
    assert list(unequal(far)) == [
        "the user waits 1.5 s after answers of duo and 2.0 s after those of duplex (median): "
        "raters could notice",
        "the user waits 2.0 s after answers of duo and 3.0 s after those of duplex (90th "
        "percentile): raters could notice",
    ]
    assert len(list(unequal({**near, "duplex": Spread(9, 2.0, 3.0)}))) == 1
