"""The events of the suite happen when they are meant to, whatever a system answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.conversant import CycleResult, Event, Heard
from duo.transcript import Transcript
from sessions.play import play
from sessions.scenario import Defaults
from sessions.suite import Position, cells, suite_scenarios
from tests.sessions.fakes import Answerer
from tests.sessions.talk import HEADER, starts

PAIRS = list(zip(cells(), suite_scenarios(), strict=True))


class Patient(Answerer):
    """Decides only after two seconds of silence, so that it never answers between slow words."""

    _silence: float

    def cycle(self, heard: Heard) -> CycleResult:
        self._silence = 0.0 if heard else self._silence + self.cycle_seconds
        return super().cycle(heard)

    def reset(self) -> None:
        super().reset()
        self._silence = 0.0

    def _decide(self, events: list[Event]) -> None:
        if self._silence >= 2.0:
            super()._decide(events)


def at(position: Position) -> list[int]:
    return [number for number, (cell, _) in enumerate(PAIRS) if cell.position == position]


def recorded(number: int, **answers: object) -> tuple[Transcript, float]:
    """The conversation and the seconds of the event's start rule."""
    scenario = PAIRS[number][1]
    transcript = play(scenario, Patient(**answers), HEADER).transcript  # type: ignore[arg-type]
    return transcript, scenario.utterances[-1].start_rule[1]


def first_answer(transcript: Transcript) -> tuple[float, float]:
    """Find when the answer to the first query began, and when it ended or was given up."""
    began = next(transcript.of("speech")).start
    return began, next(event.start for event in transcript.of("answer_end", "cut"))


BREATH = Defaults().breath

ANSWERS = st.fixed_dictionaries(
    {
        "words": st.integers(1, 200),
        "cycle_seconds": st.sampled_from([0.25, 0.5, 1.0, 2.0]),
        "decides": st.booleans(),
    }
)


@settings(max_examples=60)
@given(st.sampled_from(at("during")), ANSWERS)
def test_during_an_answer_is_so_long_after_it_began(
    number: int, answers: dict[str, object]
) -> None:
    transcript, seconds = recorded(number, **answers)
    began, ended = first_answer(transcript)
    over = max(event.end for event in transcript.of("speech") if event.start < ended) + BREATH
    assert starts(transcript)["event"] == pytest.approx(min(began + seconds, over), abs=2e-3)


@settings(max_examples=40)
@given(st.sampled_from(at("during")), st.integers(40, 200))
def test_an_answer_of_ten_seconds_is_still_being_given(number: int, words: int) -> None:
    transcript, _ = recorded(number, words=words)
    began, ended = first_answer(transcript)
    assert began < starts(transcript)["event"] < ended


@settings(max_examples=40)
@given(st.sampled_from(at("after")), ANSWERS.filter(lambda answers: answers["words"] <= 40))
def test_after_an_answer_is_so_long_after_its_end(number: int, answers: dict[str, object]) -> None:
    transcript, seconds = recorded(number, **answers)
    _, ended = first_answer(transcript)
    assert starts(transcript)["event"] == pytest.approx(ended + max(seconds, BREATH), abs=2e-3)


def test_nobody_waits_for_the_end_of_an_endless_answer() -> None:
    for number in at("after")[::9]:
        transcript, _ = recorded(number, words=400)
        said = {event.utterance: event for event in transcript.of("utterance")}
        assert said["event"].start == pytest.approx(said["first"].end + 30, abs=1)


@pytest.mark.parametrize("number", at("opening")[::7])
def test_at_the_opening_nothing_was_said_before(number: int) -> None:
    transcript, seconds = recorded(number, words=8)
    assert starts(transcript) == {"event": seconds}
    assert all(event.start > seconds for event in transcript.of("speech"))


@pytest.mark.parametrize("number", [*at("during")[::19], *at("after")[::11]])
def test_a_system_that_never_answers_gets_the_event_all_the_same(number: int) -> None:
    transcript, _ = recorded(number, words=0)
    said = {event.utterance: event for event in transcript.of("utterance")}
    assert set(said) == {"first", "event"}
    assert said["event"].start == pytest.approx(said["first"].end + 10, abs=1.5)
