"""Test what is read from a transcript: who spoke when, what was decided, what was forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.decoding.conversant import Kind
from duo.reading import conversation_of
from duo.transcript import Transcript
from duo.words import Piece, joined, words_of
from tests.reports.random_talk import transcripts
from tests.reports.stories import Story, interrupted, waiting


@given(st.lists(st.tuples(st.text(max_size=8), st.floats(0, 2)), max_size=8))
def test_words_do_not_depend_on_how_the_text_was_cut(pieces: list[tuple[str, float]]) -> None:
    at, timed = 0.0, []
    for text, length in pieces:
        timed.append(Piece(at, at + length, text))
        at += length
    words = words_of(timed)
    text = "".join(text for text, _ in pieces)
    if words:
        assert joined(words) == " ".join(text.split())
    assert all(0 <= word.start <= word.end <= at + 0.001 for word in words)
    assert [word.start for word in words] == sorted(word.start for word in words)


def test_a_word_that_comes_in_pieces_is_one_word_from_first_to_last() -> None:
    words = words_of([Piece(0.0, 1.0, "Lis"), Piece(1.0, 2.0, "bon is")])
    assert [(word.blank, word.text) for word in words] == [("", "Lisbon"), (" ", "is")]
    assert words[0].start == 0.0
    assert words[0].end == pytest.approx(1.5)


def test_a_long_silence_parts_words_and_gives_signs_no_time() -> None:
    words = words_of([Piece(0, 1, "so"), Piece(2, 3, "me"), Piece(4, 5, " ...")])
    assert [(w.start, w.end, w.text) for w in words] == [(0, 1, "so"), (2, 3, "me ...")]


def test_decisions_carry_what_was_expected_without_the_state_token() -> None:
    decisions = conversation_of(interrupted()).decisions
    assert [(d.action, d.by, d.expected) for d in decisions] == [
        ("respond", "state", "for me and"),
        ("ignore", "state", "I really like that"),
        ("respond", "state", "all day long?"),
    ]


def test_the_words_that_were_forgotten_are_the_last_ones_of_the_answer_that_was_cut() -> None:
    first, second = conversation_of(interrupted()).answers
    assert first.ending == "cut"
    assert first.forgotten is not None
    lost = joined(word for word in first.words if word.start >= first.forgotten)
    assert lost == "castle walls, where the whole town lies at"
    assert (second.ending, second.forgotten) == ("complete", None)


def test_overlap_interruption_and_wait() -> None:
    duo, turns = conversation_of(interrupted()), conversation_of(waiting())
    assert [u.words[0].text for u in duo.interruptions] == ["That", "Wait,"]
    assert duo.overlaps == [(8.0, 9.0), (11.0, pytest.approx(40 / 3, abs=0.001))]
    assert turns.waits[0] == (pytest.approx(10 / 3, abs=0.001), 5.25)
    assert len(turns.waits) == 2


def test_nobody_waits_for_an_answer_to_a_remark() -> None:
    story = Story()
    story.hears("Nice weather.", 0.0, "non_query", "statement")
    story.says("Indeed.", 3.0)
    assert conversation_of(story.transcript()).waits == []


def test_nobody_waits_in_silence_while_the_old_answer_goes_on() -> None:
    story = Story()
    story.says("One two three four five six seven eight nine ten eleven twelve.", 0.0, Kind.CUT)
    end = story.hears("Why?", 1.0)
    story.says("Because.", 3.0)
    assert end < 3.0
    assert conversation_of(story.transcript()).waits == []


def test_an_answer_without_words_is_an_answer_without_words() -> None:
    story = Story()
    end = story.hears("Be quiet.", 0.0, "query", "stop_request")
    story.happens(Kind.RESPOND, end + 1, by="state")
    story.happens(Kind.ANSWER_END, end + 1.25)
    found = conversation_of(story.transcript())
    (answer,) = found.wordless
    assert (answer.words, answer.ending) == ((), "complete")
    assert answer.start == answer.end == answer.ended >= end
    assert found.answers == ()


def test_an_answer_that_the_limit_ended_is_complete_and_says_so() -> None:
    story = Story()
    story.hears("Why?", 0.0)
    end = story.says("Because.", 2.0, ends=None)
    story.happens(Kind.ANSWER_END, end, by="limit")
    story.says("So.", end + 3)
    answers = conversation_of(story.transcript()).answers
    assert [(a.ending, a.limited) for a in answers] == [("complete", True), ("complete", False)]


@given(transcripts())
def test_no_spoken_or_heard_word_is_lost(transcript: Transcript) -> None:
    found = conversation_of(transcript)
    answers = sorted([*found.answers, *found.wordless], key=lambda answer: answer.start)
    said = "".join(word.text for answer in answers for word in answer.shown)
    spoken = "".join(event.text for event in transcript.of("speech"))
    assert "".join(said.split()) == "".join(spoken.split())
    heard = "".join(word.text for utterance in found.utterances for word in utterance.shown)
    words = "".join(event.text for event in transcript.of("word"))
    assert sorted("".join(heard.split())) == sorted("".join(words.split()))
    assert all(
        0 <= start <= end <= found.seconds + 0.001
        for start, end in (*found.user_speech, *found.system_speech, *found.overlaps)
    )


def test_a_dash_says_that_an_answer_breaks_off_in_a_sentence() -> None:
    story = Story()
    story.says("One two three", 0.0, Kind.CUT)
    story.says("One two three.", 4.0, Kind.CUT)
    story.says("One two three", 8.0)
    found = conversation_of(story.transcript())
    assert [joined(found.written(answer))[-4:] for answer in found.answers] == [
        "ree—",
        "ree.",
        "hree",
    ]
