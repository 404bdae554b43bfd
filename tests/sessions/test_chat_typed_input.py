"""What is heard of what is typed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.conversant import Heard, Revision
from sessions.chat.live import TypedInput

PAUSE = 1.0


class Typist:
    """Strikes keys a tenth of a second apart and keeps what a listener would have written down."""

    def __init__(self) -> None:
        self.typed_input = TypedInput(PAUSE)
        self.now = 0.0
        self.line = ""
        self.transcript = ""  # of the open utterance, from what was heard alone
        self.utterances: list[str] = []

    def strike(self, keys: str) -> None:
        """`<` is backspace and a line end is Enter."""
        for key in keys:
            self.now += 0.1
            if key == "\n":
                self.line = ""
                self.typed_input.entered(self.now)
                continue
            self.line = self.line[:-1] if key == "<" else self.line + key
            self.typed_input.typed(self.line, self.now)

    def hear(self) -> Heard:
        heard, words = self.typed_input.hear(self.now)
        if isinstance(heard, Revision):
            assert words == ()
            self.transcript = heard.text
        else:
            assert "".join(word.text for word in words) == heard
            self.transcript += heard
        for word in words:
            assert 0 < word.start <= word.end <= self.now
        assert self.transcript == self.typed_input.heard
        return heard

    def pause(self) -> Heard:
        self.now += PAUSE + 0.1
        return self.hear()

    def decide(self) -> None:
        self.typed_input.decided()
        self.utterances.append(self.transcript)
        self.transcript = ""
        self.line = self.typed_input.line


@pytest.mark.parametrize(
    ("keys", "heard"),
    [
        ("what is the cap", "what is the"),
        ("what is the cap ", "what is the cap"),
        ("what is this?", "what is this?"),
        ("it's a well-kno", "it's a"),
        ("don't", ""),
        ("bye\n", "bye"),
        ("  bye ", "bye"),
        ("法国的首都", "法国的首都"),
        ("프랑스", ""),
        ("", ""),
        ("   ", ""),
    ],
)
def test_a_word_counts_once_it_is_complete(keys: str, heard: str) -> None:
    typist = Typist()
    typist.strike(keys)
    assert typist.hear() == heard


def test_words_bring_the_blank_before_them_and_their_times() -> None:
    typist = Typist()
    typist.strike("so ")
    typist.hear()
    typist.strike("be it ")
    heard, words = typist.typed_input.hear(typist.now)
    assert heard == " be it"
    assert [(word.text, round(word.start, 1), round(word.end, 1)) for word in words] == [
        (" be", 0.4, 0.5),
        (" it", 0.7, 0.8),
    ]


def test_a_word_half_typed_is_heard_after_a_pause_and_may_go_on() -> None:
    typist = Typist()
    typist.strike("hel")
    assert typist.hear() == ""
    assert typist.pause() == "hel"
    typist.strike("lo")
    assert typist.hear() == ""
    typist.strike(" ")
    assert typist.hear() == "lo"


def test_erasing_heard_words_revises_the_whole_utterance() -> None:
    typist = Typist()
    typist.strike("red or blue ")
    assert typist.hear() == "red or blue"
    typist.strike("<<<<<")
    assert typist.hear() == Revision("red or")
    typist.strike("green ")
    assert typist.hear() == " green"
    typist.strike("<" * 20)
    assert typist.hear() == Revision("")


def test_erasing_a_word_that_was_not_heard_revises_nothing() -> None:
    typist = Typist()
    typist.strike("red or blu<<<green ")
    assert typist.hear() == "red or green"


def test_a_further_line_goes_on_with_an_open_utterance() -> None:
    typist = Typist()
    typist.strike("the capital\n")
    assert typist.hear() == "the capital"
    typist.strike("of France?\n")
    assert typist.hear() == " of France?"
    typist.decide()
    typist.strike("and Spain?\n")
    assert typist.hear() == "and Spain?"


def test_a_chinese_line_goes_on_without_a_blank() -> None:
    typist = Typist()
    typist.strike("法国的\n首都?\n")
    assert typist.hear() == "法国的首都?"


def test_a_decision_leaves_what_was_not_heard_for_the_next_utterance() -> None:
    typist = Typist()
    typist.strike("stop talking. An")
    typist.hear()
    typist.decide()
    assert typist.typed_input.line == "An"
    typist.strike("d now\n")
    assert typist.hear() == "And now"


def test_a_correction_replaces_the_utterance() -> None:
    typed_input = TypedInput(PAUSE)
    typed_input.corrected("nothing heard yet", 0.1)
    assert typed_input.hear(0.2)[0] == "nothing heard yet"
    typed_input.corrected("nothing herded yet", 0.3)
    assert typed_input.hear(0.4)[0] == Revision("nothing herded yet")
    assert typed_input.span == (0.1, 0.3)


KEYS = st.lists(
    st.one_of(
        st.text("ab ,.?中的'\n", min_size=1, max_size=6),
        st.text("<", min_size=1, max_size=8),
        st.sampled_from(["HEAR", "PAUSE"]),
    ),
    max_size=25,
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(KEYS)
def test_after_a_pause_the_heard_text_is_the_typed_text(actions: list[str]) -> None:
    """However it was typed, corrected and sliced."""
    typist, straight = Typist(), Typist()
    for action in actions:
        if action == "HEAR":
            typist.hear()
        elif action == "PAUSE":
            typist.pause()
        else:
            typist.strike(action)
            straight.strike(action)
    typist.pause()
    straight.pause()
    assert typist.transcript == straight.transcript
    assert not typist.typed_input.waiting


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.text("ab ,.?中的'\n", min_size=1, max_size=6),
            st.sampled_from(["HEAR", "PAUSE", "DECIDE"]),
        ),
        max_size=30,
    )
)
def test_nothing_is_lost_or_heard_twice_over_decisions(actions: list[str]) -> None:
    typist, typed = Typist(), ""
    for action in actions:
        if action == "HEAR":
            typist.hear()
        elif action == "PAUSE":
            typist.pause()
        elif action == "DECIDE":
            typist.decide()
        else:
            typist.strike(action)
            typed += action
    typist.pause()
    typist.decide()
    assert "".join("".join(typist.utterances).split()) == "".join(typed.split())
