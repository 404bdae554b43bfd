"""Test whose an answer is, and what became of an event: small conversations, judged by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.transcript import WANT_SILENCE
from duo.words import Word
from evaluation.interaction.events import Outcome, takes_turn
from evaluation.interaction.metrics import stops_obeyed
from tests.evaluation.interaction.talk import Talk, answered


def only(outcomes: list[Outcome], kind: str) -> Outcome:
    found = [outcome for outcome in outcomes if outcome.kind == kind]
    assert len(found) == 1, outcomes
    return found[0]


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ([], False),
        ([(0.0, 0.5), (0.5, 0.8), (0.8, 0.99)], False),
        ([(0.0, 0.2), (0.5, 1.0)], True),  # a second from first to last
        ([(0.0, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4)], True),  # four words
    ],
)
def test_a_turn_is_a_second_or_four_words(words: list[tuple[float, float]], taken: bool) -> None:
    assert takes_turn([Word(start, end, "x") for start, end in words]) is taken


def test_a_query_that_is_answered(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.5)
    talk.costs(0, 8)
    answered(talk, 5.0)
    (found,) = talk.outcomes(tmp_path)
    assert (found.kind, found.done, found.taken, found.replied) == (
        "turn_end", "answered", True, True,
    )  # fmt: skip
    assert found.response is not None
    assert found.response.seconds == 1.5 == found.response.slices
    # 3.5 to 4: 2 passes; 4 to 5: 4; the pass that made the first token, a quarter of a cycle.
    assert found.response.forward_passes == 7
    assert found.response.machine_ms is None
    assert not found.premature
    assert found.behaviour is None  # nothing overlapped


def test_a_query_that_is_not(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    (found,) = talk.outcomes(tmp_path)
    assert (found.done, found.taken, found.replied, found.response) == (
        "silent", False, False, None,
    )  # fmt: skip


def test_a_short_answer_is_an_answer_though_no_turn(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    answered(talk, 4.0, words=1)
    (found,) = talk.outcomes(tmp_path)
    assert (found.done, found.taken, found.replied) == ("answered", False, True)


def interruption(category: str = "interruption", label: str = "query") -> tuple[Talk, float]:
    """A question, its answer from 4.0 on, and something said from 6.0 to 8.0 meanwhile."""
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.mark("respond", 4.0, by="state")
    talk.user(6.0, 8.0, label, category)
    talk.mark("fork", 7.0)
    return talk, talk.speaks(4.0, 20)  # until 9.0


def test_an_interruption_that_is_answered(tmp_path: Path) -> None:
    talk, until = interruption()
    assert until == 9.0
    talk.mark("respond", 9.0, by="state")
    talk.mark("cut", 9.0)
    talk.speaks(9.0, 6)
    talk.mark("answer_end", 10.5)
    talk.costs(0, 12)
    found = only(talk.outcomes(tmp_path), "interruption")
    assert (found.behaviour, found.given_up, found.taken) == ("RESPOND", True, True)
    assert found.stop is not None
    assert found.response is not None
    assert (found.stop.seconds, found.response.seconds) == (3.0, 1.0)
    assert found.stop.forward_passes == 12
    assert found.words_after_onset == 12 == found.tokens_after_onset
    assert [word.start for word in found.words][:2] == [9.0, 9.25]


def test_what_is_said_into_an_interruption_does_not_count(tmp_path: Path) -> None:
    """As in the benchmark, whose output begins with the interruption's end."""
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.mark("respond", 4.0)
    talk.speaks(4.0, 4)
    talk.user(4.5, 8.0, category="interruption")
    talk.mark("cut", 5.0)
    talk.mark("respond", 7.0)
    talk.speaks(7.0, 5)  # a word of it after the interruption's end
    talk.mark("cut", 8.25)
    found = only(talk.outcomes(tmp_path), "interruption")
    assert [word.start for word in found.words] == [8.0]
    assert (found.taken, found.premature, found.replied) == (False, True, True)


def test_an_interruption_that_is_ignored(tmp_path: Path) -> None:
    talk, until = interruption()
    talk.mark("ignore", until, by="state")
    until = talk.speaks(until, 4)
    talk.mark("answer_end", until)
    found = only(talk.outcomes(tmp_path), "interruption")
    assert (found.behaviour, found.taken, found.replied, found.given_up) == (
        "RESUME", False, False, False,
    )  # fmt: skip
    assert found.stop is not None
    assert found.stop.seconds == 4.0  # the old answer's own end


@pytest.mark.parametrize("kind", ["backchannel", "third_party", "background", "self_talk"])
def test_a_remark_that_the_answer_goes_on_across(tmp_path: Path, kind: str) -> None:
    talk, until = interruption(kind, "non_query")
    talk.mark("ignore", until, by="state")
    talk.mark("answer_end", until)
    found = only(talk.outcomes(tmp_path), kind)
    assert (found.behaviour, found.intact, found.taken) == ("RESUME", True, False)
    assert found.stop is None


def test_a_remark_that_the_answer_pauses_for(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.mark("respond", 4.0)
    talk.speaks(4.0, 8)
    talk.user(5.5, 6.0, "non_query", "acknowledgement")
    end = talk.speaks(8.0, 4)
    talk.mark("answer_end", end)
    found = only(talk.outcomes(tmp_path), "backchannel")
    assert (found.behaviour, found.intact) == ("RESUME", False)


def test_what_a_later_interruption_stops_no_remark_stopped(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.mark("respond", 4.0)
    talk.speaks(4.0, 20)  # until 9.0
    talk.user(5.0, 5.5, "non_query", "backchannel")
    talk.user(7.0, 8.0, category="interruption")
    talk.user(8.3, 8.6, "non_query", "third_party")
    talk.mark("respond", 9.0)
    talk.mark("cut", 9.0)
    talk.speaks(9.0, 8)
    outcomes = talk.outcomes(tmp_path)
    assert only(outcomes, "interruption").given_up
    assert only(outcomes, "interruption").replied
    for kind in ("backchannel", "third_party"):
        assert not only(outcomes, kind).given_up
        assert only(outcomes, kind).behaviour == "RESUME"


def test_a_remark_that_silences(tmp_path: Path) -> None:
    talk, until = interruption("third_party", "non_query")
    talk.mark("cut", until)
    found = only(talk.outcomes(tmp_path), "third_party")
    assert (found.behaviour, found.given_up, found.taken) == ("UNKNOWN", True, False)


def test_a_remark_that_only_makes_it_stumble(tmp_path: Path) -> None:
    talk, until = interruption("third_party", "non_query")
    talk.mark("cut", until)
    talk.speaks(until + 0.5, 2)
    talk.mark("cut", until + 1)
    found = only(talk.outcomes(tmp_path), "third_party")
    assert (found.behaviour, found.given_up, found.taken) == ("UNCERTAIN", True, False)


@pytest.mark.parametrize("words", [0, 1, 8])
@pytest.mark.parametrize("kind", sorted(WANT_SILENCE))
def test_silence_answers_a_request_for_it(tmp_path: Path, kind: str, words: int) -> None:
    talk, until = interruption(kind)
    talk.mark("respond", until, by="state")
    talk.mark("cut", until)
    talk.speaks(until, words)
    talk.mark("answer_end", until + words / 4)
    found = only(talk.outcomes(tmp_path), kind)
    assert found.behaviour == "RESPOND"
    assert found.taken is (words > 3)
    assert found.right is (words <= 3)
    assert found.stop is not None


def test_who_asked_to_hold_is_answered_when_they_come_back(tmp_path: Path) -> None:
    talk, until = interruption("hold_request")
    talk.mark("respond", until, by="state")
    talk.mark("cut", until)
    back = talk.user(until + 4, until + 6, category="follow_up")
    held, asked = talk.outcomes(tmp_path)[-2:]
    assert (held.kind, held.right) == ("hold_request", True)
    assert (asked.utterance, asked.kind, asked.right) == (back, "turn_end", False)  # no answer
    answered(talk, until + 7)
    held, asked = talk.outcomes(tmp_path)[-2:]
    assert (held.right, asked.right, asked.done) == (True, True, "answered")
    assert asked.response is not None
    assert asked.response.seconds == 1.0


def test_what_is_said_in_a_pause_is_premature(tmp_path: Path) -> None:
    talk = Talk()
    words = [("What", 1.0, 1.5), ("then", 1.5, 2.0), ("is", 4.0, 4.5), ("it", 4.5, 5.0)]
    talk.user(1.0, 5.0, words=words)
    talk.mark("respond", 3.0)
    talk.speaks(3.0, 6)
    talk.mark("cut", 4.5)
    answered(talk, 6.0)
    outcomes = talk.outcomes(tmp_path)
    pause, end = only(outcomes, "pause"), only(outcomes, "turn_end")
    assert (pause.start, pause.end, pause.taken, pause.wanted) == (2.0, 4.0, True, "wait")
    assert end.premature
    assert end.replied
    assert end.response is not None
    assert end.response.seconds == 1.0  # not that of what was said in the pause


def test_a_premature_answer_alone_misses_the_query(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 5.0)
    talk.mark("respond", 2.0)
    talk.speaks(2.0, 8)
    talk.mark("cut", 4.0)
    (found,) = talk.outcomes(tmp_path)
    assert (found.premature, found.replied, found.done) == (True, False, "silent")
    assert found.taken  # as Full-Duplex-Bench has it: output of two seconds


def test_a_late_answer_is_the_query_s_not_the_remark_s(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.user(3.5, 4.0, "non_query", "backchannel")
    answered(talk, 6.0)
    outcomes = talk.outcomes(tmp_path)
    assert not only(outcomes, "backchannel").taken
    assert only(outcomes, "turn_end").replied


def test_once_a_query_was_ignored_the_answer_is_the_remark_s(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.mark("ignore", 4.0, by="state")
    talk.user(5.0, 6.0, "non_query", "backchannel")
    answered(talk, 7.0)
    outcomes = talk.outcomes(tmp_path)
    assert only(outcomes, "backchannel").taken
    assert not only(outcomes, "turn_end").replied


def test_a_query_overtaken_by_the_next_is_not_scored(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.user(4.0, 5.0)
    answered(talk, 6.0)
    assert [outcome.utterance for outcome in talk.outcomes(tmp_path)] == ["u2"]


def test_one_that_had_time_is_missed(tmp_path: Path) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.user(6.0, 7.0)
    answered(talk, 8.0)
    assert [outcome.replied for outcome in talk.outcomes(tmp_path)] == [False, True]


def test_a_system_that_reports_nothing_and_pauses(tmp_path: Path) -> None:
    """A speech system's answers are told apart by silence."""
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.speaks(3.5, 10)  # until 6.0
    talk.user(5.0, 6.5, "query", "interruption")
    talk.speaks(7.5, 8)
    found = only(talk.outcomes(tmp_path), "interruption")
    assert (found.behaviour, found.given_up) == ("RESPOND", True)
    assert found.stop is not None
    assert found.response is not None
    assert (found.stop.seconds, found.response.seconds) == (1.0, 1.0)


def test_a_system_that_reports_nothing_and_talks_on(tmp_path: Path) -> None:
    """Whose words they are nobody knows: a turn by the benchmark's rule, no latency."""
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.speaks(3.5, 30)
    talk.user(5.0, 6.5, "query", "interruption")
    found = only(talk.outcomes(tmp_path), "interruption")
    assert (found.done, found.behaviour, found.taken, found.replied) == (
        "talked_on", "UNKNOWN", True, True,
    )  # fmt: skip
    assert found.response is None is found.stop


@pytest.mark.parametrize(
    ("cycle_seconds", "done", "latency"), [(0.1, "answered", 0.25), (1.0, "talked_on", None)]
)
def test_a_quick_reply_of_a_system_that_reports_nothing(
    tmp_path: Path, cycle_seconds: float, done: str, latency: float | None
) -> None:
    """It falls silent at 6, the query ends at 6.5, it speaks at 6.75.

    In cycles of a tenth of a second that is a pause; in cycles of a second it may be none.
    """
    talk = Talk(cycle_seconds=cycle_seconds)
    talk.user(1.0, 3.0)
    talk.speaks(3.5, 10)
    talk.user(5.0, 6.5, "query", "interruption")
    talk.speaks(6.75, 8)
    found = only(talk.outcomes(tmp_path), "interruption")
    assert found.done == done
    assert (found.response and found.response.seconds) == latency
    assert (found.stop and found.stop.seconds) == (latency and 1.0)


@pytest.mark.parametrize(
    ("kind", "done"), [("stop_request", "stopped"), ("third_party", "went_on")]
)
def test_the_last_word_may_outlast_the_request(tmp_path: Path, kind: str, done: str) -> None:
    """Nobody says that the answer is cut, but after the request it begins no word."""
    talk = Talk()
    talk.user(1.0, 3.0)
    talk.speaks(3.5, 10)  # until 6.0
    talk.user(5.0, 5.9, "query" if kind == "stop_request" else "non_query", kind)
    found = only(talk.outcomes(tmp_path), kind)
    assert (found.done, found.given_up) == (done, done == "stopped")
    if kind == "stop_request":
        assert stops_obeyed([found]) == [("story", 1.0)]
        assert found.behaviour == "RESPOND"


@given(
    start=st.floats(4.3, 7.5),
    long=st.floats(0.2, 4.0),
    words=st.integers(16, 40),
    forks=st.booleans(),
    kind=st.sampled_from(["backchannel", "third_party", "background", "statement"]),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_an_undisturbed_answer_always_resumes(
    tmp_path_factory: pytest.TempPathFactory,
    start: float,
    long: float,
    words: int,
    forks: bool,
    kind: str,
) -> None:
    talk = Talk()
    talk.user(1.0, 3.0)
    end = answered(talk, 4.0, words)
    start, stop = round(start, 3), round(start + long, 3)
    talk.user(start, stop, "non_query", kind)
    if forks:
        talk.mark("fork", start)
        talk.mark("ignore", stop + 1, by="state")
    outcomes = talk.outcomes(tmp_path_factory.mktemp("talk"))
    found = next(o for o in outcomes if o.wanted == "ignore")
    assert end > start
    assert found.behaviour == "RESUME"
    assert found.intact
    assert not found.taken
    assert not found.given_up
