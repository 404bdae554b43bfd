"""The chart of what can be told apart, against its definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scores import Data, Judged, States, score_states
from reports.plots.states import separation
from reports.plots.style import COLUMN

SCORES = st.lists(st.floats(0.01, 0.99), min_size=10, max_size=40)


def result(queries: list[float], hums: list[float], unfinished: tuple[float, ...] = ()) -> States:
    cases = [
        Judged(id="", label=label, wanted=wanted, outcome="wait", p_respond=p, p_ignore=1 - p)  # type: ignore[arg-type]
        for label, wanted, scores in (("query", "respond", queries), ("hum", "ignore", hums))
        for p in scores
    ]
    cases += [
        Judged(id="", label="x", wanted="wait", outcome="wait", p_respond=p) for p in unfinished
    ]
    return score_states(cases, model="", data=Data(), lookahead=4)


@given(SCORES, SCORES)
def test_each_row_is_what_a_threshold_does(queries: list[float], hums: list[float]) -> None:
    found = result(queries, hums)
    chart = separation(found)
    assert chart is not None
    scores = [case.p_respond / (case.p_respond + case.p_ignore) for case in found.cases]
    queries, hums = scores[: len(queries)], scores[len(queries) :]
    above = sum((q > h) + 0.5 * (q == h) for q in queries for h in hums)
    for kind, n, area, _, answered, ignored in chart.table.rows:
        assert (kind, n) == ("hum", len(hums))
        assert area == pytest.approx(above / len(queries) / len(hums), abs=1e-9)
        assert any(
            sum(q >= t for q in queries) >= answered * len(queries) - 1e-9  # type: ignore[operator]
            and ignored == sum(h < t for h in hums) / len(hums)
            for t in (*queries, float("inf"))
        )


def test_kinds_that_are_apart_and_kinds_that_are_one() -> None:
    apart = separation(result([0.9] * 20, [0.1] * 20))
    assert apart is not None
    assert {row[2] for row in apart.table.rows} == {1.0}
    assert all(row[5] == 1.0 for row in apart.table.rows)
    assert (
        "Where 95 % are answered or decided about, held or ignored are: 100 % of hum (20)"
        in apart.caption
    )
    same = separation(result([0.5] * 20, [0.5] * 20))
    assert same is not None
    assert {row[2] for row in same.table.rows} == {0.5}
    assert all(row[5] == 0.0 for row in same.table.rows if row[4])
    assert same.draw(COLUMN)


def test_what_is_unfinished_is_told_by_the_sum() -> None:
    chart = separation(result([0.9] * 20, [0.1] * 20, (0.2,) * 10 + (0.995,) * 10))
    assert chart is not None
    rows = [row for row in chart.table.rows if row[0] == "unfinished"]
    assert {(row[1], row[3]) for row in rows} == {(20, "finished")}
    assert rows[-1][2] == 1.0
    assert "100 % of unfinished (20)" in chart.caption
    assert chart.draw(COLUMN)


def test_few_utterances_of_a_kind_show_nothing() -> None:
    assert separation(result([0.9] * 20, [0.1] * 9)) is None
    assert separation(result([], [0.1] * 20)) is None
