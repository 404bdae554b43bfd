"""Biases of place and length: found where they are, not where a system is better, in any names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.statistics.analysis import analyse
from reports.statistics.bias import Biases, biases, with_holm
from reports.statistics.report import long_table, tables
from reports.statistics.simulate import Design, draw
from tests.reports.rated import drawn, ratings, row, rows_of

MANY = Design(dialogues=40, raters=6, votes_each=6, missing=0.0)


def found(rows: list[dict], *, corrected: bool = True) -> Biases:
    of = biases(ratings(rows).rows)
    return with_holm([of])[0] if corrected else of


def leaning(share_left: float, *, seed: int = 0) -> list[dict]:
    """Votes of raters who look at the side alone."""
    rng = np.random.default_rng(seed)
    rows = drawn(replace(MANY, preference=0.0, tie=0.0), seed=seed)
    for one in rows:
        one["choice"] = "left" if rng.random() < share_left else "right"
        one["winner"] = one[f"system_{one['choice']}"]
    return rows


def test_a_lean_to_one_side_is_found_and_named() -> None:
    left, right = found(leaning(0.8)).left, found(leaning(0.2)).left
    assert (left.favoured, right.favoured) == ("the left side", "the right side")
    assert left.wins.n == 240
    assert left.wins.low is not None
    assert left.wins.low > 0.5
    assert found(leaning(0.5)).left.favoured == ""


def test_a_better_system_is_no_bias_of_its_side() -> None:
    of = found(drawn(replace(MANY, preference=2.0)))
    assert of.left.favoured == ""
    assert of.left.wins.value == pytest.approx(0.5, abs=0.08)
    assert of.longer.wins.note == "lengths not known"
    assert of.longer.p is None


@pytest.mark.parametrize("longer_wins", [True, False])
def test_length_is_found_whichever_system_it_is_of(longer_wins: bool) -> None:
    rows = drawn(MANY)
    for number, one in enumerate(rows):
        words = (10, 90) if number % 3 else (90, 10)
        one |= {"words_left": words[0], "words_right": words[1]}
        if one["choice"] in ("left", "right"):
            one["choice"] = "left" if (words[0] > words[1]) == longer_wins else "right"
    of = found(rows)
    assert of.longer.wins.value == float(longer_wins)
    assert of.even.favoured == ("the longer one" if longer_wins else "the shorter one")
    assert of.longer.favoured == ""  # said once


def test_equal_and_unknown_lengths_do_not_count() -> None:
    rows = [
        row("a", "i1", words_left=5, words_right=5),
        row("a", "i2", words_left=5, words_right=None),
        row("a", "i3", words_left=9, words_right=5),
        row("b", "i3", "tie", words_left=9, words_right=5),
        row("b", "i3", words_left=1, words_right=5, repeat=1),
        row("b", "check", "right", words_left=1, words_right=5, attention=True),
    ]
    of = found(rows)
    assert (of.longer.wins.value, of.longer.wins.n, of.left.wins.n) == (1.0, 1, 3)
    tied = found([row(choice="tie", words_left=1, words_right=2)])
    assert (tied.left.wins.note, tied.longer.wins.note) == ("no untied votes", "no untied votes")
    assert found([]).longer.wins.note == "no untied votes"


def test_a_better_system_that_says_more_is_no_bias_for_length() -> None:
    """Where it is the longer one in most dialogues, the longer one wins; evened, it does not."""
    rows = drawn(replace(MANY, preference=1.5, side_sd=0.0))
    for one in rows:
        said = {"duo": 90, "duplex": 10} if int(one["item"][1:]) % 4 else {"duo": 10, "duplex": 90}
        one |= {f"words_{side}": said[one[f"system_{side}"]] for side in ("left", "right")}
    of = found(rows)
    assert of.longer.wins.low is not None
    assert of.longer.wins.low > 0.5
    assert of.even.wins.value == pytest.approx(0.5, abs=0.1)
    assert (of.longer.favoured, of.even.favoured) == ("", "")
    for one in rows:  # now it is always the longer one: what that means cannot be told
        one |= {f"words_{side}": len(one[f"system_{side}"]) for side in ("left", "right")}
    of = found(rows)
    assert of.even.wins.note == "one system is always longer"
    assert of.longer.favoured == "the shorter one"


def test_evened_is_the_mean_of_both_directions() -> None:
    rows = []
    for number, (longer, won) in enumerate(
        [("duo", True)] * 6
        + [("duo", False)] * 2
        + [("duplex", True)] * 1
        + [("duplex", False)] * 3
    ):
        words = (9, 1) if longer == "duo" else (1, 9)
        rows.append(row(f"r{number % 3}", f"i{number}", "left" if (longer == "duo") == won
                        else "right", words_left=words[0], words_right=words[1]))  # fmt: skip
    of = found(rows)
    assert of.longer.wins.value == pytest.approx(7 / 12)
    assert of.even.wins.value == pytest.approx((6 / 8 + 1 / 4) / 2)
    assert of.even.wins.n == 12
    # Where all groups are alike it is the plain share, with the plain variance.
    alike = [one | {"item": f"{one['item']}-{copy}"} for one in rows[:8] for copy in range(2)]
    for at, one in enumerate(alike):
        if at % 2:
            one |= {"system_left": "duplex", "system_right": "duo"}
    of = found(alike)
    assert (of.even.wins.value, of.even.wins.low) == pytest.approx(
        (of.longer.wins.value, of.longer.wins.low)
    )


@settings(max_examples=3)
@given(st.integers(0, 10**6))
def test_names_of_systems_do_not_matter(seed: int) -> None:
    """Nothing changes if the systems change names, though tables then list them the other way."""
    votes = draw(Design(dialogues=8, raters=3, votes_each=3), 1, np.random.default_rng(seed))
    lengths = np.random.default_rng(seed).integers(1, 5, (2, 8))

    def of(names: tuple[str, str]) -> Biases:
        rows = rows_of(votes, systems=names)
        for one in rows:
            said = dict(zip(names, lengths[:, int(one["item"][1:])], strict=True))
            one["words_left"] = int(said[one["system_left"]])
            one["words_right"] = int(said[one["system_right"]])
        return found(rows)

    assert of(("alpha", "zeta")) == of(("zeta", "alpha"))


def test_flags_are_rarely_false() -> None:
    """Without a bias, at most one study in twenty is flagged, the error of 12 studies aside."""
    design = Design(dialogues=10, raters=4, votes_each=4, side=0.0, side_sd=0.0, preference=0.8)
    flagged = 0
    for votes in draw(design, 12, np.random.default_rng(3)):
        flagged += found(rows_of(votes[None])).left.favoured != ""
    assert flagged <= 2


def test_holm_is_over_the_criteria_of_each_bias() -> None:
    some = [biases(ratings(leaning(share, seed=at)).rows) for at, share in enumerate((0.9, 0.6))]
    ps = [one.left.p for one in some]
    assert None not in ps
    corrected = with_holm(some)
    assert corrected[0].left.p_holm == pytest.approx(2 * min(ps))  # type: ignore[type-var]
    assert with_holm(some[:1])[0].left.p_holm == pytest.approx(ps[0])


def test_the_report_says_it_plainly() -> None:
    rows = leaning(0.9)
    for number, one in enumerate(rows):
        one["strength"] = "" if number % 4 == 0 else ("much" if number % 2 else "a little")
    result = analyse(ratings(rows), resamples=0)
    by_title = {table.title: table for table in tables(result)}
    (said,) = by_title["Do place or length decide?"].texts
    assert said[0] == "overall"
    assert said[-1] == "the left side"
    strengths = by_title["How strong are the preferences?"]
    assert [column.name for column in strengths.heads] == [
        "criterion", "not said", "a little", "much",
    ]  # fmt: skip
    assert strengths.texts == [["overall", "60", "60", "120"]]
    assert "left wins p holm" in long_table(result).csv()
    assert not analyse(ratings(drawn(MANY)), resamples=0).kept.criteria[0].strengths
