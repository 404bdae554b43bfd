"""Reading ratings: our form, another tool's, and everything that does not fit."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from duo.errors import BadInput
from reports.statistics.ratings import COLUMNS, Ratings, read_ratings
from tests.reports.rated import drawn, row, write_csv

HEADER = "rater,item,criterion,system_left,system_right,choice"


def read(folder: Path, text: str | bytes, **more: object) -> Ratings:
    path = folder / "r.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_ratings(path, **more)  # type: ignore[arg-type]


def test_csv_and_parquet_of_the_same_rows_are_the_same(tmp_path: Path) -> None:
    rows = [
        r | {"seconds": 3.5, "passed": None if i % 2 else True} for i, r in enumerate(drawn()[:9])
    ]
    write_csv(tmp_path / "r.csv", [r | {"passed": r["passed"] or ""} for r in rows])
    pd.DataFrame(rows[::-1]).to_parquet(tmp_path / "r.parquet")
    one, other = (read_ratings(tmp_path / name) for name in ("r.csv", "r.parquet"))
    pd.testing.assert_frame_equal(one.rows, other.rows)
    assert tuple(one.rows.columns) == COLUMNS
    assert len(one.rows) == 9
    assert one.notices == ()


def test_another_tools_file_with_its_columns_and_words(tmp_path: Path) -> None:
    text = (
        "judge,question,aspect,model_a,model_b,winner,lang\n"
        'kim,"two\nlines",overall,x,y,model_a,en\n'
        "lee,q2,overall,x,y,tie (bothbad),en\n"
        "lee,q3,overall,y,x,x,en\n"
    )
    names = {
        "rater": "judge", "item": "question", "criterion": "aspect",
        "system_left": "model_a", "system_right": "model_b",
    }  # fmt: skip
    words = {"model_a": "left", "model_b": "right", "tie (bothbad)": "both_bad"}
    found = read(tmp_path, text, columns=names, choices=words)
    assert sorted(found.rows["winner"]) == ["both_bad", "x", "x"]
    assert sorted(found.rows["choice"]) == ["both_bad", "left", "right"]
    assert found.notices == ("columns not used: lang",)
    assert found.systems == ("x", "y")


def test_a_header_without_ratings_is_no_error(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER + "\n")
    assert found.rows.empty
    assert found.criteria == found.systems == ()


def test_attention_checks_bring_no_systems_of_their_own(tmp_path: Path) -> None:
    rows = [
        row(attention=False, passed=""),
        row(item="c", left="intact", right="shuffled", attention=True, passed="false"),
    ]
    found = read_ratings(write_csv(tmp_path / "r.csv", rows))
    assert found.systems == ("duo", "duplex")
    assert list(found.rows["passed"]) == [False, None]


def test_names_that_were_guarded_against_spreadsheets_come_back(tmp_path: Path) -> None:
    found = read(tmp_path, f"{HEADER}\n'=r,i,overall,a,b,left\n'r,i,overall,a,b,left\n")
    assert sorted(found.rows["rater"]) == ["'r", "=r"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("r,i,overall,a,b,middle", "r.csv:3: choice: unknown 'middle'"),
        ("r,i,overall,a,b,", "r.csv:3: choice: is empty"),
        (",i,overall,a,b,left", "r.csv:3: rater: is empty"),
        ("r,i,overall,a,a,left", "r.csv:3: system_right: 'a' is compared with itself"),
        ("r,i,overall,a,tie,left", "r.csv:3: system_left: no system may be called"),
        ("r,i,overall,a,b", "r.csv:3: 5 cells under 6 columns"),
        ("r0,i0,overall,b,a,tie", "r.csv:3: rated twice (first at 2): rater r0, item i0"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(BadInput) as error:
        read(tmp_path, f"{HEADER}\nr0,i0,overall,a,b,left\n{line}\n")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("repeat", "-1"),
        ("repeat", "1.5"),
        ("seconds", "soon"),
        ("seconds", "nan"),
        ("seconds", "-3"),
        ("attention", "perhaps"),
        ("passed", "2"),
        ("winner", "b"),
        ("winner", "c"),
    ],
)
def test_a_bad_value_is_named_with_its_column(tmp_path: Path, column: str, value: str) -> None:
    text = f'{HEADER},{column}\n"r\n1",i,overall,a,b,left,\nr,i,overall,a,b,left,{value}\n'
    with pytest.raises(BadInput, match=rf"r\.csv:4: {column}: ") as error:
        read(tmp_path, text)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not even a header"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"rater,item\n", "columns missing: criterion, system_left, system_right, choice"),
        (b"rater,rater\n", "rater: the column is there twice"),
        (f'{HEADER}\n"open'.encode(), "r.csv:2: not CSV"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadInput) as error:
        read(tmp_path, content)
    assert message in str(error.value)


def test_files_and_mappings_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_ratings(tmp_path / "none.csv")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(BadInput, match="not Parquet"):
        read_ratings(tmp_path / "bad.parquet")
    with pytest.raises(BadInput, match="judge"):
        read(tmp_path, HEADER + "\n", columns={"rater": "judge"})
    with pytest.raises(BadInput, match="no column of ours"):
        read(tmp_path, HEADER + "\n", columns={"vote": "rater"})


def test_a_vote_repeated_or_on_another_pair_is_no_duplicate(tmp_path: Path) -> None:
    text = (
        f"{HEADER},repeat\nr,i,overall,a,b,left,0\nr,i,overall,b,a,left,1\nr,i,overall,a,c,left,0\n"
    )
    assert len(read(tmp_path, text).rows) == 3


def test_our_own_export_has_all_columns() -> None:
    from sessions.study.votes import NAMES

    assert set(COLUMNS) <= set(NAMES)


def test_names_that_are_almost_the_same_are_said(tmp_path: Path) -> None:
    text = f"{HEADER}\nr,i,overall,Duo,b,left\nr,j,Overall,b,duo,left\nr,k,overall,Duo,b,left\n"
    assert read(tmp_path, text).notices == (
        "criterion: 'Overall', 'overall' are taken for different ones",
        "system: 'Duo', 'duo' are taken for different ones",
    )


PLAIN = "rater,item,criterion,system_left,system_right,choice,seconds\nr,i,overall,a,b,left,2\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", ";").replace("left;2", "left;2,0"),
        PLAIN.replace(",", "\t"),
        "sep=,\r\n" + PLAIN.replace("\n", "\r\n"),
        "\ufeffsep=;\n" + PLAIN.replace(",", ";"),
        PLAIN.replace("\n", ",,,\n"),
        PLAIN + ",,,,,,\n,,,,,,\n",
        PLAIN.replace("rater,item", "Rater, ITEM ").replace("system_left", "System_Left"),
        "\n".join(PLAIN.splitlines()) + "\n\n  \n",
        "\r\n \r\n" + PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("system_left", "System Left").replace("left,2", "Left,2"),
        ("\ufeff" + PLAIN.replace(",", "\t")).encode("utf-16-le"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", "\t").replace("left\t2", "left\t2,0e0"),
        '"sep=;"\n' + PLAIN.replace(",", ";"),
        PLAIN.replace(",", ", ").replace("item", '"item"'),
        PLAIN.replace(",", "|"),
        ("," + PLAIN).replace("\nr", "\n1,r"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-32"),
        gzip.compress(PLAIN.encode()),
        f"{PLAIN}\ufeff{PLAIN.splitlines()[0]}\n",
        PLAIN.replace("seconds", "seconds,passed,words_left").replace("left,2", "left,2,NA,NA"),
        PLAIN.replace("seconds", "seconds,attention").replace("left,2", "left,2,0.0"),
    ],
    ids=[
        "semicolons",
        "decimal commas",
        "tabs",
        "sep",
        "sep and mark",
        "columns",
        "rows",
        "case",
        "blank lines",
        "blank lines first",
        "words",
        "utf-16",
        "old Mac",
        "decimal commas and tabs",
        "sep in quotes",
        "blanks and quotes",
        "bars",
        "row numbers",
        "utf-16 without a mark",
        "utf-32",
        "gzipped",
        "put together",
        "NA of R",
        "numbers for truth",
    ],
)
def test_what_a_spreadsheet_saved_is_read_as_it_was(tmp_path: Path, text: str | bytes) -> None:
    found, plain = read(tmp_path, text), read(tmp_path, PLAIN)
    pd.testing.assert_frame_equal(found.rows, plain.rows)
    assert found.notices == ()


def test_lines_are_counted_after_a_line_about_the_delimiter(tmp_path: Path) -> None:
    text = f"sep=,\n{HEADER}\nr,i,overall,a,b,left\n\nr,i,overall,a,b,middle\n"
    with pytest.raises(BadInput, match=r"r\.csv:5: choice: unknown 'middle'"):
        read(tmp_path, text)


def test_a_cell_beyond_the_columns_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"r\.csv:2: 8 cells under 6 columns"):
        read(tmp_path, f"{HEADER},,\nr,i,overall,a,b,left,,x\n")


def test_two_columns_that_differ_in_case_are_not_confused(tmp_path: Path) -> None:
    found = read(tmp_path, f"{HEADER},Rater\nr,i,overall,a,b,left,other\n")
    assert list(found.rows["rater"]) == ["r"]
    assert found.notices == ("columns not used: Rater",)
