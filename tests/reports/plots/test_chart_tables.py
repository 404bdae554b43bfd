"""The numbers behind charts: read back from every form, others' names harmless, bytes the same."""

from __future__ import annotations

import copy
import csv
import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from duo.csv_file import csv_cell
from duo.escape import visible
from duo.table import latex_document
from reports.plots.chart import Chart, write_chart
from reports.plots.style import COLUMN, svg_text
from reports.plots.sweep import sweep
from tests.reports.plots.inputs import (
    CHARTS,
    SYSTEMS,
    chart,
    decoded,
    draw,
    interaction,
    judged,
    probed,
    study,
    swept,
    trained,
)

HOSTILE = (
    "=cmd|' /C calc'!A0", "+Duo", "-1+1", "@x", "\u202eevil", "\u200f=1+1", "\t=1", "a|b",
    "$x^2_i$",
    r"\input{/etc/passwd}", "100%", "a & b", "<script>alert(1)</script>", "a\nb", "'quoted'", "{x}",
)  # fmt: skip
_FORMULA = re.compile(r"[=+\-@\t\r]")


def cells_of_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))[1:]


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_every_chart_has_its_numbers_and_a_caption(name: str) -> None:
    found = chart(name)
    assert found.table.rows
    assert found.caption
    assert found.table.notes == [found.caption]
    cells = cells_of_csv(found.table.csv())
    for row, exact in zip(found.table.rows, cells, strict=True):
        for value, cell in zip(row, exact, strict=True):
            assert isinstance(value, str | int | float | None)
            if isinstance(value, int | float):
                assert float(cell) == value
            else:
                assert cell == csv_cell(value)


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
    yielded = renamed(interaction(), {**names, "backchannel": "backchannel"})  # it looks for these
    found = [
        draw("preference", ranked), draw("ranking", ranked), draw("confusion", said),
        draw("decisions", said), draw("calibration", said), draw("latency", talked),
        draw("takeover", talked), draw("trade-off", talked), draw("yielding", yielded),
        draw("cost", renamed(decoded(), names)), draw("probe", renamed(probed(), names)),
        draw("training", trained("duo"), names=[HOSTILE[0]]), *sweep(renamed(swept(), names)),
    ]  # fmt: skip
    assert None not in found
    return [one for one in found if one is not None]


def test_hostile_names_stay_text() -> None:
    for found in hostile_charts():
        for row in cells_of_csv(found.table.csv()):
            for cell in row:
                if not re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell):
                    assert not _FORMULA.match(visible(cell).lstrip()), (found.name, cell)
        written = latex_document([found.table])
        assert r"\input" not in written.replace(r"\textbackslash{}input", "")
        assert written.isprintable() or "\n" in written
        picture = svg_text(found.draw(COLUMN))
        assert "\u202e" not in picture + written + found.caption
        assert "\u200f" not in picture
        for element in ElementTree.fromstring(picture).iter():
            assert not element.tag.endswith("script")


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
    for row, criterion in zip(chart("preference").table.rows, of["kept"]["criteria"], strict=False):
        [one] = criterion["comparisons"]
        assert row[0] == criterion["criterion"]
        assert row[4:8] == tuple(one["votes"][key] for key in ("win", "tie", "both_bad", "loss"))
        assert row[8] == one["estimates"]["win"]["value"]
    assert "synthetic" in chart("preference").caption


def test_mean_ranks_sum_to_those_of_any_order() -> None:
    rows = chart("ranking").table.rows
    for criterion in {row[0] for row in rows}:
        ranks = [row[9] for row in rows if row[0] == criterion]
        assert sum(ranks) == pytest.approx(1 + 2 + 3)  # type: ignore[arg-type]


def test_the_latency_rows_are_the_distribution() -> None:
    for system in interaction()["systems"]:
        rows = [row for row in chart("latency").table.rows if row[:2] == ("response", system)]
        seconds = [
            event["response"]["seconds"]
            for event in interaction()["events"]
            if event["system"] == system and event["response"]
        ]
        assert [row[2] for row in rows for _ in range(row[3])] == sorted(seconds)  # type: ignore[arg-type]
        assert not rows or rows[-1][4] == 1.0


def test_a_sweep_is_split_by_what_else_was_swept() -> None:
    by_name = {one.name: one for one in sweep(swept())}
    assert list(by_name) == [
        "sweep-lookahead", "sweep-cycle-seconds", "sweep-patience", "sweep-after-interruption",
    ]  # fmt: skip
    assert [row[2] for row in by_name["sweep-lookahead"].table.rows] == [*range(1, 9)] * 2
    assert {row[0] for row in by_name["sweep-patience"].table.rows} == {
        "duo, cycle_seconds=0.5", "duo, cycle_seconds=1.0",
    }  # fmt: skip
    # A setting of one system's is none of the others'.
    assert {row[1] for row in by_name["sweep-after-interruption"].table.rows} == {"duo"}
    assert "Not recorded: lookahead=9" in by_name["sweep-lookahead"].caption


def test_training_rows_are_the_curve() -> None:
    found = draw("training", trained("duo"))
    assert found is not None
    last = [line for line in trained("duo")["curve"] if "eval_state_accuracy" in line][-1]
    assert found.table.rows[-1][1] == last["step"]
    assert found.table.rows[-1][-1] == last["eval_state_accuracy"]
    assert copy.deepcopy(found.table.rows) == draw("training", trained("duo")).table.rows


def settings_drawn(*points: tuple[dict[str, Any], float]) -> Chart:
    """The chart of yielding for one system with several settings, each with its yield rate."""
    found = interaction()
    one, systems = found["systems"]["duo"], {}
    for settings, rate in points:
        panel = {**one["panel"], "yield_rate": {"value": rate, "n": 9}}
        name = f"duo ({', '.join(f'{key}={value}' for key, value in settings.items())})"
        systems[name] = {**one, "settings": settings, "panel": panel}
    drawn: Chart | None = draw("yielding", {**found, "systems": systems})
    assert drawn is not None
    return drawn


def test_lines_join_points_of_the_same_settings_alone() -> None:
    drawn = settings_drawn(
        ({"patience": 1}, 0.9), ({"patience": 2}, 0.5), ({"patience": 3}, 0.7),
        ({"patience": 1, "decide_at": 0.1}, 0.2), ({"patience": 1, "decide_at": 0.2}, 0.1),
        ({"lookahead": 4}, 0.6),
    )  # fmt: skip
    backchannels = drawn.draw(COLUMN).axes[1]
    lines = [list(line.get_xdata()) for line in backchannels.lines if line.get_marker() == "o"]
    assert [x for x in lines if len(x) > 1] == [[0.5, 0.7, 0.9], [0.1, 0.2]]
    assert [0.6] in lines
    # Of several grids, a value alone would not say what it is of.
    assert "4: duo (patience=1, decide_at=0.1)" in drawn.caption
    # Two that are near to each other at the left edge share the room on their right.
    assert [text.get_text() for text in backchannels.texts] == ["1", "2", "3", "4-5", "6"]


def test_values_of_one_setting_stand_beside_the_points() -> None:
    drawn = settings_drawn(({"patience": 1}, 0.9), ({"patience": 2}, 0.5))
    assert "patience" not in drawn.caption
    assert [text.get_text() for text in drawn.draw(COLUMN).axes[1].texts] == ["1", "2"]


def test_settings_too_long_for_a_point_are_numbers_that_the_caption_explains() -> None:
    drawn = settings_drawn(*(({"yielding": "pause", "decide_at": n / 64}, 0.5) for n in range(30)))
    assert drawn.caption.count("duo (yielding=pause, decide_at=") == 30
    assert "30: duo (yielding=pause, decide_at=0.453125)." in drawn.caption
    backchannels = drawn.draw(COLUMN).axes[1]
    assert [text.get_text() for text in backchannels.texts] == ["1-30"]  # all in one place
