"""Filters: what is dropped, why, and what is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from duo.data.filters import HeldOut, RemarkFilter, read_held_out
from duo.errors import BadInput
from tests.duo.data.dialogues import write_lines


def test_filters_count_what_they_drop() -> None:
    held_out = HeldOut(["That is what my mother always said!", "okay", "Oh I see."])
    filters = RemarkFilter(held_out, longest=10)
    kept = [
        ("okay", "backchannel"),  # everybody says it: exempt
        ("Okay.", "backchannel"),
        ("oh I see", "backchannel"),
        ("The harbour was full of old boats.", "remark"),
        ("Mum, where are my keys?", "third_party_question"),
    ]
    dropped = [
        ("that is what my mother, always, said", "remark", "held_out"),
        ("Full of old boats the harbour was.", "remark", "near_duplicate"),
        ("What is rain?", "remark", "question"),
        ("Tell me more about rain.", "statement", "command"),
        ("one two three four five six seven eight nine ten eleven", "remark", "too_long"),
        ("...", "backchannel", "empty"),
    ]
    assert all(filters.keeps(*pair) for pair in kept)
    for text, kind, _ in dropped:
        assert not filters.keeps(text, kind), text
    assert filters.dropped == {reason: 1 for _, _, reason in dropped}


def test_held_out_files(tmp_path: Path) -> None:
    packed = write_lines(tmp_path / "a.jsonl.gz", [{"text": "One two three, four!"}])
    plain = tmp_path / "b.txt"
    plain.write_text("five six seven eight\n\n")
    found = read_held_out([packed, plain])
    assert "one TWO three four" in found
    assert "Five six seven eight." in found
    assert len(found) == 2
    for line in ('{"label": "x"}', "{"):
        write_lines(tmp_path / "c.jsonl", [{"text": "a"}, line])
        with pytest.raises(BadInput, match=r"c\.jsonl:2: "):
            read_held_out([tmp_path / "c.jsonl"])
    with pytest.raises(BadInput, match="cannot be read"):
        read_held_out([tmp_path / "missing.jsonl"])


def test_near_duplicates_are_forgotten_after_a_while() -> None:
    filters = RemarkFilter(HeldOut(), memory=2)
    texts = [f"the number {word} stands here" for word in ("seventeen", "twenty", "thirty")]
    assert all(filters.keeps(text, "remark") for text in texts)
    assert filters.keeps(texts[0], "remark")
    assert not filters.keeps(texts[2], "remark")
