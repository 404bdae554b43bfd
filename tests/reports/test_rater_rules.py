"""Sides, consistency and exclusions."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binomtest

from duo.errors import BadInput
from reports.statistics.exclusions import Rules, excluded, read_rules
from reports.statistics.panel import votes_on
from reports.statistics.raters import consistency, side_bias
from tests.reports.rated import ratings, row

OFF = Rules(failed_checks=None, least_seconds=None, one_sided=None, revoked=False)


def test_side_bias_is_the_share_left_of_untied_first_votes() -> None:
    rows = [
        row(f"r{r}", f"i{i}", "left" if (i + r) % 4 else "right")
        for r in range(5)
        for i in range(40)
    ]
    rows += [row("r0", "i40", "tie"), row("r0", "i0", "right", repeat=1)]
    rows += [row("r0", "check", "right", attention=True)]
    found = side_bias(ratings(rows).rows)
    assert found.left.n == 200
    assert found.left.value == pytest.approx(0.75)
    assert found.p is not None
    assert found.p < 0.001
    assert binomtest(150, 200).pvalue < 0.001


def test_no_untied_vote_shows_no_side() -> None:
    found = side_bias(ratings([row(choice="tie")]).rows)
    assert (found.left.value, found.p, found.left.note) == (None, None, "no untied votes")


def test_consistency_pairs_a_rater_with_himself_whatever_the_side() -> None:
    first = [row("a", f"i{i}", "left") for i in range(4)] + [row("b", "i0", "right")]
    again = [
        row("a", "i0", "right", left="duplex", right="duo", repeat=1),  # duo again
        row("a", "i1", "left", left="duplex", right="duo", repeat=1),  # now duplex
        row("a", "i2", "tie", repeat=1),
        row("c", "i2", "left", repeat=1),  # never saw it before
    ]
    found = consistency(votes_on(ratings(first + again).rows, "duo", "duplex"))
    assert found.same.n == 3
    assert found.same.value == pytest.approx(1 / 3)
    assert found.reversed.value == pytest.approx(1 / 3)
    nothing = consistency(votes_on(ratings(first).rows, "duo", "duplex"))
    assert nothing.same.note == "no repeated items"
    assert nothing.kappa is None


def test_each_rule_finds_its_rater_and_says_why() -> None:
    sides = ("left", "right")
    rows = [row("good", f"i{i}", sides[i % 2], seconds=9.0) for i in range(20)]
    rows += [row("fast", f"i{i}", sides[i % 2], seconds=1.0 + (i > 12) * 99) for i in range(20)]
    rows += [row("side", f"i{i}", "right", seconds=9.0) for i in range(20)]
    for i, passed in enumerate((False, False, True)):
        rows.append(row("fails", f"c{i}", attention=True, passed=passed))
        rows.append(row("good", f"c{i}", attention=True, passed=i > 0))
    rows.append(row("gone", "i0", seconds=9.0, revoked=True))
    table = ratings(rows).rows
    found = {one.rater: one.reasons for one in excluded(table, Rules())}
    assert found == {
        "gone": ("was shut out of the study",),
        "fails": ("failed 2 of 3 attention checks",),
        "fast": ("median page took 1.0 s, less than 6 s",),
        "side": ("chose the right side in 20 of 20 untied votes",),
    }
    assert excluded(table, OFF) == ()


def test_a_page_of_five_criteria_is_one_page() -> None:
    """One slow page of many rows must not hide that most pages were fast."""
    rows = [row("r", f"i{i}", seconds=1.0) for i in range(3)]
    rows += [row("r", "slow", seconds=60.0, criterion=f"c{c}") for c in range(5)]
    assert len(excluded(ratings(rows).rows, Rules())) == 1


def test_rules_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("least_seconds: 3\none_sided: null\n")
    assert read_rules(path) == Rules(least_seconds=3, one_sided=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast: 3", "fast: no such rule"),
        ("least_seconds: soon", "least_seconds: 'soon'"),
        ("least_seconds: .nan", "least_seconds: nan"),
        ("one_sided: 2", "one_sided: 2 is a share"),
        ("one_sided_votes: null", "one_sided_votes"),
        ("- 1", "must be a mapping"),
        ("revoked: 3", "revoked: 3 is neither true nor false"),
        ("a: [", "rules.yaml:1: not YAML"),
    ],
)
def test_rules_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as error:
        read_rules(path)
    assert message in str(error.value)
