"""The page's section of interaction figures: all systems, nothing of this machine, no markup."""

from __future__ import annotations

from pathlib import Path

from duo.transcript import write_transcript
from evaluation.interaction.results import portable, score
from reports.builder.evidence import Piece
from reports.builder.sections import result_section, tables_of
from tests.reports.stories import interrupted, waiting


def test_the_section_shows_every_figure_but_machine_times(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, transcript in zip(paths, [interrupted(), waiting()], strict=True):
        write_transcript(path, transcript)
    result = portable(score(paths))
    found = result.model_dump(mode="json", by_alias=True)
    piece = Piece(found, ("a.jsonl", "b.jsonl"), computed=True)
    tables = {piece.name: tables_of("interaction", piece)}
    section = result_section("interaction", [piece], [], tables)
    for name in found["systems"]:
        assert name in section.body
    assert "response latency p50, s" in section.body
    assert ", ms" not in section.body
    assert str(tmp_path) not in section.body
    assert portable(score(paths)) == result
