"""The numbers behind charts: read back from every form, others' names harmless, bytes the same."""

from __future__ import annotations

import copy
import csv
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from reports.charts import cost, latency, preference, ranking, states, takeover
from reports.charts.chart import Chart, write_chart
from reports.charts.probe import probe
from reports.charts.sweep import sweep
from reports.charts.table import MINUS, NONE, csv_text, latex_text, markdown_text, shown
from reports.charts.trade_off import trade_off
from reports.charts.training import training_curves
from reports.escape import csv_cell, latex, visible
from reports.figures.style import COLUMN, svg_text
from tests.reports.charts.inputs import (
    CHARTS,
    SYSTEMS,
    chart,
    decoded,
    interaction,
    judged,
    probed,
    study,
    swept,
    training,
)

HOSTILE = (
    "=cmd|' /C calc'!A0", "+Duo", "-1+1", "@x", "\u202eevil", "\u200f=1+1", "\t=1", "a|b",
    "$x^2_i$",
    r"\input{/etc/passwd}", "100%", "a & b", "<script>alert(1)</script>", "a\nb", "'quoted'", "{x}",
)  # fmt: skip
_FORMULA = re.compile(r"[=+\-@\t\r]")


def table(rows: list[tuple[object, ...]]) -> Chart:
    columns = tuple(f"c{n}" for n in range(len(rows[0])))
    return Chart("name", "title", "caption", columns, tuple(rows), lambda width: Figure())


def cells_of_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))[1:]


def cells_of_latex(text: str) -> list[list[str]]:
    """The cells of the table's rows, still escaped."""
    body = text.split(r"\midrule")[1].split(r"\end{")[0]
    rows = [line for line in body.split("\n") if line.endswith(r" \\")]
    return [row.removesuffix(r" \\").split(" & ") for row in rows]


def cells_of_markdown(text: str) -> list[list[str]]:
    lines = [line for line in text.split("\n") if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def number(text: str) -> float:
    return float(text.replace(r"$-$", "-").replace(MINUS, "-").replace("{-}", "-"))


def agrees(text: str, value: object) -> bool:
    if value is None:
        return text.replace("--", NONE) == NONE
    return number(text) == pytest.approx(value, rel=5.1e-4)


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_every_form_holds_the_same_numbers(name: str) -> None:
    found = chart(name)
    assert found.rows
    assert found.caption
    forms = (
        cells_of_csv(csv_text(found)),
        cells_of_latex(latex_text(found)),
        cells_of_markdown(markdown_text(found)),
    )
    for cells in forms:
        assert [len(row) for row in cells] == [len(found.columns)] * len(found.rows)
    for row, exact, set_in_type, marked in zip(found.rows, *forms, strict=True):
        for value, a, b, c in zip(row, exact, set_in_type, marked, strict=True):
            if isinstance(value, str):
                assert a == csv_cell(value)
                assert b == latex(value)
                continue
            assert (a == "") if value is None else (float(a) == value)
            assert agrees(b, value)
            assert agrees(c, value)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_are_shown_to_four_digits(value: float) -> None:
    assert number(shown(value)) == pytest.approx(value, rel=5.1e-4)


@given(st.lists(st.tuples(st.text(), st.sampled_from(HOSTILE)), min_size=1, max_size=4))
def test_no_cell_becomes_a_formula_or_another_cell(rows: list[tuple[str, str]]) -> None:
    found = table([tuple(row) for row in rows])
    cells = cells_of_csv(csv_text(found))
    assert [len(row) for row in cells] == [2] * len(rows)
    assert not any(_FORMULA.match(visible(cell).lstrip()) for row in cells for cell in row)
    marked = cells_of_markdown(markdown_text(found))
    assert [len(row) for row in marked] == [2] * len(rows)
    assert not re.search(r"(?<!\\)<", markdown_text(found))


def renamed(content: Any, names: dict[str, str]) -> Any:
    """JSON with every text that is a name replaced, keys too."""
    if isinstance(content, dict):
        return {renamed(key, names): renamed(value, names) for key, value in content.items()}
    if isinstance(content, list):
        return [renamed(value, names) for value in content]
    return names.get(content, content) if isinstance(content, str) else content


def hostile_charts() -> list[Chart]:
    names = dict(zip(("duo", "duplex", "turn-based", "duo-sequential"), HOSTILE[2:6], strict=True))
    names |= {"overall": HOSTILE[12], "responsiveness": HOSTILE[9], "backchannel": HOSTILE[8]}
    names |= {"smollm2": HOSTILE[0], "smollm2-duo": HOSTILE[11], "question": HOSTILE[4]}
    names |= {"lookahead": HOSTILE[13], "drop": HOSTILE[6], "utterances.jsonl": HOSTILE[5]}
    ranked = renamed(study(SYSTEMS, ("responsiveness", "overall")), names)
    talked, said = renamed(interaction(), names), renamed(judged(), names)
    found = [
        preference.preference(ranked), ranking.ranking(ranked), states.confusion(said),
        states.decisions_by_kind(said), states.calibration(said), latency.latency(talked),
        takeover.takeover(talked), trade_off(talked), cost.decode_cost(renamed(decoded(), names)),
        probe(renamed(probed(), names)),
        training_curves(training("duo"), names=[HOSTILE[0]]), *sweep(renamed(swept(), names)),
    ]  # fmt: skip
    assert None not in found
    return [one for one in found if one is not None]


def test_hostile_names_stay_text() -> None:
    for found in hostile_charts():
        for row in cells_of_csv(csv_text(found)):
            for cell in row:
                if not re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell):
                    assert not _FORMULA.match(visible(cell).lstrip()), (found.name, cell)
        written = latex_text(found)
        assert r"\input" not in written.replace(r"\textbackslash{}input", "")
        assert written.isprintable() or "\n" in written
        picture = svg_text(found.draw(COLUMN))
        assert "\u202e" not in picture + written + found.caption
        assert "\u200f" not in picture
        for element in ElementTree.fromstring(picture).iter():
            assert not element.tag.endswith("script")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tables_compile(tmp_path: Path) -> None:
    long = table([(name, n, -0.5 * n, None) for n in range(8) for name in HOSTILE])
    for number, found in enumerate([hostile_charts()[0], hostile_charts()[-1], long]):
        (tmp_path / f"t{number}.tex").write_text(latex_text(found), encoding="utf-8")
        done = subprocess.run(
            ["pdflatex", "-halt-on-error", "-interaction=batchmode", f"t{number}.tex"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, (tmp_path / f"t{number}.log").read_text(errors="replace")


def test_the_same_chart_is_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        made = CHARTS["preference"]()
        assert made is not None
        names = [path.name for path in write_chart(made, tmp_path / folder)]
    assert sorted(names) == sorted(
        [f"preference.{kind}" for kind in ("csv", "tex", "md", "txt", "pdf", "svg", "png")]
        + [f"preference-wide.{kind}" for kind in ("pdf", "svg", "png")]
    )
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert b"FontFile2" in (tmp_path / "a" / "preference.pdf").read_bytes()


def test_exact_numbers_in_the_preference_rows() -> None:
    of = study(criteria=("responsiveness", "faithfulness", "overall"))
    for row, criterion in zip(chart("preference").rows, of["kept"]["criteria"], strict=False):
        [one] = criterion["comparisons"]
        assert row[0] == criterion["criterion"]
        assert row[4:8] == tuple(one["votes"][key] for key in ("win", "tie", "both_bad", "loss"))
        assert row[8] == one["estimates"]["win"]["value"]
    assert "synthetic" in chart("preference").caption


def test_mean_ranks_sum_to_those_of_any_order() -> None:
    rows = chart("ranking").rows
    for criterion in {row[0] for row in rows}:
        ranks = [row[9] for row in rows if row[0] == criterion]
        assert sum(ranks) == pytest.approx(1 + 2 + 3)  # type: ignore[arg-type]


def test_the_latency_rows_are_the_distribution() -> None:
    for system in interaction()["systems"]:
        rows = [row for row in chart("latency").rows if row[:2] == ("response", system)]
        seconds = [
            event["response"]["seconds"]
            for event in interaction()["events"]
            if event["system"] == system and event["response"]
        ]
        assert [row[2] for row in rows for _ in range(row[3])] == sorted(seconds)  # type: ignore[call-overload]
        assert not rows or rows[-1][4] == 1.0


def test_a_sweep_is_split_by_what_else_was_swept() -> None:
    by_name = {one.name: one for one in sweep(swept())}
    assert list(by_name) == [
        "sweep-lookahead", "sweep-cycle-seconds", "sweep-patience", "sweep-after-interruption",
    ]  # fmt: skip
    assert [row[2] for row in by_name["sweep-lookahead"].rows] == [*range(1, 9)] * 2
    assert {row[0] for row in by_name["sweep-patience"].rows} == {
        "duo, cycle_seconds=0.5", "duo, cycle_seconds=1.0",
    }  # fmt: skip
    # A setting of one system's is none of the others'.
    assert {row[1] for row in by_name["sweep-after-interruption"].rows} == {"duo"}
    assert "Not recorded: lookahead=9" in by_name["sweep-lookahead"].caption


def test_training_rows_are_the_curve() -> None:
    found = training_curves(training("duo"))
    assert found is not None
    last = [line for line in training("duo")["curve"] if "eval_state_accuracy" in line][-1]
    assert found.rows[-1][1] == last["step"]
    assert found.rows[-1][-1] == last["eval_state_accuracy"]
    assert copy.deepcopy(found.rows) == training_curves(training("duo")).rows  # type: ignore[union-attr]
