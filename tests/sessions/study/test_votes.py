"""Ratings as files, out and in again, on both databases."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from duo.csv_file import csv_cell
from duo.errors import BadInput
from duo.escape import clean
from reports.statistics.simulate import simulate_raters
from sessions.study.importing import import_ratings
from sessions.study.people import revoke
from sessions.study.study import Study
from sessions.study.views import CHOICES, Answer, RatingView
from sessions.study.votes import COLUMNS, NAMES, export, from_text, votes
from tests.sessions.study.studies import CRITERIA, StudyMaker, newcomer, rate_all

PROMISED = (
    "study", "rater", "item", "scenario", "repeat", "criterion", "system_left", "system_right",
    "choice", "winner", "seconds", "submitted_at", "attention", "passed", "synthetic",
)  # fmt: skip


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def rated(make: StudyMaker, **changes: Any) -> Study:
    """A study with all that there can be: repeats, checks, comments, people and programs."""
    study = make(items=4, checks={"attention": 1, "repeats": 1}, **changes)
    draw = random.Random(0)

    def any_way(view: RatingView) -> dict[str, Answer]:
        places = len(view.dialogues)
        return {
            name: Answer.of(draw.choice(CHOICES))
            if places == 2
            else Answer.ranked([draw.randint(1, 3) for _ in range(places)], both_bad=True)
            for name in CRITERIA
        }

    first = newcomer(study)
    page = first.view().page  # type: ignore[union-attr]
    first.exposed(page, ["A"], ["B"])
    first.draft(page, CRITERIA[0], Answer(tuple(range(1, 1 + len(study.systems)))))
    first.draft_comment(page, '=1+1, "so", said\nI\tfoo')
    rate_all(first, any_way)
    rate_all(newcomer(study), any_way)
    simulate_raters(study, 2, {"duo": 1.0})
    revoke(study, ["r002"])
    return study


def test_the_columns_that_statistics_rely_on_come_first(make: StudyMaker, tmp_path: Path) -> None:
    assert NAMES[: len(PROMISED)] == PROMISED
    study = rated(make)
    path = tmp_path / "out" / "ratings.csv"
    count = export(study, path)
    rows = rows_of(path)
    assert count == len(rows) == len(votes(study))
    for row in rows:
        assert row["study"] == study.name
        winners = {"left": row["system_left"], "right": row["system_right"]}
        assert row["winner"] == winners.get(row["choice"], row["choice"])
        check = row["attention"] == "true"
        assert (row["passed"] in ("true", "false")) == check
        assert {row["system_left"], row["system_right"]} == (
            {"wanted", "other"} if check else {"duo", "duplex"}
        )
        assert (row["synthetic"] == "true") == row["rater"].startswith("s")
        assert (row["revoked"] == "true") == (row["rater"] == "r002")
    assert {row["repeat"] for row in rows} == {"0", "1"}
    assert any(row["comment"].startswith("'=1+1") for row in rows)


def test_parquet_has_the_same_rows_and_types(make_sqlite: StudyMaker, tmp_path: Path) -> None:
    export(rated(make_sqlite), tmp_path / "r.csv")
    table = parquet.read_table(tmp_path / "r.parquet")
    assert tuple(table.column_names) == NAMES
    rows = rows_of(tmp_path / "r.csv")
    for typed, text in zip(table.to_pylist(), rows, strict=True):
        assert {one.name: from_text(one.kind, text[one.name]) for one in COLUMNS} == typed
    assert str(table.schema.field("submitted_at").type) == "timestamp[us, tz=UTC]"


def test_the_dictionary_explains_every_column(make_sqlite: StudyMaker, tmp_path: Path) -> None:
    export(make_sqlite(), tmp_path / "r.csv")
    explained = rows_of(tmp_path / "r.dictionary.csv")
    assert [row["column"] for row in explained] == list(NAMES)
    assert all(row["type"] and row["meaning"] for row in explained)
    assert rows_of(tmp_path / "r.csv") == []


@pytest.mark.parametrize("systems", [("duo", "duplex"), ("duo", "duplex", "turn-based")])
def test_out_and_in_again_is_the_same(
    make: StudyMaker, tmp_path: Path, systems: tuple[str, ...]
) -> None:
    study = rated(make, systems=systems)
    other = make(items=4, checks={"attention": 1, "repeats": 1}, systems=systems)
    path, again = tmp_path / "a.csv", tmp_path / "b.csv"
    count = export(study, path)
    pairs = len(systems) * (len(systems) - 1) // 2
    whole = sum(1 for row in rows_of(path) if row["attention"] == "true")
    assert import_ratings(other, path) == whole + (count - whole) // pairs
    assert import_ratings(other, path) == 0
    assert import_ratings(study, path) == 0
    header, *rows = path.read_text("utf-8").splitlines(keepends=True)
    again.write_text("".join([header.title().replace("_", " "), *rows]), "utf-8")
    assert import_ratings(study, again) == 0
    export(other, again)
    assert again.read_text("utf-8").replace(other.name, study.name) == path.read_text("utf-8")


def test_three_systems_give_a_row_for_each_pair(make_sqlite: StudyMaker) -> None:
    study = make_sqlite(items=1, systems=("a", "b", "c"))
    session = newcomer(study)
    view = session.view()
    assert isinstance(view, RatingView)
    ranks = dict.fromkeys(CRITERIA, Answer((1, 2, 1), both_bad=True))
    session.submit(view.page, ranks, nonce="n")
    cast = [vote for vote in votes(study) if vote.criterion == CRITERIA[0]]
    order = json.loads(cast[0].order)
    assert [(v.system_left, v.system_right, v.choice) for v in cast] == [
        (order[0], order[1], "left"),
        (order[0], order[2], "both_bad"),
        (order[1], order[2], "right"),
    ]


def spoilt(study: Study, folder: Path, change: Callable[[list[dict[str, str]]], Any]) -> Path:
    export(study, folder / "good.csv")
    rows = rows_of(folder / "good.csv")
    change(rows)
    path = folder / "bad.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, NAMES)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("item", "unheard-of", "the study has no item 'unheard-of'"),
        ("criterion", "beauty", "the study has no criterion 'beauty'"),
        ("order", '["duo", "other"]', "the item's systems are duo, duplex"),
        ("order", "duo", "is not a JSON list"),
        ("ranking", "[1, 3]", "are not ranks"),
        ("ranking", "[1, 1, 1]", "must have 2 ranks"),
        ("all_bad", "perhaps", "must be true or false"),
        ("seconds", "nan", "must be 0 or more"),
        ("submitted_at", "yesterday", "Invalid isoformat"),
        ("submitted_at", "2026-01-01T00:00:00", "must say its time zone"),
        ("opened", "A", "is not a JSON list"),
        ("question_seconds", "-1", "must be 0 or more"),
        ("position", "0", "must be 1 or more"),
        ("rater", "", "is missing"),
        ("rater_state", "asleep", "unknown 'asleep'"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_comes_in(
    make: StudyMaker, tmp_path: Path, column: str, value: str, message: str
) -> None:
    study = make(items=2)
    rate_all(newcomer(study))
    other = make(items=2)
    path = spoilt(study, tmp_path, lambda rows: rows[3].update({column: value}))
    if column == "rater_state":
        path = spoilt(study, tmp_path, lambda rows: rows[0].update({column: value}))
    with pytest.raises(BadInput) as caught:
        import_ratings(other, path)
    assert message in str(caught.value)
    assert caught.value.line == (2 if column == "rater_state" else 5)
    assert caught.value.field == column
    assert votes(other) == []


def test_what_contradicts_is_refused(make: StudyMaker, tmp_path: Path) -> None:
    study = make(items=2)
    rate_all(newcomer(study))
    path = spoilt(study, tmp_path, lambda rows: rows[0].update(ranking="[2, 1]"))
    with pytest.raises(BadInput, match="r001 has another answer to this already"):
        import_ratings(study, path)
    path = spoilt(study, tmp_path, lambda rows: rows[0].update(order='["duplex", "duo"]'))
    rows = rows_of(tmp_path / "good.csv")
    if rows[0]["order"] == '["duplex", "duo"]':
        path = spoilt(study, tmp_path, lambda rows: rows[0].update(order='["duo", "duplex"]'))
    with pytest.raises(BadInput, match="saw this item in another order"):
        import_ratings(study, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty: not even a header line"),
        (b"rater,item\n", "x.csv:1: repeat: is missing"),
        (b"\xffx", "is not UTF-8 text"),
        (",".join(NAMES).encode() + b"\n1,2\n", f"x.csv:2: 2 cells under {len(NAMES)} columns"),
        (",".join(NAMES).encode() + b'\n"open', "x.csv:2: not CSV"),
    ],
)
def test_files_that_are_none(
    make_sqlite: StudyMaker, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(BadInput) as caught:
        import_ratings(make_sqlite(), tmp_path / "x.csv")
    assert message in str(caught.value)


@given(st.text(st.characters(codec="utf-8")) | st.from_regex(r"'*[=+\-@].*"))
def test_no_text_becomes_a_formula_and_all_comes_back(text: str) -> None:
    written = csv_cell(text)
    assert written[:1] not in tuple("=+-@\t\r")
    seen = clean(text.replace("\r\n", "\n").replace("\r", "\n"), lines=True)
    assert from_text("text", written) == seen


def test_every_kind_of_value_comes_back() -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    assert from_text("time", "2026-01-02T03:04:05.678901Z") == moment
    for kind, value in (
        ("integer", -7), ("number", 1.25), ("true or false", False), ("true or false", None),
    ):  # fmt: skip
        assert from_text(kind, csv_cell(value)) == value  # type: ignore[arg-type]
    assert {column.kind for column in COLUMNS} == {
        "text", "integer", "number", "true or false", "time",
    }  # fmt: skip
