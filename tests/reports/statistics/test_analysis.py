"""The whole analysis: what must not change it, what turns it round, and ratings that say little."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from duo.errors import BadInput
from duo.files import as_result, read_result, write_result
from reports.statistics.analysis import Comparison, StudyResult, analyse
from reports.statistics.report import long_table, tables
from reports.statistics.simulate import Design
from sessions.study.signs import Rules
from tests.reports.rated import drawn, ratings, row

OFF = Rules(failed_checks=None, least_seconds=None, one_sided=None)
SMALL = Design(dialogues=12, raters=4, votes_each=3, preference=0.8)


def found(rows: list[dict], **more: object) -> StudyResult:
    result = analyse(ratings(rows), **({"seed": 1, "rules": OFF, "resamples": 50} | more))
    read = as_result(json.loads(as_json(result)), StudyResult, file=None)  # no NaN anywhere
    assert as_json(read) == as_json(result)
    long_table(result).csv()
    for table in tables(result):
        table.markdown()
    return result


def as_json(result: StudyResult) -> str:
    return json.dumps(result.model_dump(mode="json", by_alias=True), allow_nan=False)


def only(result: StudyResult) -> Comparison:
    (one,) = result.kept.comparisons
    return one


@settings(max_examples=5)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(random: object) -> None:
    rows = drawn(SMALL, criteria=("overall", "pace"))
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert as_json(found(rows)) == as_json(found(shuffled))


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
    monkeypatch.setattr("reports.statistics.clustered._ROUNDS", 1)
    result = found(drawn(Design(preference=0.6)))
    assert not only(result).mixed.converged
    assert "did not converge" in only(result).mixed.note
    assert "overall,duo,duplex,mixed net,,,,," in long_table(result).csv()


def test_a_result_says_what_it_is_and_older_ones_are_read(tmp_path: Path) -> None:
    result = found(drawn(SMALL))
    write_result(tmp_path / "s.json", result)
    content = json.loads((tmp_path / "s.json").read_text("utf-8"))
    assert (next(iter(content)), content["kind"], content["schema"]) == ("kind", "statistics", 1)
    del content["kind"]
    (tmp_path / "s.json").write_text(json.dumps(content), "utf-8")
    assert as_json(read_result(tmp_path / "s.json", StudyResult)) == as_json(result)
    (tmp_path / "s.json").write_text(json.dumps(content | {"kind": "states"}), "utf-8")
    with pytest.raises(BadInput, match="'states', not 'statistics'"):
        read_result(tmp_path / "s.json", StudyResult)


@pytest.mark.parametrize("width", [60, 80])
def test_tables_fit_a_terminal_whatever_is_in_them(width: int) -> None:
    evil = "=1+1 [red]\x1b[31m"
    result = found(drawn(SMALL, systems=(evil, "duo-sequential"), criteria=("human-likeness",)))
    console = Console(width=width, record=True, file=StringIO())
    for table in tables(result):
        table.show(console)
    text = console.export_text()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "'=1+1 [red]" in long_table(result).csv()
