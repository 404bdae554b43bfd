"""The whole analysis: what must not change it, what turns it round, and ratings that say little."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.errors import BadInput
from reports.statistics.analysis import analyse
from reports.statistics.exclusions import Rules
from reports.statistics.results import Comparison, StudyResult, to_json
from reports.statistics.simulate import Design
from reports.statistics.tables import csv_text, tables
from tests.reports.rated import drawn, ratings, row

OFF = Rules(failed_checks=None, least_seconds=None, one_sided=None)
SMALL = Design(dialogues=12, raters=4, votes_each=3, preference=0.8)


def found(rows: list[dict], **more: object) -> StudyResult:
    result = analyse(ratings(rows), **({"seed": 1, "rules": OFF, "resamples": 50} | more))
    json.loads(to_json(result))  # no NaN anywhere
    csv_text(result)
    list(tables(result))
    return result


def only(result: StudyResult) -> Comparison:
    (one,) = result.kept.comparisons
    return one


@settings(max_examples=5)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(random: object) -> None:
    rows = drawn(SMALL, criteria=("overall", "pace"))
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert to_json(found(rows)) == to_json(found(shuffled))


def test_the_other_order_of_systems_turns_everything_round() -> None:
    rows = drawn(SMALL)
    one, other = only(found(rows)), only(found(rows, systems=("duplex", "duo")))
    assert (one.first, one.second) == (other.second, other.first)
    for name, turned in (("win", "loss"), ("tie", "tie"), ("both_bad", "both_bad")):
        assert one.estimates[name] == other.estimates[turned]
        assert one.bootstrap[name] == other.bootstrap[turned]
    net, back = one.estimates["net"], other.estimates["net"]
    assert (net.value, net.low, net.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert one.preference.p == pytest.approx(other.preference.p)
    assert one.effects.cohens_h == pytest.approx(-other.effects.cohens_h)
    assert one.effects.rank_biserial == pytest.approx(-other.effects.rank_biserial)
    assert one.mixed.net == pytest.approx(-other.mixed.net, abs=1e-4)
    for kind in ("alpha_nominal", "alpha_ordinal", "kappa"):
        value, back = getattr(one.agreement, kind), getattr(other.agreement, kind)
        assert (value.value, value.low) == pytest.approx((back.value, back.low))


def test_counts_and_values_by_hand() -> None:
    rows = [
        row("a", "1", "left"),
        row("b", "1", "left", left="duplex", right="duo"),
        row("c", "1", "left"),
        row("a", "2", "tie"),
        row("b", "2", "both_bad"),
        row("a", "3", "right"),
        row("a", "3", "left", repeat=1),
    ]
    one = only(found(rows))
    assert one.votes == {"win": 2, "tie": 1, "both_bad": 1, "loss": 2}
    assert one.estimates["net"].value == 0
    assert one.estimates["untied"].value == 0.5
    assert one.majorities == {"win": 1, "tie": 1, "loss": 1}
    assert one.sign.p == 1
    assert (one.dialogues, one.raters) == (3, 3)
    assert one.consistency.reversed.value == 1


def test_a_claim_needs_both_tests_and_holm_counts_all_criteria() -> None:
    result = found(drawn(Design(preference=1.0), criteria=("a", "b", "c")))
    for one in result.kept.comparisons:
        assert one.sign.p is not None
        assert one.two_way.p is not None
        assert one.preference.p == max(one.sign.p, one.two_way.p)
    smallest = min(result.kept.comparisons, key=lambda one: one.preference.p or 0)
    assert smallest.preference.p_holm == pytest.approx(3 * smallest.preference.p)


def test_those_left_out_are_named_and_both_results_shown() -> None:
    rows = drawn(Design(preference=0.5), seconds=20.0)
    cheat = [row("cheat", f"i{i:03d}", "left", seconds=1.0) for i in range(40)]
    plain = found(rows, rules=Rules())
    result = found(rows + cheat, rules=Rules())
    assert [one.rater for one in result.excluded] == ["cheat"]
    assert len(result.excluded[0].reasons) == 2
    assert result.kept == plain.kept
    assert result.everyone.raters == result.kept.raters + 1
    assert len(list(tables(result))) == 2 * len(list(tables(plain))) + 1


@pytest.mark.parametrize("seed", range(6))
def test_tiny_studies_neither_crash_nor_warn(seed: int) -> None:
    one = only(found(drawn(Design(3 + seed % 2, 3, 3, missing=0.3), seed=seed)))
    assert one.mixed.converged or one.mixed.note


def test_no_ratings() -> None:
    result = found([])
    assert result.kept.criteria == ()
    assert result.notices == ("there are no ratings yet",)


def test_only_attention_checks() -> None:
    assert found([row(attention=True, passed=True)]).kept.ratings == 0


def test_one_rater() -> None:
    one = only(found([row("a", str(i), "left" if i % 3 else "right") for i in range(12)]))
    assert "one rater" in one.note
    assert one.estimates["win"].low is not None
    assert one.agreement.kappa.value is None
    assert "two raters" in one.mixed.note


def test_one_vote() -> None:
    one = only(found([row()]))
    assert one.estimates["win"].value == 1
    assert one.estimates["win"].low is None
    assert one.two_way.p is None
    assert one.preference.p is None


def test_all_ties() -> None:
    one = only(found([row(r, str(i), "tie") for r in "abc" for i in range(10)]))
    assert one.note == "all votes are ties: nothing to test"
    assert one.sign.p is None
    assert one.preference.p is None
    assert one.estimates["untied"].note == "no untied votes"
    assert one.estimates["tie"].value == 1
    assert one.estimates["net"].value == 0
    assert one.estimates["net"].low == pytest.approx(-one.estimates["net"].high)
    assert "alike" in one.agreement.alpha_nominal.note


def test_all_wins() -> None:
    one = only(found([row(r, str(i), "left") for r in "abc" for i in range(10)]))
    assert one.estimates["win"].high == 1
    assert 0.5 < one.estimates["win"].low < 1
    assert one.sign.p == pytest.approx(2 / 2**10)
    assert one.preference.p == one.sign.p
    assert one.bootstrap["win"] is None


def test_a_missing_criterion_is_named_and_not_counted() -> None:
    result = found(drawn(SMALL, criteria=("overall", "faithfulness")))
    assert "no ratings of: responsiveness, human-likeness, factuality" in result.notices
    assert [one.criterion for one in result.kept.criteria][:2] == [
        "responsiveness",
        "human-likeness",
    ]
    absent = result.kept.criteria[0].comparisons[0]
    assert (absent.note, absent.preference.p_holm) == ("no votes", None)


def test_synthetic_ratings_are_counted() -> None:
    result = found([*drawn(SMALL, synthetic=True), row("person", "x")])
    assert result.synthetic == len(drawn(SMALL))
    assert "synthetic" in result.notices[0]


def test_three_systems_have_scores_and_all_pairs() -> None:
    rows = drawn(SMALL)
    rows += drawn(SMALL, systems=("duo", "turn-based"), seed=1)
    rows += drawn(SMALL, systems=("duplex", "turn-based"), seed=2)
    result = found(rows)
    (criterion,) = result.kept.criteria
    assert [(one.first, one.second) for one in criterion.comparisons] == [
        ("duo", "duplex"),
        ("duo", "turn-based"),
        ("duplex", "turn-based"),
    ]
    assert criterion.scores is not None
    assert {one.system for one in criterion.scores.standings} == {"duo", "duplex", "turn-based"}


def test_scenarios_as_clusters_widen_the_interval() -> None:
    rows = [one | {"scenario": one["item"][:3]} for one in drawn(Design(raters=6, votes_each=6))]
    items, scenarios = only(found(rows)), only(found(rows, cluster="scenario"))
    assert items.votes == scenarios.votes
    assert scenarios.dialogues == 4
    assert items.dialogues == 40


def test_systems_and_clusters_that_do_not_fit() -> None:
    with pytest.raises(BadInput, match="duo, duplex"):
        found(drawn(SMALL), systems=("duo", "other"))
    with pytest.raises(BadInput, match="cluster"):
        found(drawn(SMALL), cluster="rater")


def test_the_mixed_model_finds_about_the_same() -> None:
    one = only(found(drawn(Design(preference=0.6))))
    assert one.mixed.converged
    assert one.mixed.net == pytest.approx(one.estimates["net"].value, abs=0.1)
    assert one.mixed.error is not None
    assert one.mixed.residual_variance is not None


def test_a_mixed_model_that_does_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.statistics.mixed._ROUNDS", 1)
    result = found(drawn(Design(preference=0.6)))
    assert not only(result).mixed.converged
    assert "did not converge" in only(result).mixed.note
    assert "overall,duo,duplex,mixed net,,,,," in csv_text(result)
