"""Figures about decisions, against sums done by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.cases import OUTCOMES, Outcome
from evaluation.scores import (
    Judged,
    OutcomeScore,
    area,
    by_label,
    by_made_up,
    calibration,
    confusion,
    decided_at,
    precision_recall,
    premature,
    score_states,
    settled,
    share,
    threshold_answering,
    wilson,
)


def judged(
    wanted: Outcome,
    outcome: Outcome,
    *,
    label: str = "x",
    chances: tuple[float, float] = (0.5, 0.5),
    early: tuple[Outcome, ...] = (),
    made_up: int = 0,
    over_answer: bool = False,
) -> Judged:
    respond, ignore = chances
    return Judged(
        id="id", label=label, wanted=wanted, outcome=outcome, p_respond=respond, p_ignore=ignore,
        early=early, made_up=made_up, over_answer=over_answer,
    )  # fmt: skip


CASES = [
    judged("respond", "respond", label="query"),
    judged("respond", "respond", label="query"),
    judged("respond", "ignore", label="query"),
    judged("respond", "wait", label="directive"),
    judged("ignore", "ignore", label="backchannel"),
    judged("ignore", "respond", label="backchannel"),
    judged("wait", "respond", label="incomplete"),
    judged("wait", "wait", label="incomplete"),
]


def test_precision_and_recall_by_hand() -> None:
    assert precision_recall(CASES, "respond") == OutcomeScore(
        precision=2 / 4, recall=2 / 4, f1=0.5, predicted=4, n=4
    )
    assert precision_recall(CASES, "ignore") == OutcomeScore(
        precision=1 / 2, recall=1 / 2, f1=0.5, predicted=2, n=2
    )
    nothing = precision_recall([judged("wait", "wait")], "respond")
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)


def test_confusion_and_labels_count_every_case_once() -> None:
    table = confusion(CASES)
    assert table["respond"] == {"respond": 2, "ignore": 1, "wait": 1}
    assert sum(sum(row.values()) for row in table.values()) == len(CASES)
    labels = by_label(CASES)
    assert next(iter(labels)) == "query"
    assert labels["query"]["respond"].share == 2 / 3
    assert all(sum(found[o].hits for o in OUTCOMES) == found["wait"].n
               for found in labels.values())  # fmt: skip


def test_in_the_end_the_likelier_state_decides_what_was_waited_on() -> None:
    cases = [
        judged("ignore", "wait", label="hum", chances=(0.01, 0.4)),
        judged("ignore", "wait", label="hum", chances=(0.3, 0.3)),
        judged("ignore", "ignore", label="hum", chances=(0.9, 0.1)),  # a state after made-up words
        judged("ignore", "respond", label="hum", chances=(0.1, 0.9)),
    ]
    found = settled(cases)["hum"]
    assert {outcome: shown.hits for outcome, shown in found.items()} == {
        "respond": 2, "ignore": 2,
    }  # fmt: skip
    assert found["ignore"].n == 4


@pytest.mark.parametrize(
    ("case", "decided"),
    [
        (judged("ignore", "wait", chances=(0.03, 0.02)), "respond"),
        (judged("ignore", "wait", chances=(0.01, 0.03)), "wait"),  # below the threshold
        (judged("ignore", "wait", chances=(0.01, 0.4), over_answer=True), "ignore"),
        # While nothing is being said, only where no other token is likelier than `<2>`.
        (judged("ignore", "wait", chances=(0.01, 0.4)), "wait"),
        (judged("ignore", "ignore", chances=(0.01, 0.4), made_up=1), "wait"),
        (judged("ignore", "ignore", chances=(0.01, 0.4)), "ignore"),
    ],
)
def test_one_look_in_silence_decides_from_the_threshold_on(case: Judged, decided: Outcome) -> None:
    found = decided_at([case], 0.05)["x"]
    assert [outcome for outcome, shown in found.items() if shown.hits] == [decided]


def test_wilson_by_hand() -> None:
    # 8 of 10, 95 %: Newcombe (1998) gives 0.4902 to 0.9433 for this case.
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert share(0, 0).share is None


@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_holds_the_share(hits: int, n: int) -> None:
    hits = min(hits, n)
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n + 1e-9
    assert hits / n - 1e-9 <= high <= 1
    other_low, other_high = wilson(n - hits, n)
    assert (low, high) == pytest.approx((1 - other_high, 1 - other_low))


def test_premature_counts_words_of_queries_only() -> None:
    cases = [
        judged("respond", "respond", early=("wait", "respond", "ignore", "wait")),
        judged("respond", "respond", early=("wait",)),
        judged("respond", "respond"),  # a single word: nowhere to be early
        judged("ignore", "ignore", early=("respond",)),
    ]
    found = premature(cases)
    assert (found.any.hits, found.any.n) == (2, 5)
    assert (found.respond.hits, found.respond.n) == (1, 5)
    assert (found.utterances.hits, found.utterances.n) == (1, 2)


def test_decisions_are_counted_by_what_was_made_up_before() -> None:
    cases = [
        judged("respond", "respond"),
        judged("respond", "ignore", made_up=2),
        judged("respond", "wait", made_up=3),
        judged("wait", "respond", made_up=2),
    ]
    assert by_made_up(cases) == {"respond": {0: 1, 2: 1}, "ignore": {}, "wait": {2: 1}}


def test_calibration_by_hand() -> None:
    cases = [
        judged("respond", "respond", chances=(0.09, 0.01)),  # 0.9, right
        judged("ignore", "respond", chances=(0.9, 0.1)),  # 0.9, wrong
        judged("ignore", "ignore", chances=(0.1, 0.3)),  # 0.25, right
        judged("wait", "respond", chances=(0.9, 0.1)),  # left out
        judged("respond", "wait", chances=(0.0, 0.0)),  # says nothing
    ]
    found = score_states(cases)
    assert found.calibration.n == 3
    assert found.calibration.ece == pytest.approx(2 / 3 * abs(0.5 - 0.9) + 1 / 3 * 0.25)
    assert [row.n for row in found.calibration.bins] == [1, 2]
    assert found.calibration_finished is not None
    assert found.calibration_finished.n == 5
    assert found.calibration_finished.ece == pytest.approx(
        (0.9 + 2 * 0.5 + 0.6 + 0.0 - 0.0) / 5, abs=0.3
    )
    assert calibration([]).ece is None


def test_thresholds_by_hand() -> None:
    cases = [
        judged("respond", "wait", chances=(0.05, 0.01)),
        judged("respond", "wait", chances=(0.1, 0.3), over_answer=True),  # decided about, wrongly
        judged("ignore", "ignore", chances=(0.1, 0.6)),
        judged("ignore", "wait", chances=(0.1, 0.3)),  # held: nothing is being said
        judged("wait", "wait", chances=(0.0, 0.02), over_answer=True),
    ]
    found = score_states(cases)
    assert found.area_finished == 1.0
    at = {one.decide_at: one for one in found.thresholds}
    assert [at[0.01].finished.hits, at[0.01].unfinished.hits] == [3, 1]
    assert [at[0.05].finished.hits, at[0.05].unfinished.hits] == [3, 0]
    assert [at[0.05].respond.hits, at[0.05].respond.n, at[0.05].ignore.hits] == [1, 2, 1]
    assert at[0.05].ignore.n == 2
    assert [at[0.5].finished.hits, at[0.5].respond.hits, at[0.5].ignore.hits] == [1, 0, 1]
    assert score_states(cases[:-1]).area_finished is None


SCORES = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=30)


@given(SCORES, st.integers(0, 100))
def test_the_threshold_is_the_highest_that_enough_reach(queries: list[float], percent: int) -> None:
    def enough(threshold: float) -> bool:
        return 100 * sum(query >= threshold for query in queries) >= percent * len(queries)

    threshold = threshold_answering(queries, percent)
    assert enough(threshold)
    assert not any(enough(other) for other in (*queries, float("inf")) if other > threshold)


@given(SCORES, SCORES)
def test_the_area_counts_pairs(queries: list[float], others: list[float]) -> None:
    pairs = sum((q > o) + 0.5 * (q == o) for q in queries for o in others)
    assert area(queries, others) == pytest.approx(pairs / len(queries) / len(others))
