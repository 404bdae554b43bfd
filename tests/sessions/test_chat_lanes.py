"""The two lanes as rows of text."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.transcript import EventKind, TranscriptEvent
from sessions.chat.lanes import Lanes, columns

_OUTPUT = ("speech", "answer_end", "cut", "note", "hold", "resume")


def event(kind: str, text: str = "", at: float = 0.0, **more: Any) -> TranscriptEvent:
    channel = "system" if kind == "cycle" else "output" if kind in _OUTPUT else "input"
    return TranscriptEvent.model_validate(
        {"kind": kind, "text": text, "start": at, "end": at, "channel": channel, "cycle": 0, **more}
    )


def drawn(*events: TranscriptEvent, you: int = 20, system: int = 20) -> list[tuple[str, str]]:
    lanes = Lanes({"you": you, "system": system})
    for each in events:
        lanes.add(each)
    return [(row.you.text, row.system.text) for row in lanes.rows()]


def looks(*events: TranscriptEvent, lane: str) -> list[tuple[str, str]]:
    lanes = Lanes({"you": 80, "system": 80})
    for each in events:
        lanes.add(each)
    return [run for row in lanes.rows() for run in getattr(row, lane).runs()]


def test_both_lanes_share_the_rows() -> None:
    assert drawn(
        event("word", "what is", 1), event("respond", by="state", at=2), event("speech", "It is", 2)
    ) == [("what is ", ""), (" <1> answering ", "It is")]


def test_a_full_cell_ends_the_row_for_both() -> None:
    pieces = [" a sun", " is a st", "ar"]
    said = [event("speech", piece, 0.1 * n) for n, piece in enumerate(pieces)]
    assert drawn(*said, event("word", "oh", 0.4), system=9) == [("", "a sun is"), ("oh", "a star")]


def test_a_word_that_comes_in_pieces_is_not_broken() -> None:
    said = [event("speech", piece) for piece in ("The cap", "it", "al", ".")]
    assert drawn(*said, system=8) == [("", "The"), ("", "capital.")]


def test_a_word_longer_than_the_lane_is_broken() -> None:
    assert drawn(event("speech", "abcdefgh"), system=3) == [("", "abc"), ("", "def"), ("", "gh")]


def test_wide_characters_take_two_columns() -> None:
    assert drawn(event("speech", "法国的首都"), system=4) == [
        ("", "法国"),
        ("", "的首"),
        ("", "都"),
    ]


def test_lines_of_speech_are_rows() -> None:
    assert drawn(event("speech", "Two:\n\n1. a"), event("speech", "\n2. b")) == [
        ("", "Two:"),
        ("", "1. a"),
        ("", "2. b"),
    ]


def test_silence_begins_a_row() -> None:
    assert drawn(event("word", "so", 1), event("word", " well", 8)) == [("so", ""), ("well", "")]


@pytest.mark.parametrize(
    ("kind", "by", "badge"),
    [
        ("respond", "state", " <1> answering "),
        ("ignore", "state", " <2> ignored "),
        ("respond", "patience", " patience: answering "),
        ("ignore", "revision", " revision: ignored "),
    ],
)
def test_a_decision_is_a_badge(kind: str, by: str, badge: str) -> None:
    assert looks(event("word", "hm"), event(kind, by=by), lane="you") == [
        ("hm ", "you"),
        (badge, kind),
    ]


def test_expected_words_follow_what_was_heard_and_go_when_more_is_heard() -> None:
    heard = event("word", "what is"), event("predicted", " the<1>")
    assert looks(*heard, lane="you") == [("what is", "you"), (" the<1>", "ghost")]
    assert looks(*heard, event("word", " a"), lane="you") == [("what is a", "you")]
    assert looks(*heard, event("respond", by="state"), lane="you")[0] == ("what is ", "you")


def test_a_revision_strikes_the_words_that_no_longer_hold() -> None:
    assert looks(
        event("word", "the red"), event("word", " theme"), event("revision", "the red then"),
        lane="you",
    ) == [("the red ", "you"), ("theme", "gone"), (" then", "you")]  # fmt: skip


def test_a_cut_strikes_what_is_forgotten() -> None:
    assert looks(
        event("speech", "First, "), event("speech", "take\n\nan"), event("speech", " egg"),
        event("cut", " take\n\nan egg"), lane="system",
    ) == [
        ("First, ", "speech"), ("take", "gone"), ("an egg", "gone"), (" ✂ cut", "mark"),
    ]  # fmt: skip


HOSTILE = "\x1b[2J\x1b]0;t\x07[bold]x[/bold]\x9b31m\u202e\r\b\x00"


@pytest.mark.parametrize("kind", ["word", "revision", "predicted", "speech", "note", "respond"])
def test_what_could_steer_a_terminal_is_written_out(kind: str) -> None:
    rows = drawn(event("word", "a"), event(kind, HOSTILE, by=HOSTILE), you=200, system=200)
    text = "".join(cell for row in rows for cell in row)
    assert text.isprintable()
    if kind != "respond":
        assert r"\x1b[2J\x1b]0;t\x07[bold]x[/bold]\x9b31m\u202e" in text


TEXT = st.text("ab  .\n中👍é", max_size=12)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(get_args(EventKind)), TEXT, st.floats(-1, 3)), max_size=25),
    st.integers(2, 30),
    st.integers(2, 30),
)
def test_no_row_is_too_wide_and_nothing_is_lost(
    parts: list[tuple[str, str, float]], you: int, system: int
) -> None:
    lanes, now = Lanes({"you": you, "system": system}), 0.0
    for kind, text, later in parts:
        now = max(0.0, now + later)
        lanes.add(event(kind, text, now, by="state"))
        for row in lanes.rows():
            assert columns(row.you.text) <= you
            assert columns(row.system.text) <= system
    rows = lanes.rows()
    assert [row.start for row in rows] == sorted(row.start for row in rows)
    said = "".join(text for kind, text, _ in parts if kind == "speech")
    shown = [run for row in rows for run in row.system.runs()]
    speech = "".join(text for text, look in shown if look in ("speech", "gone"))
    assert "".join(speech.split()) == "".join(said.split())
