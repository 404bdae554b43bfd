"""Sides, consistency and exclusions; agreement against published examples and other libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.inter_rater import cohens_kappa as statsmodels_cohen
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from duo.errors import BadInput
from reports.statistics.raters import (
    agreement,
    alpha,
    cohens_kappa,
    consistency,
    excluded,
    fleiss_kappa,
    read_rules,
)
from reports.statistics.ratings import votes_on
from reports.statistics.simulate import Design, draw
from sessions.study.signs import Rules
from tests.reports.rated import ratings, row

OFF = Rules(failed_checks=None, least_seconds=None, one_sided=None, revoked=False)


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
        ("fast: 3", "rules.yaml:1: fast: is not a field"),
        ("least_seconds: soon", "rules.yaml:1: least_seconds: Input should be a valid number"),
        ("least_seconds: .nan", "least_seconds: Input should be a finite number"),
        ("one_sided: 2", "one_sided: Input should be less than or equal to 1"),
        ("fast: 3\none_sided_votes: null", "rules.yaml:1: fast"),
        ("revoked: true\none_sided_votes: null", "rules.yaml:2: one_sided_votes: "),
        ("- 1", "must be a mapping"),
        ("revoked: 3", "revoked: Input should be a valid boolean"),
        ("a: [", "rules.yaml:1: not YAML"),
    ],
)
def test_rules_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as error:
        read_rules(path)
    assert message in str(error.value)


# Krippendorff 2011: four observers, twelve units; 0 is a missing value.
OBSERVERS = (
    "123321412000",
    "123322412503",
    "033323422510",
    "123324412510",
)
# Ten subjects by fourteen raters in five categories; the example of most textbooks.
TEN_SUBJECTS = (
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
)  # fmt: skip
# Fleiss 1971: diagnoses of thirty patients by six psychiatrists.
DIAGNOSES = (
    "444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 "
    "144444 224445 333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 "
    "111155 224444 133333 555555"
)


def counts(units: list[str], values: str) -> np.ndarray:
    return np.array([[unit.count(value) for value in values] for unit in units])


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_alpha_of_krippendorffs_example(level: str, published: float) -> None:
    units = ["".join(column) for column in zip(*OBSERVERS, strict=True)]
    found = alpha(counts(units, "12345"), level)  # type: ignore[arg-type]
    assert found == pytest.approx(published, abs=5e-4)


def test_kappa_of_the_textbook_and_of_fleiss() -> None:
    assert fleiss_kappa(np.array(TEN_SUBJECTS)) == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa(counts(DIAGNOSES.split(), "12345")) == pytest.approx(0.430, abs=5e-4)


@given(
    arrays(np.int8, st.tuples(st.integers(1, 9), st.just(4)), elements=st.integers(0, 3)),
)
def test_kappa_is_that_of_statsmodels_where_all_rate_all(values: np.ndarray) -> None:
    table = np.stack([(values == at).sum(1) for at in range(4)], axis=1)
    found = fleiss_kappa(table)
    if found is not None:
        assert found == pytest.approx(float(statsmodels_fleiss(table)), abs=1e-9)
    else:
        assert len(set(values.ravel().tolist())) == 1


def test_units_with_one_rating_change_nothing() -> None:
    table = np.array(TEN_SUBJECTS)
    more = np.vstack([table, np.eye(5, dtype=int)])
    assert fleiss_kappa(more) == pytest.approx(fleiss_kappa(table))
    assert alpha(more, "nominal") == pytest.approx(alpha(table, "nominal"))


def test_cohens_kappa_by_hand_and_by_statsmodels() -> None:
    one = np.array(["y"] * 25 + ["n"] * 25)
    other = np.array(["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15)
    assert cohens_kappa(one, other) == pytest.approx(0.4)
    assert cohens_kappa(one, other) == pytest.approx(
        float(statsmodels_cohen(np.array([[20, 5], [10, 15]])).kappa)
    )
    assert cohens_kappa(one[:3], one[:3]) is None


def test_perfect_none_and_undefined_agreement() -> None:
    rng = np.random.default_rng(0)
    perfect = agreement(np.array([[3, 0, 0, 0], [0, 0, 0, 3]] * 10), rng, 99)
    assert perfect.alpha_nominal.value == perfect.kappa.value == perfect.alpha_ordinal.value == 1
    alike = agreement(np.array([[3, 0, 0, 0]] * 10), rng, 99)
    assert alike.alpha_nominal.value is None
    assert "not defined" in alike.kappa.note
    alone = agreement(np.array([[1, 0, 0, 0]] * 10), rng, 99)
    assert "rated by two" in alone.alpha_ordinal.note


def test_intervals_cover_about_as_promised() -> None:
    """Over further dialogues, with raters who do not differ (see the docstring): 40 dialogues."""
    design = Design(dialogues=40, raters=3, votes_each=3, rater_sd=0, tie_sd=0, side_sd=0)
    rng = np.random.default_rng(5)
    truth = fleiss_kappa(draw(design, 300, rng).sum(2).reshape(-1, 4))
    assert truth is not None
    held = 0
    for votes in draw(design, 150, rng):
        found = agreement(votes.sum(1), rng, 199).kappa
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert 0.88 <= held / 150 <= 1.0
