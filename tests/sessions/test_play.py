"""The recorder's user and clock, on systems whose every act is known."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.conversant import CHANNEL_OF, CycleResult, Event, Heard, Kind, Revision
from duo.errors import BadInput
from duo.transcript import Header
from sessions.play import RealTime, Recording, TranscriptBuilder, play
from sessions.scenario import Scenario, heard_text
from tests.sessions.fakes import Answerer, Random, Scripted, acts, speaks
from tests.sessions.talk import HEADER, played, scenario, utterance

# -- hearing ---------------------------------------------------------------------------------------


def test_a_cycle_hears_the_words_that_ended_since_the_one_before() -> None:
    system = Scripted({})
    played(system, utterance("a", "one two six ten", at=0.3))  # ends at 0.8, 1.3, 1.8 and 2.3
    assert system.heard[:5] == ["", "one", " two six", " ten", ""]


def test_a_word_that_ends_as_a_cycle_begins_is_heard_in_it() -> None:
    system = Scripted({})
    played(system, utterance("a", "one two six", at=0.5))
    assert system.heard[:4] == ["", "one", " two six", ""]


def test_long_cycles_hear_more_at_once() -> None:
    system = Scripted({}, cycle_seconds=2.0)
    played(system, utterance("a", "one two six ten", at=0.3))
    assert system.heard[:4] == ["", "one two six", " ten", ""]


def test_a_revision_is_heard_as_the_text_as_of_now() -> None:
    system = Scripted({})
    change = {"after_words": 2, "text": "won too", "delay": 0.6}
    transcript = played(system, utterance("a", "one two six ten", at=0.0, revisions=[change]))
    # "two" ends at 1.0, "six" at 1.5, the revision is due at 1.6, "ten" ends at 2.0.
    assert system.heard[:4] == ["", "one two", Revision("won too six ten"), ""]
    assert [event.text for event in transcript.of("revision")] == ["won too six"]
    assert next(transcript.of("revision")).start == 1.6
    whole = next(transcript.of("utterance"))
    assert (whole.text, whole.start, whole.end) == ("won too six ten", 0.0, 2.0)


def test_a_late_revision_does_not_lengthen_the_utterance() -> None:
    change = {"after_words": 2, "text": "won too", "delay": 3.0}
    transcript = played(Scripted({}), utterance("a", at=0.0, revisions=[change]))
    assert next(transcript.of("utterance")).end == 1.0
    assert next(transcript.of("revision")).start == 4.0


def test_two_utterances_without_a_decision_between_are_heard_as_one() -> None:
    system = Scripted({})
    played(
        system,
        utterance("a", at=0.0),
        utterance("b", "six", after_previous=1.2),
        utterance("c", "ten", after_previous=0.1, revisions=[{"after_words": 1, "text": "tin"}]),
    )
    assert system.heard[1:5] == ["one two", "", " six", Revision("one two six tin")]


def test_after_a_decision_a_new_utterance_begins() -> None:
    ignores = acts(Event(Kind.IGNORE, by="state"))
    system = Scripted({2: ignores})
    change = [{"after_words": 4, "text": "a new text"}]
    parts = ["one two", {"pause": 2.0}, "six ten"]
    played(system, utterance("a", parts, at=0.0, revisions=change))
    # The pause was taken for the end: what comes then is a new utterance to the system, and the
    # recogniser, which knows nothing of it, restates all of its own.
    assert system.heard[:6] == ["", "one two", "", "", "six ten", Revision("a new text")]


def test_a_system_without_decisions_takes_up_what_it_speaks_about() -> None:
    system = Scripted({2: acts(" well")})
    change = [{"after_words": 1, "text": "tin"}]
    played(
        system,
        utterance("a", at=0.0),
        utterance("b", "six ten", after_previous=2.5, revisions=change),
    )
    # It may yet join what it hears, so a blank comes between; the revision is of b alone.
    assert system.heard[:6] == ["", "one two", "", "", " six", Revision("tin ten")]


def test_chinese_is_joined_without_blanks() -> None:
    system = Scripted({})
    chinese = Scenario.model_validate(
        {
            "name": "test",
            "language": "zh",
            "utterances": [
                utterance("a", "你好。", at=0.0, words_per_minute=None),
                utterance("b", "在吗？", after_previous=0.1, words_per_minute=None),
            ],
        }
    )
    play(chinese, system, HEADER)
    assert "".join(str(heard) for heard in system.heard) == "你好。在吗？"


# -- the end ---------------------------------------------------------------------------------------


def test_a_conversation_is_over_when_nobody_speaks_any_more() -> None:
    system = Scripted(speaks(2, 5))
    played(system, utterance("a", at=0.0))
    assert len(system.heard) == 12  # quiet from 6.0; the cycle due at 12.0 is not run


def test_a_conversation_is_over_when_the_user_has_given_up() -> None:
    system = Scripted({cycle: CycleResult(busy=True) for cycle in range(30)})
    played(system, utterance("a", at=0.0))
    assert len(system.heard) == 11  # asked until 1.0


def test_a_conversation_without_end_is_cut_and_says_so() -> None:
    system = Scripted({cycle: acts(" la", busy=True) for cycle in range(1000)})
    transcript = played(
        system, utterance("a", at=0.0), utterance("b", after_answer=1.0), max_seconds=20.0
    )
    assert len(system.heard) == 20
    note = next(transcript.of("note"))
    assert (note.channel, note.start) == ("system", 20.0)
    assert note.text == "cut after 20 s, utterances not said: 1"


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, float("nan"), float("inf")])
def test_cycles_of_no_length_are_refused(seconds: float) -> None:
    with pytest.raises(BadInput, match="cycle_seconds"):
        played(Scripted({}, cycle_seconds=seconds), utterance("a", at=0.0))


def test_cycles_do_not_drift() -> None:
    system = Scripted({cycle: acts(" la", busy=True) for cycle in range(100)}, cycle_seconds=1 / 3)
    transcript = played(system, utterance("a", at=0.0), max_seconds=33.0)
    begun = [event.start for event in transcript.of("cycle")]
    assert begun == [round(cycle / 3, 3) for cycle in range(99)]


# -- the real clock --------------------------------------------------------------------------------


class Machine:
    """A clock that only sleeping and computing move."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Slow(Scripted):
    """Takes its time in some cycles."""

    def __init__(self, machine: Machine, took: dict[int, float], script: Any) -> None:
        self._machine, self._took = machine, took
        super().__init__(script)

    def cycle(self, heard: Heard) -> CycleResult:
        self._machine.sleep(self._took.get(len(self.heard), 0.1))
        return super().cycle(heard)


def on_real_clock(took: dict[int, float], *utterances: dict[str, Any]) -> tuple[Recording, Slow]:
    machine = Machine()
    system = Slow(machine, took, speaks(2, 4))
    clock = RealTime(machine.now, machine.sleep)
    return play(scenario(*utterances), system, HEADER, clock=clock), system


def test_a_fast_system_gives_the_same_on_both_clocks() -> None:
    parts = (utterance("a", at=0.3), utterance("b", after_answer=0.4))
    real, _ = on_real_clock({}, *parts)
    assert real.transcript == played(Scripted(speaks(2, 4)), *parts)
    assert (real.late_cycles, real.late_seconds) == (0, 0.0)


def test_a_slow_cycle_makes_the_next_begin_late_and_hear_more() -> None:
    recording, system = on_real_clock({2: 1.75}, utterance("a", "one two six ten", at=0.7))
    assert [event.start for event in recording.transcript.of("speech")] == [2.0, 3.75, 4.75]
    assert system.heard[:4] == ["", "", "one two", " six ten"]  # ten ends at 2.7
    assert recording.late_cycles == 1
    assert recording.late_seconds == pytest.approx(0.75)
    note = list(recording.transcript.of("note"))[-1]
    assert note.text == "cycles that began late: 1 of 11, by 0.750 s in all"


# -- properties ------------------------------------------------------------------------------------

KINDS = st.lists(st.sampled_from([*Kind]), unique=True)
CYCLES = st.sampled_from([0.25, 1 / 3, 1.0, 2.0])


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    said: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        rules = ["after_previous", "into_answer", "after_answer"] if number else ["at"]
        words = draw(st.lists(st.sampled_from(["a", "noise?", "word."]), min_size=1, max_size=5))
        parts: list[Any] = [" ".join(words)]
        if draw(st.booleans()):
            parts += [{"pause": draw(st.floats(0.1, 4))}, "so"]
        changes = [
            {"after_words": count, "text": "new text", "delay": 0.5 * count}
            for count in sorted(draw(st.sets(st.integers(1, len(words)), max_size=2)))
        ]
        rule = {draw(st.sampled_from(rules)): draw(st.floats(0, 5))}
        query = number == 0 or draw(st.booleans())
        said.append(utterance(f"u{number}", parts, query=query, revisions=changes, **rule))
    return scenario(*said)


@settings(max_examples=150)
@given(scenarios(), st.integers(0, 10**6), KINDS, CYCLES)
def test_whatever_a_system_does_the_user_says_everything_in_order(
    said: Scenario, seed: int, kinds: list[Kind], cycle_seconds: float
) -> None:
    recording = play(said, Random(seed, cycle_seconds, kinds), HEADER, max_seconds=90.0)
    transcript = recording.transcript
    again = play(said, Random(seed, cycle_seconds, kinds), HEADER, max_seconds=90.0)
    assert again.transcript == transcript
    whole = list(transcript.of("utterance"))
    assert [event.utterance for event in whole] == [u.id for u in said.utterances][: len(whole)]
    assert len(whole) == len(said.utterances) or any(transcript.of("note"))
    for before, after in itertools.pairwise(whole):
        assert after.start >= before.end
    for event, planned in zip(whole, said.utterances, strict=False):
        assert event.text == heard_text(said.hearings(planned))
    for event in transcript.of("word", "revision"):
        assert event.cycle * cycle_seconds >= event.end - 0.001  # heard after it was spoken
        assert (event.cycle - 1) * cycle_seconds < event.end + 0.001  # and at the next chance


@settings(max_examples=100)
@given(scenarios(), st.integers(0, 10**6), st.integers(0, 30))
def test_the_user_does_not_know_the_future(said: Scenario, seed: int, until: int) -> None:
    class Changes(Random):
        """Falls silent for ever after some cycles."""

        def cycle(self, heard: Heard) -> CycleResult:
            result = super().cycle(heard)
            return result if len(self.heard) <= until else CycleResult()

    kinds = [Kind.SPEECH, Kind.ANSWER_END, Kind.RESPOND]
    one = play(said, Random(seed, 1.0, kinds), HEADER, max_seconds=90.0).transcript
    other = play(said, Changes(seed, 1.0, kinds), HEADER, max_seconds=90.0).transcript
    # Cycle `until` is the first that differs, and is known when the one after it begins.
    known = [
        [(e.utterance, e.start) for e in transcript.of("word") if e.start < until + 1]
        for transcript in (one, other)
    ]
    last = [max((e.cycle for e in t.of("word")), default=0) for t in (one, other)]
    shortest = min(len(names) for names in known)
    assert known[0][:shortest] == known[1][:shortest]
    assert len(known[0]) == len(known[1]) or min(last) <= until + 1


@settings(max_examples=60)
@given(scenarios(), CYCLES, st.booleans())
def test_what_a_system_hears_of_an_utterance_is_its_text(
    said: Scenario, cycle_seconds: float, decides: bool
) -> None:
    """Joined as the protocol says, from one decision to the next, over all slicings."""

    class Listens(Answerer):
        texts: list[str]

        def reset(self) -> None:
            super().reset()
            self.texts = []

        def cycle(self, heard: Heard) -> CycleResult:
            was_listening = self._listening
            result = super().cycle(heard)
            if was_listening and not self._listening:
                self.texts.append(self._text)
            return result

    system = Listens(cycle_seconds=cycle_seconds, decides=decides)
    transcript = play(said, system, HEADER).transcript
    for number, text in enumerate(system.texts):
        # A system that reports no decisions may be joining pieces: those bring their blank.
        assert text.lstrip() == text or not (decides or number == 0)
        assert "  " not in text
    if not any(utterance.revisions for utterance in said.utterances):
        whole = " ".join(event.text for event in transcript.of("utterance"))
        assert " ".join(text.strip() for text in system.texts) == whole


# From a system's cycles to events on the clock.


def builder() -> TranscriptBuilder:
    return TranscriptBuilder(Header(system="s", model="m", scenario="x", cycle_seconds=2.0))


def test_speech_lasts_its_step_and_a_decision_stands_after_its_own() -> None:
    writes = builder()
    events = (
        Event(Kind.RESPOND, step=0, steps=4, by="state"),
        Event(Kind.SPEECH, "a", step=1, steps=4),
        Event(Kind.SPEECH, " b", step=3, steps=4),
        Event(Kind.ANSWER_END, step=4, steps=4),
        Event(Kind.SPEECH, "at once"),
    )
    done = writes.cycle(
        CycleResult(events, 4, 9), cycle=5, start=10.0, seconds=2.0, utterance="ask"
    )
    assert [(e.kind, e.start, e.end, e.utterance) for e in done] == [
        ("respond", 10.0, 10.0, "ask"),
        ("speech", 10.0, 10.5, ""),
        ("speech", 11.0, 11.5, ""),
        ("answer_end", 12.0, 12.0, ""),
        ("speech", 10.0, 10.0, ""),
        ("cycle", 10.0, 12.0, ""),
    ]
    assert (done[-1].forward_passes, done[-1].tokens_processed) == (4, 9)
    assert done[0].by == "state"
    assert {event.cycle for event in done} == {5}


def test_a_cycle_without_a_forward_pass_leaves_nothing() -> None:
    writes = builder()
    assert writes.cycle(CycleResult(), cycle=0, start=0.0, seconds=2.0) == ()
    assert writes.transcript().events == ()


def test_every_kind_of_event_can_be_written_down() -> None:
    writes = builder()
    result = CycleResult(tuple(Event(kind, "x") for kind in Kind))
    written = writes.cycle(result, cycle=0, start=0.0, seconds=2.0, utterance="u")
    assert [event.channel for event in written] == [CHANNEL_OF[kind] for kind in Kind]


def test_events_come_by_start_and_an_utterance_before_its_words() -> None:
    writes = builder()
    writes.cycle(CycleResult((Event(Kind.SPEECH, "hm"),)), cycle=0, start=0.0, seconds=2.0)
    writes.word("so", start=0.0, end=0.4, cycle=1, utterance="u")
    writes.note("late", at=9.0, cycle=4)
    writes.word(" what", start=0.4, end=0.9, cycle=1, utterance="u")
    writes.utterance(
        "u", "so what", start=0.0, end=0.9, cycle=1, label="query", category="question"
    )
    kinds = [event.kind for event in writes.transcript().events]
    assert kinds == ["utterance", "speech", "word", "word", "note"]


def test_times_are_whole_milliseconds_and_text_is_unicode() -> None:
    writes = builder()
    writes.word("half \ud83d pair", start=1 / 3, end=2 / 3, cycle=1, utterance="u")
    event = writes.transcript().events[0]
    assert (event.start, event.end, event.text) == (0.333, 0.667, "half ? pair")
