"""What leaves a study besides ratings: comments, all as one zip, preferences for training."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duo.cli import app
from duo.errors import BadInput
from reports.page.find import recognise
from sessions.study.exports import (
    _parted,
    archive,
    comments,
    day_and_time,
    exported,
    files_of,
    messages,
    preferences,
)
from sessions.study.people import revoke
from sessions.study.study import Study
from sessions.study.views import Answer, RatingView
from sessions.study.votes import votes
from tests.sessions.study.studies import Clock, StudyMaker, newcomer, rate_all
from tests.sessions.study.test_judge import conversation

NASTY = '=cmd|"/c"!A1 <script>alert(1)</script>\nsecond line'


def choosing(*choices: str) -> object:
    """Answers by the page's number."""

    def choose(view: RatingView) -> Mapping[str, Answer]:
        return dict.fromkeys(
            (one.name for one in view.criteria),
            Answer.of(choices[(view.number - 1) % len(choices)]),
        )

    return choose


@pytest.fixture
def commented(make_sqlite: StudyMaker) -> Study:
    clock = Clock()
    study = make_sqlite(items=2, clock=clock)
    for text in (NASTY, "fine"):
        session = newcomer(study)
        view = session.view()
        assert isinstance(view, RatingView)
        session.draft_comment(view.page, text)
        clock.pass_(60)
        rate_all(session)
    return study


def test_comments_are_listed_with_their_place_the_latest_first(commented: Study) -> None:
    found = comments(commented)
    assert [(one.rater, one.page, one.text) for one in found] == [
        ("r002", 1, "fine"), ("r001", 1, NASTY),
    ]  # fmt: skip
    assert all(one.submitted and day_and_time(one.at).endswith(" UTC") for one in found)
    assert found[0].at > found[1].at
    revoke(commented, ["r001"])
    assert [one.revoked for one in comments(commented)] == [False, True]


def test_the_zip_has_every_file_and_is_always_the_same(commented: Study) -> None:
    packed = archive(commented)
    assert packed == archive(commented)
    with zipfile.ZipFile(BytesIO(packed)) as files:
        assert set(files.namelist()) == {
            "comments.csv", "design.yaml", "ratings.csv", "ratings.dictionary.csv",
            "ratings.parquet",
        }  # fmt: skip
        assert files.read("comments.csv") == exported(commented, "comments.csv")
        rows = list(csv.DictReader(StringIO(files.read("comments.csv").decode())))
    assert [row["rater"] for row in rows] == ["r002", "r001"]
    assert rows[1]["comment"] == f"'{NASTY}"  # no spreadsheet runs it


def test_what_is_asked_is_exported(make_sqlite: StudyMaker, tmp_path: Path) -> None:
    study = make_sqlite(
        before=[{"name": "age", "ask": "How old?", "kind": "number"}],
        marks={"kinds": {"stop": "Here it should have stopped"}},
    )
    assert set(files_of(study)) == {
        "ratings.csv", "comments.csv", "questionnaires.csv", "marks.csv",
    }  # fmt: skip
    done = CliRunner().invoke(app, ["study", "export", str(study.folder), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "0 questionnaires in" in done.output
    for name in files_of(study):
        assert recognise(tmp_path / name) == (("ratings", None) if name == "ratings.csv" else None)


def test_preferences_are_what_trl_reads(make_sqlite: StudyMaker, tmp_path: Path) -> None:
    """Prompt, chosen and rejected as messages, the last of the prompt the user's."""
    import datasets

    study = make_sqlite(items=3, raters_per_item=3)
    for _ in range(3):
        rate_all(newcomer(study), choosing("left", "tie", "right"))  # type: ignore[arg-type]
    run, path = CliRunner().invoke, tmp_path / "p.jsonl"
    given = ["study", "export", str(study.folder), "--preferences", "speed", "--out", str(path)]
    done = run(app, [*given, "--by", "vote"])
    assert done.exit_code == 0, done.output
    held = [vote for vote in votes(study) if vote.criterion == "speed"]
    untied = [vote for vote in held if vote.winner in vote.pair]
    assert f"{len(untied)} preferences in" in done.output
    assert f"left out: {len(held) - len(untied)} ties, 0 of dialogues" in done.output
    table = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(table) == len(untied)
    for row in table:
        assert row["prompt"] == [{"role": "user", "content": "Hello?"}]
        for part, system in (("chosen", "chosen_system"), ("rejected", "rejected_system")):
            (said,) = row[part]
            assert said["role"] == "assistant"
            assert f"number {['duo', 'duplex'].index(row[system])} " in said["content"]
        vote = next(one for one in untied if (one.rater, one.item) == (row["rater"], row["item"]))
        assert vote.winner == row["chosen_system"]


@pytest.mark.parametrize(
    "given", [["--by", "vote"], ["--synthetic"], ["--preferences", "speed", "--withdrawn"]]
)
def test_options_that_would_change_nothing_are_refused(
    make_sqlite: StudyMaker, given: list[str]
) -> None:
    done = CliRunner().invoke(app, ["study", "export", str(make_sqlite().folder), *given])
    assert isinstance(done.exception, BadInput) or done.exit_code == 2


def test_a_majority_decides_and_ties_are_left_out(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=4, raters_per_item=3)
    for choice in ("left", "right", "tie"):
        rate_all(newcomer(study), choosing(choice))  # type: ignore[arg-type]
    found = preferences(study, "sense")
    counts: dict[str, dict[str, int]] = {}
    for vote in votes(study):
        if vote.criterion == "sense":
            said = counts.setdefault(vote.item, {"duo": 0, "duplex": 0, "tie": 0})
            said[vote.winner] += 1
    decided = {name for name, said in counts.items() if said["duo"] != said["duplex"]}
    assert {row["item"] for row in found.rows} == decided
    assert found.ties == 4 - len(decided)
    for row in found.rows:
        said = counts[row["item"]]
        assert said[row["chosen_system"]] == row["votes_chosen"] > row["votes_rejected"]
        assert row["votes_tied"] == said["tie"]
        assert row["rater"] == ""


def test_only_peoples_valid_first_votes_count(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=4, raters_per_item=1, checks={"attention": 1, "repeats": 1})
    rate_all(newcomer(study), choosing("left"))  # type: ignore[arg-type]
    assert len(preferences(study, "speed", by="vote").rows) == 4
    revoke(study, ["r001"])
    assert not preferences(study, "speed", by="vote").rows
    with pytest.raises(BadInput, match="criterion"):
        preferences(study, "taste")
    done = CliRunner().invoke(app, ["study", "export", str(study.folder), "--preferences", "speed"])
    assert isinstance(done.exception, BadInput)
    assert "no preferences of people on speed" in str(done.exception)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_dialogues_part_where_the_assistants_do() -> None:
    same = [user("a"), assistant("b"), user("c")]
    one, other = [*same, assistant("d"), user("e")], [*same, assistant("x"), user("e")]
    assert _parted(one, other) == (same, one[3:], other[3:])
    # The user's words differ after an answer that both gave: that answer is not in the prompt.
    one, other = [user("a"), assistant("b"), user("c")], [user("a"), assistant("b"), user("d")]
    assert _parted(one, other) == ([user("a")], one[1:], other[1:])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([user("a"), assistant("b")], [user("a"), assistant("b")]),  # nothing to prefer
        ([user("a"), assistant("b")], [user("a")]),  # one says nothing
        ([user("a")], [user("b")]),
        ([assistant("a")], [assistant("b")]),  # nothing was asked
        ([], []),
    ],
)
def test_dialogues_that_cannot_be_used(
    one: list[dict[str, str]], other: list[dict[str, str]]
) -> None:
    assert _parted(one, other) is None
    assert _parted(other, one) is None


def test_messages_alternate_and_lose_no_word() -> None:
    said = messages(conversation("Hi", "Hello", "mm-hm", "So", "Right"))
    assert said == [user("Hi"), assistant("Hello"), user("mm-hm"), assistant("So"), user("Right")]
    assert json.dumps(said)
