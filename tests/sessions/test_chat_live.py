"""The loop of a live conversation, on a clock of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.conversant import Conversant, CycleResult, Event, Heard, Kind, Revision
from duo.transcript import Header, Transcript, TranscriptEvent
from sessions.chat.live import PAUSE, Conversation, CycleStatus, TypedInput, converse
from tests.sessions.chat_fakes import Parrot


class Over(Exception):
    """The scripted time is up."""


class ScriptedClock:
    """Jumps to the moment that is waited for; keys on the way are struck at their time."""

    def __init__(self, ear_of: Callable[[], Conversation], keys: list[tuple[float, str]]) -> None:
        self._conversation, self._keys = ear_of, list(keys)
        self._now = 0.0
        self._line = ""
        self.end = 30.0

    def now(self) -> float:
        return self._now

    async def until(self, moment: float) -> None:
        self.advance(max(0.0, moment - self._now))
        if self._now >= self.end:
            raise Over

    def advance(self, seconds: float) -> None:
        goal = self._now + seconds
        typed_input = self._conversation().typed_input
        while self._keys and self._keys[0][0] <= goal:
            self._now, key = self._keys.pop(0)
            self._line = typed_input.line
            if key == "\n":
                typed_input.entered(self._now)
            elif key == "<":
                typed_input.typed(self._line[:-1], self._now)
            else:
                typed_input.typed(self._line + key, self._now)
        self._now = max(self._now, goal)


class Seen:
    """Keeps what it is told, with the time on the clock."""

    def __init__(self, clock: ScriptedClock) -> None:
        self._clock = clock
        self.events: list[tuple[float, TranscriptEvent]] = []
        self.pulses: list[CycleStatus] = []

    def show_event(self, event: TranscriptEvent) -> None:
        self.events.append((self._clock.now(), event))

    def show_status(self, status: CycleStatus) -> None:
        self.pulses.append(status)

    def of(self, kind: str) -> list[tuple[float, str]]:
        return [(round(at, 3), event.text) for at, event in self.events if event.kind == kind]


def keys(at: float, text: str) -> list[tuple[float, str]]:
    """The keys of a text, ten a second."""
    return [(round(at + 0.1 * n, 3), key) for n, key in enumerate(text)]


def hold(
    system: Conversant,
    typed: list[tuple[float, str]],
    *,
    end: float,
    thinking: Callable[[int], float] = lambda cycle: 0.0,
) -> tuple[Seen, Transcript]:
    header = Header(
        system="parrot", model="none", scenario="chat", cycle_seconds=system.cycle_seconds
    )
    conversation = Conversation(system, header)
    clock = ScriptedClock(lambda: conversation, typed)
    clock.end = end
    seen = Seen(clock)

    async def run_cycle(heard: Heard) -> CycleResult:
        clock.advance(thinking(conversation.cycle))
        return system.cycle(heard)

    with pytest.raises(Over):
        asyncio.run(converse(conversation, clock, run_cycle, seen))
    return seen, conversation.finish()


def test_words_are_heard_in_the_cycle_after_they_are_complete() -> None:
    parrot = Parrot()
    hold(parrot, keys(0.5, "what is the cap"), end=2.5)
    #   typed: "what is the" and a blank by 1.7 s, half a word more by 2.0 s
    assert parrot.heard == ["", "what", " is the"]


def test_a_pause_flushes_the_word_half_typed() -> None:
    parrot = Parrot()
    hold(parrot, keys(0.2, "I see"), end=5)
    assert parrot.heard[:4] == ["", "I", " see", ""]


def test_who_types_on_is_not_silent_though_no_word_is_whole() -> None:
    parrot = Parrot()
    typed = [
        *keys(0.1, "why? "),
        (1.8, "b"),
        (2.7, "u"),
        (3.6, "t"),
    ]  # never a second without a key
    _, transcript = hold(parrot, typed, end=8)
    same = Revision("why?")
    assert parrot.heard[:7] == ["", "why?", same, same, same, " but", ""]
    assert [event.text for event in transcript.of("utterance")] == ["why? but"]
    assert not list(transcript.of("revision"))


@pytest.mark.parametrize("cycle", [0.1, 0.25, 1.0, 2.0])
def test_a_word_is_heard_whole_however_short_the_cycle(cycle: float) -> None:
    parrot = Parrot(cycle_seconds=cycle)
    typed = [(round(0.1 + 0.7 * n, 3), key) for n, key in enumerate("why now? ")]
    _, transcript = hold(parrot, typed, end=9)
    heard = [words for words in parrot.heard if isinstance(words, str) and words]
    assert [word for words in heard for word in words.split()] == ["why", "now?"]
    # Silence begins a second after the last key, the blank at 5.7 s.
    assert 6.69 < next(transcript.of("respond")).start < 6.71 + cycle


def test_enter_ends_what_is_typed_at_once() -> None:
    parrot = Parrot()
    _, transcript = hold(parrot, [*keys(0.1, "why?"), (1.9, "\n")], end=4)
    assert parrot.heard[:3] == ["", "why?", ""]
    assert next(transcript.of("respond")).start == 2.0


def test_backspace_revises_what_was_heard() -> None:
    parrot = Parrot()
    typed = [*keys(0.1, "red or blue "), *keys(2.1, "<<<<<"), *keys(3.1, "green?")]
    _, transcript = hold(parrot, typed, end=8)
    assert parrot.heard[:5] == ["", "red or", " blue", Revision("red or"), " green?"]
    assert [event.text for event in transcript.of("revision")] == ["red or"]
    (utterance,) = transcript.of("utterance")
    assert (utterance.text, utterance.label) == ("red or green?", None)
    assert (utterance.start, utterance.end) == (0.1, 3.6)


def test_a_line_after_enter_continues_until_the_system_has_decided() -> None:
    parrot = Parrot()
    typed = [*keys(0.1, "the sum\n"), *keys(1.2, "of two?\n"), *keys(4.2, "and three?\n")]
    _, transcript = hold(parrot, typed, end=8)
    assert parrot.heard[:7] == ["", "the sum", " of two?", "", "", "and", " three?"]
    assert [event.text for event in transcript.of("utterance")] == ["the sum of two?", "and three?"]
    assert [event.utterance for event in transcript.of("respond")] == ["u1", "u2"]


def test_speech_is_shown_evenly_over_the_cycle() -> None:
    seen, transcript = hold(Parrot(), keys(0.1, "what?\n"), end=4)
    assert [at for at, _ in seen.of("speech")] == [2.0, 2.25, 2.5]
    assert seen.of("respond") == [(2.0, "")]
    assert [event.start for event in transcript.of("speech")] == [2.0, 2.25, 2.5]


def test_a_slow_cycle_is_followed_at_once_and_its_lag_is_shown() -> None:
    parrot = Parrot()
    seen, transcript = hold(
        parrot, keys(0.1, "what?\n"), end=5.2, thinking=lambda cycle: 2.5 if cycle == 1 else 0.2
    )
    assert [status.lag for status in seen.pulses[:3]] == [0.0, 1.5, 0.0]
    # Cycle 1 lasts from 1.0 to 3.5; cycle 2 follows at once and answers on the real clock.
    assert next(transcript.of("respond")).start == 3.5
    assert [event.start for event in transcript.of("speech")] == [3.5, 3.75, 4.0]
    # What is spoken early in the cycle cannot be shown before it has been thought.
    assert [at for at, _ in seen.of("speech")] == [3.7, 3.75, 4.0]


def test_keys_struck_while_the_system_thinks_are_heard_in_the_next_cycle() -> None:
    parrot = Parrot()
    hold(parrot, keys(0.1, "one two three. "), end=4, thinking=lambda cycle: 0.9)
    assert parrot.heard[:3] == ["", "one two", " three."]


def test_what_is_typed_during_the_deciding_cycle_opens_the_next_utterance() -> None:
    parrot = Parrot()
    typed = [*keys(0.1, "what?"), *keys(2.05, " and why?")]
    _, transcript = hold(parrot, typed, end=8, thinking=lambda cycle: 0.95)
    assert parrot.heard[:4] == ["", "what?", "", "and why?"]
    assert [event.text for event in transcript.of("utterance")] == ["what?", "and why?"]


def test_an_open_utterance_ends_with_the_conversation() -> None:
    _, transcript = hold(Parrot(), keys(0.1, "well "), end=1.5)
    (utterance,) = transcript.of("utterance")
    assert utterance.text == "well"


def test_status_follows_the_system() -> None:
    seen, _ = hold(Parrot(), keys(0.1, "what do you know about it?\n"), end=9)
    states = [(status.listening, status.busy) for status in seen.pulses]
    assert states[0] == (False, False)
    assert states[2] == (True, False)
    assert (False, True) in states
    assert states[-1] == (False, False)
    assert [status.cycle for status in seen.pulses] == list(range(len(seen.pulses)))


class Echo:
    """Speaks without ever reporting that it listened or decided."""

    name, cycle_seconds = "echo", 1.0

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def reset(self) -> None: ...

    def cycle(self, heard: Heard) -> CycleResult:
        self.heard.append(heard)
        return CycleResult((Event(Kind.SPEECH, "aha"),) if heard else ())


def test_a_system_that_reports_no_decisions_has_taken_up_what_it_answers() -> None:
    echo = Echo()
    _, transcript = hold(echo, [*keys(0.1, "one\n"), *keys(1.2, "two\n")], end=4)
    assert echo.heard == ["", "one", "two", ""]
    assert [event.text for event in transcript.of("utterance")] == ["one", "two"]


# What is heard of what is typed.


class Typist:
    """Strikes keys a tenth of a second apart and keeps what a listener would have written down."""

    def __init__(self) -> None:
        self.typed_input = TypedInput()
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
    assert typist.hear() == Revision("hel")  # not over yet
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
    typed_input = TypedInput()
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
