"""The page's section of interaction figures: all systems, nothing of this machine, no markup."""

from __future__ import annotations

from pathlib import Path

from reports.figures.trade_off import points, trade_off
from reports.interaction import interaction, interaction_section
from sessions.transcript import write_transcript
from tests.reports.stories import interrupted, waiting


def test_the_section_shows_every_figure_but_machine_times(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, transcript in zip(paths, [interrupted(), waiting()], strict=True):
        write_transcript(path, transcript)
    found = interaction(paths)
    section = interaction_section(found)
    for name in found["systems"]:
        assert name in section.body
    assert "response latency p50, s" in section.body
    assert ", ms" not in section.body
    assert str(tmp_path) not in section.body
    assert section == interaction_section(interaction(paths))


def test_names_of_systems_are_text() -> None:
    figure = {"value": 0.5, "low": 0.25, "high": 1.0, "n": 4}
    latency = {"seconds": {"p50": figure}}
    system = {"response_latency": latency, "false_interruptions": figure}
    found = {"systems": {"<b>$x$": system, "other": system}}
    assert [name for name, _, _ in points(found)] == ["<b>$x$", "other"]
    [axes] = trade_off(found).axes
    assert [text.get_text() for text in axes.texts] == ["<b>$x$", "other"]


def test_a_system_without_an_answer_has_no_point() -> None:
    none = {"value": None, "low": None, "high": None, "n": 0}
    system = {"response_latency": {"seconds": {"p50": none}}, "false_interruptions": none}
    assert points({"systems": {"silent": system}}) == []
