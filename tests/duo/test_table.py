"""Tables: any text stays text in every form, no cell leaves its row or column, all fits 80."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.console import Console

from duo.csv_file import csv_cell, csv_text
from duo.errors import BadInput
from duo.escape import clean, escape_html, escape_latex, escape_markdown, visible
from duo.files import Result, read_result
from duo.table import MINUS, NONE, Cell, Column, Table, latex_document, make_result, shown
from duo.terminal import printable

HOSTILE = (
    "=cmd|' /C calc'!A0", "+Duo", "-1+1", "@x", "\u202eevil", "\u200f=1+1", "\t=1", " =1+1",
    "' =1+1", "''=1", "'\u200b =1", "＝1", "a|b", "$x^2_i$", r"\input{/etc/passwd}", "100%",
    "a & b", "<script>alert(1)</script>", "a\nb", "\r=1", "'quoted'", "{x}", "**bold**", "- item",
    "1. item", "# head", "[a](http://b)", "&lt;", "`x`", "~~x~~", "*", "[1]", "\\", "a\\|b", "",
    "--", "---", "''", ",,", "?`!`", "\x1b[31mred\x07", "中文中文", "<!--", "</table>", "\x00",
    "don't", "self-made",
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(HOSTILE))
_RUN = re.compile(r"[=+\-@＝＋－＠]")


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Small tables of anybody's texts and numbers."""
    numbers = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
    kinds = draw(st.lists(st.sampled_from([TEXTS, numbers]), min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*kinds), max_size=4))
    names = [draw(TEXTS) for _ in kinds]
    notes = draw(st.lists(TEXTS, max_size=2))
    sections = draw(st.frozensets(st.integers(0, 3)))
    return Table(draw(TEXTS), names, rows, notes, sections)


def in_text(text: str) -> str:
    """A text as a reader of Markdown or HTML sees it: blanks at its ends and in a row go."""
    return " ".join(clean(text).split())


class Html(HTMLParser):
    """Rows of cells, the caption and the notes of what `Table.html` or a Markdown parser wrote."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.others: dict[str, list[str]] = {}
        self.tags: set[str] = set()
        self._into: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._into = self.rows[-1]
        if tag in ("caption", "p", "h3"):
            self._into = self.others.setdefault(tag, [])
        if self._into is not None and tag != "sup":
            self._into.append("")

    def handle_endtag(self, tag: str) -> None:
        self._into = None if tag in ("td", "th", "caption", "p", "h3") else self._into

    def handle_data(self, data: str) -> None:
        if self._into:
            self._into[-1] += data


def seen(table: Table) -> list[list[str]]:
    """The text that readers should see: the names and the rows."""
    names = [column.name for column in table.heads]
    return [[in_text(text) for text in row] for row in (names, *table.marked)]


@given(tables())
def test_html_reads_back(table: Table) -> None:
    found = Html(table.html())
    assert [[in_text(cell) for cell in row] for row in found.rows] == seen(table)
    assert [in_text(note) for note in found.others.get("p", [])] == [*map(in_text, table.notes)]
    assert found.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}


@given(tables())
def test_markdown_reads_back(table: Table) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = Html(parser.render(table.markdown()))
    assert [[in_text(cell) for cell in row] for row in found.rows] == seen(table)
    notes = [in_text(note) for note in table.notes]
    assert [in_text(note) for note in found.others.get("p", [])] == [n for n in notes if n]
    assert found.tags <= {"table", "thead", "tbody", "tr", "th", "td", "p", "h3"}
    if in_text(table.title):
        assert [in_text(title) for title in found.others["h3"]] == [in_text(table.title)]


@given(tables())
def test_csv_reads_back_and_holds_no_formula(table: Table) -> None:
    rows = list(csv.reader(io.StringIO(table.csv(), newline="")))
    assert rows[0] == [csv_cell(column.name) for column in table.heads] or not any(rows[0])
    for row, cells in zip(rows[1:], table.cells, strict=True):
        assert len(row) == len(cells) or (not row and len(cells) == 1)
        for field, cell in zip(row, cells, strict=False):
            if isinstance(cell.value, str):
                lines = cell.value.replace("\r\n", "\n").replace("\r", "\n")
                assert csv_text(field) == clean(lines, lines=True)
                assert not _RUN.match(visible(field).strip())
                assert not field.startswith(("\t", "\r", "\n"))
            elif cell.value is None:
                assert field == ""
            else:
                assert type(cell.value)(field) == cell.value


@given(tables())
def test_latex_has_as_many_cells_and_no_command_of_others(table: Table) -> None:
    text = table.latex()
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line != r"\addlinespace"]
    rows = [line for line in lines if line]
    assert len(rows) == len(table.rows)
    for row in rows:
        cells = re.split(r"(?<!\\)&", row.removesuffix(r"\\"))
        assert len(cells) == len(table.columns)


@given(TEXTS)
def test_latex_reads_back(text: str) -> None:
    """Commands undone, the text is there; only known commands are in it."""
    written = escape_latex(text)
    known = {
        r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^",
        r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"',
        r"\textasciigrave{}": "`", r"$\pm$": "±", "$-$": "−", r"$\times$": "×", r"$\dagger$": "†",
        r"$\ddagger$": "‡", r"\textendash{}": "–", r"\textemdash{}": "—", r"\dots{}": "…",
        r"\textquoteleft{}": "‘", r"\textquoteright{}": "’", r"\textquotedblleft{}": "“",
        r"\textquotedblright{}": "”",
    }  # fmt: skip
    token = "|".join(map(re.escape, known)) + r"|\\[{}$&#%_]|\{[\[*]\}|\{\}|[^\\{}$&#%_^~]"
    assert re.fullmatch(f"(?:{token})*", written, re.DOTALL)
    assert not re.search(r"--|''|,,|[?!]`|<<|>>", written)
    assert not re.match(r"\s*[\[*]", written)
    read = "".join(
        known.get(found, found.strip("{}") if len(found) > 1 and found[0] == "{" else found)
        for found in re.findall(token, written, re.DOTALL)
    )
    plain = re.sub(r"\\(.)", r"\1", read) if "\\" not in clean(text) else None
    expected = "".join(
        c if c.isascii() or c in "".join(known.values()) or ("À" <= c <= "ÿ" and c.isalpha())
        else f"[U+{ord(c):04X}]" for c in clean(text)
    )  # fmt: skip
    assert plain is None or plain == expected


def test_latex_is_easy_to_edit() -> None:
    assert escape_latex("don't use self-made p-values, ok?") == "don't use self-made p-values, ok?"
    assert escape_latex("a--b") == "a-{}-b"
    assert escape_latex("0.5 [0.4, 0.6]*") == "0.5 [0.4, 0.6]*"
    assert escape_latex(" [0.4, 0.6]") == " {[}0.4, 0.6]"
    assert escape_latex("50 % & x_1") == r"50 \% \& x\_1"


@given(TEXTS)
def test_guard_is_undone_exactly(text: str) -> None:
    once = csv_text(csv_cell(text))
    assert csv_text(csv_cell(once)) == once
    assert csv_text(once) == once or once.startswith("'")


@pytest.mark.parametrize("text", ["=1", " =1", "' =1+1", "''@x", "\u200b'\u200b=1", "\t1", "\r1"])
def test_guard_knows_what_hides_a_formula(text: str) -> None:
    assert csv_cell(text) == "'" + clean(text.replace("\r", "\n"), lines=True)


def test_names_of_columns_are_guarded_too() -> None:
    assert Table("", ["+Duo"], [["x"]]).csv() == "'+Duo\nx\n"


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_are_shown_to_four_digits(value: float) -> None:
    assert float(shown(value).replace(MINUS, "-")) == pytest.approx(value, rel=5.1e-4)


def test_raw_and_shown() -> None:
    table = Table(
        "Scores",
        ["system", Column("share", show=lambda v: f"{100 * v:.0f} %"), Column("d", show=".1f")],
        [
            ["duo", Cell(0.8125, "81 % [59, 100]", "†", {"low": 0.59, "high": 1}), -0.25],
            ["duplex", 0.5, None],
        ],
        ["† of 16"],
    )  # fmt: skip
    assert table.marked == [["duo", "81 % [59, 100]†", "−0.2"], ["duplex", "50 %", NONE]]
    assert [column.kind for column in table.heads] == ["text", "number", "number"]
    assert table.csv() == (
        "system,share,share low,share high,d\nduo,0.8125,0.59,1,-0.25\nduplex,0.5,,,\n"
    )
    assert r"81 \% [59, 100]\textsuperscript{$\dagger$}" in table.latex()
    assert "<sup>†</sup>" in table.html()


def test_a_row_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="row 1"):
        Table("x", ["a", "b"], [[1, 2], [1]])


def printed(table: Table, width: int = 80) -> str:
    """Show a table on a terminal of a width."""
    stream = io.StringIO()
    table.show(Console(file=stream, width=width, force_terminal=True, color_system=None))
    return stream.getvalue()


WIDE = Table(
    "A wide one",
    ["criterion", "pair", *(Column(f"measure number {n}", "number") for n in range(9)), "note"],
    [
        ["responsiveness", "duo : turn-based", *(f"{n}7 % [12, 34]" for n in range(9)),
         "only two raters saw more than one dialogue, so that nothing can be said about agreement"],
        ["overall", "duo : duplex", *([None] * 9), ""],
    ],
)  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_wide_table_is_readable_at_every_width(width: int) -> None:
    text = printed(WIDE, width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    for row in [[column.name for column in WIDE.heads], *WIDE.texts]:
        for cell in row:
            for word in cell.split():
                assert re.search(rf"(?<!\S){re.escape(word)}(?!\S)", text), word
    if width == 80:  # each part says what its rows are about
        assert text.count("duo : turn-based") == text.count("criterion") > 1


@given(tables(), st.sampled_from([60, 80, 120]))
def test_nothing_is_wider_than_the_terminal(table: Table, width: int) -> None:
    text = printed(table, width)
    assert max((cell_len(line) for line in text.splitlines()), default=0) <= width
    assert "\x1b" not in text


@given(tables())
def test_short_words_are_whole_on_a_terminal(table: Table) -> None:
    text = printed(table)
    for row in table.marked:
        for cell in row:
            for word in printable(cell, lines=True).split():
                assert word in text or cell_len(word) > 24


def test_in_a_pipe_lines_are_as_long_as_they_must(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # workers of a parallel test run have it
    WIDE.show()
    out = capsys.readouterr().out
    assert "measure number 8" in next(line for line in out.splitlines() if "criterion" in line)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    long = Table(
        "Long", ["a\nb", "+n", "x"], [[name, n, -0.5] for n in range(2) for name in HOSTILE]
    )
    short = Table(HOSTILE[0], HOSTILE, [HOSTILE, HOSTILE], HOSTILE, frozenset({1}))
    (tmp_path / "t.tex").write_text(latex_document([long, short]), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=batchmode", "t.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, (tmp_path / "t.log").read_text(errors="replace")


@given(TEXTS)
def test_escaped_texts_hold_no_control(text: str) -> None:
    for escape in (escape_html, escape_latex, escape_markdown):
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", escape(text))


class _Answer(Result):
    kind: Literal["answer"] = "answer"
    value: int


def test_a_result_is_written_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "answer.json"
    made = make_result(
        path, lambda: _Answer(value=42), lambda one: [Table("", ["n"], [[one.value]])]
    )
    assert read_result(path, _Answer) == made
    assert "42" in capsys.readouterr().out


def test_nothing_is_computed_for_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out, message in (
        (tmp_path, "is a folder: name a file"),
        (tmp_path / "file" / "a.json", "a.json: cannot write"),
    ):
        with pytest.raises(BadInput, match=message):
            make_result(out, lambda: pytest.fail("computed"), lambda one: [])
