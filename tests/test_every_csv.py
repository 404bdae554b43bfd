"""No cell of any CSV file of ours can become a formula, whatever things are called."""

from __future__ import annotations

import ast
import csv
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from duo.cli import app
from sessions.study.store import VARIABLE
from tests.reports.page.runs import write_benchmarks, write_ratings, write_talks

ROOT = Path(__file__).parents[1]
#: Names of systems and scenarios that a spreadsheet would run, also where it drops what is before.
NAMES = {
    "duo": "\n=1+1",
    "turn-based": "\t@SUM(1)",
    "weekend": "=cmd|' /C calc'!A0",
    "duplex": "+Duo",
}
#: What a cell must not begin with, told by a rule of this test alone.
RUN = re.compile(r"[\s\0-\x1f\u200b\u200f\ufeff]*[=+@\t\r\n-]")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


def run(*words: str | Path) -> None:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def renamed(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for name in ("system", "scenario"):
        lines[0][name] = NAMES[lines[0][name]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def test_no_cell_of_any_csv_becomes_a_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for path in write_talks(tmp_path / "talks"):
        renamed(path)
    write_benchmarks(tmp_path / "benchmarks")
    for path in (tmp_path / "benchmarks").rglob("benchmark_*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"column": NAMES.get(content["column"], "base")}))
    ratings = write_ratings(tmp_path / "ratings.csv", dialogues=3, raters=3, criteria=("overall",))
    text = ratings.read_text("utf-8")
    for name in ("duo", "duplex"):
        text = text.replace(f",{name},", f",'{NAMES[name].strip()},")
    ratings.write_text(text, "utf-8")
    out = tmp_path / "written"
    run("report", "build", tmp_path / "talks", ratings, tmp_path / "benchmarks", "--scenarios", "0",
        "--out", out / "page")  # fmt: skip
    run("report", "statistics", ratings, "--out", out / "statistics")
    run("study", "create", "--transcripts", tmp_path / "talks", "--out", tmp_path / "st")
    run("study", "simulate", tmp_path / "st", "--raters", "2")
    run("study", "export", tmp_path / "st", "--out", out / "study")
    run("study", "invite", tmp_path / "st", "--panel", "=1+1", "--out", out / "links.csv")
    files = sorted(out.rglob("*.csv"))
    assert {"costs.csv", "statistics.csv", "ratings.csv", "links.csv"} <= {it.name for it in files}
    held = ""
    for path in files:
        held += (text := path.read_text("utf-8"))
        for row in csv.reader(text.splitlines(keepends=True)):
            for cell in row:
                assert not RUN.match(cell) or NUMBER.fullmatch(cell), (path.name, cell)
    for name in NAMES.values():
        assert f"'{name}" in held or f"'{name.strip()}" in held, name


def test_only_tables_write_csv() -> None:
    """So that the guard of `duo.table` goes before every cell."""
    for path in [it for room in ("duo", "evaluation", "sessions", "reports")
                 for it in (ROOT / room).rglob("*.py")]:  # fmt: skip
        used = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute)
        }
        assert path.name == "table.py" or not used & {"to_csv", "DictWriter"}, path
        assert path.name == "table.py" or "csv.writer" not in path.read_text("utf-8"), path
