"""Which files below a folder are taken for transcripts."""

from __future__ import annotations

from pathlib import Path

from duo.transcript import transcripts_below


def test_what_is_meant_as_a_transcript_is_found_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "duo").mkdir()
    kinds = {
        "duo/talk.jsonl": '{"type": "header", "schema_version": 1}',
        "duo/foreign.jsonl": '{"schema_version": 1, "system": "x"}',
        "headless.jsonl": '{"start": 0, "end": 1, "kind": "speech"}',
        "broken.jsonl": "{",
        "empty.jsonl": "",
        "blank.jsonl": "{}",
        "items.jsonl": '{"id": "validation/1", "score": 0.0}',
        "notes.txt": '{"type": "header"}',
    }
    for name, text in kinds.items():
        (tmp_path / name).write_text(text + "\n")
    found = [str(path.relative_to(tmp_path)) for path in transcripts_below(tmp_path)]
    assert found == [
        "blank.jsonl", "broken.jsonl", "duo/foreign.jsonl", "duo/talk.jsonl", "empty.jsonl",
        "headless.jsonl",
    ]  # fmt: skip
