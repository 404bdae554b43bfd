"""What a page may show of a transcript."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.transcript import Header, Transcript, TranscriptEvent
from sessions.study.blinding import Dialogue, blinded, harmless

HEADER = Header(system="secret", model="m", scenario="s", cycle_seconds=1.0)


def event(kind: str, start: float, end: float, text: str = "", **more: Any) -> TranscriptEvent:
    channel = "output" if kind in ("speech", "cut", "answer_end") else "input"
    return TranscriptEvent.model_validate(
        {"kind": kind, "start": start, "end": end, "channel": channel, "cycle": 0, "text": text}
        | more
    )


def shown(*events: TranscriptEvent) -> Dialogue:
    return blinded(Transcript(header=HEADER, events=events))


def words(dialogue: Dialogue) -> list[tuple[str, float, float]]:
    return [(word.text.strip(), word.start, word.end) for word in dialogue.words]


def test_only_what_is_said_is_shown() -> None:
    dialogue = shown(
        event("utterance", 0, 2, "How much?", utterance="a", label="query", category="question"),
        event("word", 0, 1, "How", utterance="a"),
        event("word", 1, 2, " much?", utterance="a"),
        event("fork", 1, 1, utterance="a"),
        event("predicted", 1, 1, " money <1>", utterance="a"),
        event("respond", 2, 2, utterance="a", by="state"),
        event("speech", 2, 3, "Ten."),
        event("answer_end", 3, 3),
        event("cut", 4, 4, "forgotten"),
    )
    expected = [("How", 0, 1), ("much?", 1, 2), ("Ten.", 2, 3)]
    assert words(dialogue) == expected
    assert "secret" not in repr(dialogue)
    assert [one.who for one in dialogue.utterances] == ["user", "assistant"]


def test_tokens_slices_and_whole_answers_look_alike() -> None:
    """The same words at the same pace, however they were cut into events."""
    text = "abcd efgh ijkl mnop "
    in_letters = [event("speech", n / 4, (n + 1) / 4, letter) for n, letter in enumerate(text)]
    in_slices = [
        event("speech", n * 5 / 4, (n + 1) * 5 / 4, text[5 * n : 5 * n + 5]) for n in range(4)
    ]
    whole = [event("speech", 0, 5, text)]
    assert shown(*in_letters) == shown(*in_slices) == shown(*whole)
    assert [word for word, *_ in words(shown(*whole))] == text.split()


def test_words_that_cycles_ran_together_are_parted() -> None:
    dialogue = shown(
        event("speech", 0, 1, "so creative", cycle=1),
        event("speech", 1, 2, "You can", cycle=2),
        event("speech", 2, 3, " say Mc", cycle=3),
        event("speech", 2.5, 3, "Donald", cycle=3),
    )
    assert dialogue.of("assistant")[0].text == "so creative You can say McDonald"


def test_slices_that_never_begin_with_a_blank_are_parted() -> None:
    """Each slice of a time-sliced system is a message, whose first word has no blank before it."""
    pieces = ("of creative", "jet lag is", "the gate", "er", "'re right", "说得", "对吗")
    slices = [event("speech", n, n + 1, text, cycle=n) for n, text in enumerate(pieces)]
    said = shown(*slices).of("assistant")[0].text
    assert said == "of creative jet lag is the gate er're right说得对吗"


def test_a_stream_that_cycles_cut_within_words_is_left_whole() -> None:
    pieces = ("in", "ter", "rupt", "ion", "s are", " fine")
    stream = [event("speech", n, n + 1, text, cycle=n) for n, text in enumerate(pieces)]
    assert shown(*stream).of("assistant")[0].text == "interruptions are fine"


def test_utterances_of_the_user_that_follow_at_once_do_not_run_together() -> None:
    dialogue = shown(
        event("utterance", 0, 1, "Yeah.", utterance="a"),
        event("utterance", 1.2, 3, "And in July?", utterance="b"),
    )
    assert [one.text for one in dialogue.of("user")] == ["Yeah.", "And in July?"]


def test_a_pause_parts_utterances() -> None:
    dialogue = shown(event("speech", 0, 1, "one"), event("speech", 2, 3, "two"))
    assert [(one.text, one.start) for one in dialogue.of("assistant")] == [("one", 0), ("two", 2)]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("yes<1>", "yes"),
        ("<2>", ""),
        ("<idle><idle>", ""),
        ("a<|im_end|>\n<|im_start|>b", "a b"),
        ("</s>x<s>", "x"),
        ("a < b and c > d", "a < b and c > d"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("![x](http://a/b.png)", "![x](http://a/b.png)"),
        ("a\u202eb\u200bc\x00d\x1b[31me\u2066f\ufeff", "abcd[31mef"),
        ("a\u2028b\tc\nd\u00a0e", "a b c d e"),
        ("👩‍👩‍👧 ok", "👩‍👩‍👧 ok"),
        ("红楼梦", "红楼梦"),
    ],
)
def test_what_is_taken_out_of_the_words(text: str, clean: str) -> None:
    assert harmless(text).strip() == clean
    said = shown(event("speech", 0, 1, text)).of("assistant")
    assert "".join(one.text for one in said) == clean


def test_a_control_token_that_is_cut_in_two_is_still_taken_out() -> None:
    dialogue = shown(event("speech", 0, 1, "yes <"), event("speech", 1, 2, "1> no"))
    assert [word for word, *_ in words(dialogue)] == ["yes", "no"]


texts = st.text(
    st.sampled_from("ab .,<>12|is\n\t\u202e\u200b红楼。A\u00a0\x00") | st.characters(codec="utf-8"),
    max_size=12,
)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), texts, st.integers(0, 3)), max_size=8))
def test_times_and_words_fit_the_events(pieces: list[tuple[float, float, str, int]]) -> None:
    """Each word within the speech's bounds, in order, and nothing that acts."""
    at, events = 0.0, []
    for silence, length, text, cycle in pieces:
        at += silence
        events.append(event("speech", at, at + length, text, cycle=cycle))
        at += length
    dialogue = shown(*events)
    assert Dialogue.from_data(dialogue.as_data()) == dialogue
    assert [word.start for word in dialogue.words] == sorted(word.start for word in dialogue.words)
    for word in dialogue.words:
        assert -0.001 <= word.start <= word.end <= at + 0.001
        assert word.text.strip()
        assert all(one.isprintable() or one in "\u200c\u200d" for one in word.text)
    kept = "".join(word.text for word in dialogue.words)
    assert kept.replace(" ", "") == "".join(
        harmless("".join(one.text for one in run)).replace(" ", "") for run in _runs(events)
    )


def _runs(events: list[TranscriptEvent]) -> list[list[TranscriptEvent]]:
    """A slow and obvious cut at pauses of a second."""
    runs: list[list[TranscriptEvent]] = []
    for one in events:
        if runs and one.start - runs[-1][-1].end < 1.0:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def test_a_very_long_transcript_is_quick() -> None:
    long = "word " * 20_000
    dialogue = shown(event("speech", 0, 60, long))
    assert len(dialogue.words) == 20_000
    assert dialogue.seconds == pytest.approx(60, abs=0.002)
