"""Odd but valid data is drawn or named; what is wrong is one line with its file and field."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from typer.testing import CliRunner

from duo.cli import app
from duo.errors import BadInput
from duo.transcript import write_transcript
from evaluation.scores import Data, score_states
from reports.plots.chart import make_chart
from reports.plots.make import make
from reports.plots.mask import forks_of, mask
from reports.plots.states import calibration, confusion, decisions, premature, separation
from reports.plots.study import preference, ranking
from reports.plots.style import COLUMN
from reports.plots.sweep import Scored, SweepScores, sweep, sweep_scores
from reports.plots.timeline import timeline
from reports.statistics.analysis import analyse
from tests.reports.page.runs import write_talks
from tests.reports.plots.inputs import (
    decoded,
    draw,
    figures,
    interaction,
    judged,
    probed,
    study,
    trained,
)
from tests.reports.rated import ratings, row
from tests.reports.stories import Story, interrupted, waiting

NONE = {"value": None, "low": None, "high": None, "n": 0}


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["r1", "r2"]), st.sampled_from(["i1", "i2", "i3"]),
            st.sampled_from(["left", "right", "tie", "both_bad"]),
            st.sampled_from(["duplex", "turn-based"]),
            st.sampled_from(["overall", "faithfulness", "fun"]),
        ),
        max_size=8, unique_by=lambda vote: (vote[0], vote[1], vote[3], vote[4]),
    )
)  # fmt: skip
def test_any_study_is_drawn_or_has_nothing_to_draw(votes: list[tuple[str, ...]]) -> None:
    rows = [row(rater, item, choice, right=other, criterion=criterion)
            for rater, item, choice, other, criterion in votes]  # fmt: skip
    result = analyse(ratings(rows), resamples=9)
    for producer in (preference, ranking):
        found = producer(result)
        if found is not None:
            assert found.draw(COLUMN).axes
            assert found.table.rows
    assert (preference(result) is None) == (not rows)


@pytest.mark.parametrize("choice", ["left", "right", "tie", "both_bad"])
def test_one_rater_and_one_outcome(choice: str) -> None:
    rows = [row("r1", f"i{n}", choice) for n in range(3)]
    found = preference(analyse(ratings(rows), resamples=9))
    assert found is not None
    assert "One rater only" in found.caption
    assert found.draw(COLUMN).axes


def test_raters_left_out_and_missing_criteria_are_in_the_caption() -> None:
    content = copy.deepcopy(study())
    content["excluded"] = [{"rater": "r1", "reasons": ["too fast"]}]
    content["notices"] = ["no ratings of: factuality"]
    found = draw("preference", content)
    assert found is not None
    assert "1 raters were left out" in found.caption
    assert "No ratings of: factuality." in found.caption


def test_two_systems_have_no_ranking() -> None:
    assert draw("ranking", study()) is None


def test_results_without_events_have_nothing_to_draw() -> None:
    empty = copy.deepcopy(interaction())
    empty["events"] = []
    for system in empty["systems"].values():
        system["takeover"] = dict.fromkeys(system["takeover"], NONE)
        system["false_interruptions"] = NONE
    assert draw("takeover", empty) is None
    assert draw("latency", empty) is None
    assert draw("trade-off", empty) is None
    assert sweep(SweepScores(())) == []
    assert draw("cost", {**decoded(), "systems": {}, "together": []}) is None
    assert draw("training", {"curve": []}) is None
    no_cases = score_states([], model="", data=Data(), lookahead=4)
    for producer in (
        confusion, decisions, premature, calibration,
        separation,
    ):  # fmt: skip
        assert producer(no_cases) is None
    assert draw("probe", {**probed(), "curve": probed()["curve"][:1]}) is None
    silent = Story()
    silent.hears("Hello?", 0.0)
    assert mask(silent.transcript()) is None
    assert timeline(silent.transcript()).draw(COLUMN)


def test_sweeps_with_gaps_are_drawn() -> None:
    points = (
        Scored("a", {"lookahead": 1}, {"duo": figures(None, 0.2)}),
        Scored("b", {"lookahead": 2}, {"duo": figures(1.0, None)}),
        Scored("c", {"lookahead": None}, {"duo": figures(2.0, 0.1)}),
        Scored("d", {"patience": 2}, {"duo": figures(2.0, 0.1)}),
    )
    [found] = sweep(SweepScores(points))
    assert found.draw(COLUMN).axes
    assert [line[2] for line in found.table.rows] == [1, 2, None]


def test_a_fork_is_what_the_transcript_says() -> None:
    forks = list(forks_of(interrupted()))
    fork = forks[-1]
    assert "".join(fork.input).startswith("Wait, what if")
    assert fork.input[-1] == "<1>"
    assert fork.output
    found = mask(interrupted())
    assert found is not None
    for slot, channel, position, _, sees in found.table.rows:
        keys = [int(key) for key in str(sees).split()]
        others = {"output": "input", "input": "output"}.get(str(channel))
        assert slot in keys
        assert not [key for key in keys if found.table.rows[key][1] == others]
        assert len(keys) == int(str(position)) + 1


def test_a_sweep_is_scored_point_by_point(tmp_path: Path) -> None:
    for name, transcript in (("p=1", interrupted()), ("p=2", waiting("duo"))):
        write_transcript(tmp_path / name / "duo" / "weekend.jsonl", transcript)
    points: list[dict[str, Any]] = [
        {"name": f"p={n}", "swept": {"patience": n}, "settings": {}} for n in (1, 2, 3)
    ]
    content = {"systems": ["duo"], "scenarios": {"weekend": "0"}, "points": points}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    scores = sweep_scores(tmp_path)
    assert [list(point.systems) for point in scores.points] == [["duo"], ["duo"], []]
    [found] = sweep(scores)
    assert [line[2] for line in found.table.rows] == [1, 2]
    assert "Not recorded: p=3" in found.caption
    points[0]["name"] = "../outside"
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match=r"sweep.json: points\[0\].name: must be the name"):
        sweep_scores(tmp_path)


def _with(content: Any, path: str, value: Any) -> Any:
    content = copy.deepcopy(content)
    *way, last = path.split(".")
    inner = content
    for key in way:
        inner = inner[int(key) if key.isdigit() else key]
    inner[last] = value
    return content


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("preference", lambda: _with(study(), "schema", 2), "schema: "),
        ("preference", lambda: _with(study(), "kept.criteria.0.comparisons", 3),
         "kept.criteria[0].comparisons: "),
        ("ranking", lambda: study(), "there is nothing to draw in it for ranking"),
        ("confusion", lambda: _with(judged(), "confusion.respond", {"respond": -1}),
         "confusion.respond.respond: "),
        ("confusion", lambda: interaction(), "kind: is 'interaction', not 'states'"),
        ("calibration", lambda: _with(judged(), "calibration.ece", float("nan")),
         "not JSON: NaN is not a finite number"),
        ("takeover", lambda: [], "not a JSON object"),
        ("latency", lambda: _with(interaction(), "events.0.response", {"seconds": "3"}),
         "events[0].response.seconds: "),
        ("cost", lambda: _with(decoded(), "systems.duo.tokens_per_second.alone", {"median": 1}),
         "systems.duo.tokens_per_second.alone.low: is missing"),
        ("training", lambda: _with(trained("duo"), "curve.1.loss_state", "x"),
         "curve[1].loss_state: "),
        ("sweep", lambda: {"schema": 1}, "points: is missing"),
        ("mask", lambda: {"type": "event"}, "type: the first line must be the header"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_with_file_and_field(
    kind: str, content: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.json"
    path.write_text(json.dumps(content()), encoding="utf-8")
    with pytest.raises(BadInput) as error:
        make(kind, [path], tmp_path / "out")
    said = str(error.value)
    assert said.startswith(str(path))
    assert message in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_unknown_kinds_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="kind: unknown 'pie': use one of preference"):
        make("pie", [], tmp_path)
    (tmp_path / "cut.json").write_text('{"schema": 1,\n "n": ')
    with pytest.raises(BadInput, match=r"cut.json:2: not JSON"):
        make("confusion", [tmp_path / "cut.json"], tmp_path)


def test_the_command_writes_one_figure_a_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(judged()), encoding="utf-8")
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["report", "figure", "confusion", *files, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.glob("*.pdf")} == {
        f"confusion{number}{wide}.pdf" for number in ("", "-2") for wide in ("", "-wide")
    }
    assert len(done.output.split()) == 4


def test_a_range_is_drawn_of_a_timeline_alone(tmp_path: Path) -> None:
    write_transcript(tmp_path / "a.jsonl", interrupted())
    out = ["--out", str(tmp_path / "out"), "--from", "8", "--to", "13"]
    run = CliRunner().invoke
    done = run(app, ["report", "figure", "timeline", str(tmp_path / "a.jsonl"), *out])
    assert done.exit_code == 0, done.output
    assert [Path(line).name for line in done.output.split()] == [
        "timeline-weekend-duo-8-13s.pdf", "timeline-weekend-duo-8-13s-wide.pdf",
    ]  # fmt: skip
    short = Story(scenario="short")
    short.hears("So?", at=0.5)
    write_transcript(tmp_path / "b.jsonl", short.transcript())
    done = run(app, ["report", "figure", "timeline", str(tmp_path), *out])
    assert done.exit_code == 0, done.output
    assert "timeline-weekend-duo-8-13s.pdf" in done.stdout
    assert f"skipped: {tmp_path / 'b.jsonl'}: --from: there is nothing between 8 and" in done.stderr
    done = run(app, ["report", "figure", "timeline", str(tmp_path / "b.jsonl"), *out])
    assert "b.jsonl: --from: there is nothing between 8 and" in str(done.exception)
    with pytest.raises(BadInput, match="only a timeline can be drawn in part"):
        make("mask", [tmp_path / "a.jsonl"], tmp_path / "out", start=8.0)


def test_the_mark_of_a_latency_is_the_median_of_its_caption() -> None:
    chart = draw("latency", interaction())
    assert chart is not None
    response = chart.draw(COLUMN).axes[0]
    places = [np.atleast_1d(line.get_xdata()) for line in response.lines]
    marks = {float(place[0]) for place in places if len(place) == 1}
    medians = {
        system["response_latency"]["seconds"]["p50"]["value"]
        for system in interaction()["systems"].values()
    }
    assert marks == medians - {None}
    assert all(f"{median:.2f} s" in chart.caption for median in medians - {None})


def test_a_folder_stands_for_all_transcripts_with_something_to_draw(tmp_path: Path) -> None:
    write_talks(tmp_path / "talks")
    (tmp_path / "talks" / "other.jsonl").write_text('{"text": "not a transcript"}\n')
    stems = {path.stem for path in make("timeline", [tmp_path / "talks"], tmp_path / "out")}
    assert {"timeline-weekend-duo", "timeline-weekend-turn-based"} <= stems
    masks = make("mask", [tmp_path / "talks"], tmp_path / "out")
    assert {path.stem for path in masks} == {"mask-weekend-duo", "mask-weekend-duo-wide"}
    with pytest.raises(BadInput, match="nothing to draw in it for mask"):
        make("mask", [tmp_path / "talks" / "turn-based"], tmp_path / "out")


def test_a_chart_of_a_single_case_says_so() -> None:
    rows = [("a", 0.5, 1), ("b", 0.5, 9)]
    chart = make_chart("x", "X", ["Said."], ("what", "share", "n"), rows, _undrawn, counts="n")
    assert chart.caption == "Said. n = 1: one of its points rests on a single case."
    assert list(chart.table.notes) == [chart.caption]


def _undrawn(width: float) -> Figure:
    raise AssertionError("not drawn here")
