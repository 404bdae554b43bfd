"""Test when a scenario's user speaks: the start rules, on systems whose every act is known."""

from __future__ import annotations

import pytest

from duo.decoding.conversant import CycleResult, Event, Kind
from sessions.play import play
from tests.sessions.fakes import Scripted, acts, speaks
from tests.sessions.talk import HEADER, played, scenario, starts, utterance


def test_at_and_after_previous() -> None:
    transcript = played(
        Scripted({}),
        utterance("a", at=1.25),
        utterance("b", after_previous=0.5),
        utterance("c", at=7.0),
        utterance("d", after_previous=0.0),
    )
    assert starts(transcript) == {"a": 1.25, "b": 2.75, "c": 7.0, "d": 8.0}


def test_at_waits_for_the_user_to_finish() -> None:
    transcript = played(
        Scripted(speaks(2, 8)),  # until 9.0
        utterance("a", at=0.0),
        utterance("b", after_answer=2.0),
        utterance("c", at=5.0),
    )
    assert starts(transcript) == {"a": 0.0, "b": 11.0, "c": 12.0}


def test_after_answer_counts_from_its_end() -> None:
    transcript = played(
        Scripted(speaks(2, 5)), utterance("a", at=0.0), utterance("b", after_answer=1.5)
    )
    assert starts(transcript)["b"] == 7.5  # speech until 6.0


def test_an_utterance_never_starts_in_the_past() -> None:
    # Speech and answer end at 5.25, which is known at 6.0.
    end = acts(
        Event(Kind.SPEECH, " word", step=1, steps=4), Event(Kind.ANSWER_END, step=1, steps=4)
    )
    script = speaks(2, 4, ends=False) | {4: acts(" word", busy=True), 5: end}
    for wait, start in ((0.25, 6.0), (0.75, 6.0), (0.8, 6.05), (4.0, 9.25)):
        transcript = played(
            Scripted(script), utterance("a", at=0.0), utterance("b", after_answer=wait)
        )
        assert starts(transcript)["b"] == start


def test_into_answer_counts_from_its_beginning_whether_it_goes_on_or_not() -> None:
    for last in (20, 4):
        transcript = played(
            Scripted(speaks(2, last)), utterance("a", at=0.0), utterance("b", into_answer=3.5)
        )
        assert starts(transcript)["b"] == 5.5


def test_what_is_said_before_the_query_ends_is_no_answer_to_it() -> None:
    # A hasty system speaks in the pause (from 2.0), falls silent, and answers at 7.0.
    script = speaks(2, 2) | speaks(7, 9)
    parts = ["one two", {"pause": 3.0}, "six ten"]  # until 5.0
    transcript = played(
        Scripted(script), utterance("a", parts, at=0.0), utterance("b", into_answer=1.0)
    )
    assert starts(transcript)["b"] == 8.0


def test_the_old_answer_that_goes_on_is_not_the_answer_to_an_interruption() -> None:
    fork, respond = Event(Kind.FORK), Event(Kind.RESPOND, by="state")
    script = speaks(1, 20) | {
        0: acts(fork),
        2: acts(Event(Kind.RESPOND, by="state"), " word", busy=True),
        5: acts(fork, " word", busy=True),
        8: acts(respond, Event(Kind.CUT), " word", busy=True),
    }
    transcript = played(
        Scripted(script),
        utterance("a", at=0.0),
        utterance("b", into_answer=2.0),  # began at 2.0, so from 4.0 to 5.0
        utterance("c", into_answer=0.5),  # not at once, from the old answer, but at 8.5
    )
    assert starts(transcript) == {"a": 0.0, "b": 4.0, "c": 9.0}


def test_an_ignored_remark_leaves_the_answer_what_it_was() -> None:
    script = speaks(2, 9) | {
        2: acts(Event(Kind.RESPOND, by="state"), " word", busy=True),
        6: acts(Event(Kind.IGNORE, by="state"), " word", busy=True),
    }
    transcript = played(
        Scripted(script),
        utterance("a", at=0.0),
        utterance("b", query=False, into_answer=2.0),
        utterance("c", into_answer=6.5),
        utterance("d", after_answer=1.0),
    )
    # c counts from 2.0, not from the decision about b; d waits for the answer to c in vain.
    assert starts(transcript)["c"] == 8.5
    assert starts(transcript)["d"] == 20.0  # nobody spoke since 10.0


def test_an_answer_to_a_remark_is_waited_for_too() -> None:
    script = speaks(2, 5) | speaks(8, 12) | {
        2: acts(Event(Kind.RESPOND), " word", busy=True),
        8: acts(Event(Kind.RESPOND), " word", busy=True),
    }  # fmt: skip
    transcript = played(
        Scripted(script),
        utterance("a", at=0.0),
        utterance("b", query=False, into_answer=3.5),  # 5.5 to 6.5; the first answer ends at 6.0
        utterance("c", after_answer=3.5),  # not 9.5 but 13.0 and 3.5
    )
    assert starts(transcript)["c"] == 16.5


def test_a_stop_request_is_answered_by_the_end_of_the_answer() -> None:
    script = speaks(2, 20) | {
        2: acts(Event(Kind.RESPOND), " word", busy=True),
        6: acts(Event(Kind.RESPOND), Event(Kind.CUT), Event(Kind.ANSWER_END)),
    } | {cycle: acts() for cycle in range(7, 21)}  # fmt: skip
    transcript = played(
        Scripted(script),
        utterance("a", at=0.0),
        utterance("stop", into_answer=2.0),
        utterance("c", after_answer=1.5),
    )
    assert starts(transcript)["c"] == 7.5


def test_an_answer_that_broke_off_has_not_ended() -> None:
    cut_off = acts(Event(Kind.CUT))
    script = speaks(2, 9, ends=False) | {2: acts(Event(Kind.RESPOND), " word", busy=True)}
    script |= {cycle: CycleResult() for cycle in range(5, 10)} | {5: cut_off}
    transcript = played(
        Scripted(script),
        utterance("a", at=0.0),
        utterance("b", query=False, into_answer=1.5),  # 3.5 to 4.5
        utterance("c", after_answer=1.0),
    )
    assert starts(transcript)["c"] == 15.0  # the user gives up ten seconds after the last speech


def test_a_system_that_never_says_that_it_has_ended() -> None:
    script = speaks(2, 6, ends=False)
    transcript = played(Scripted(script), utterance("a", at=0.0), utterance("b", after_answer=1.0))
    assert starts(transcript)["b"] == 8.0


@pytest.mark.parametrize("rule", ["into_answer", "after_answer"])
def test_a_user_gives_up_on_a_system_that_never_answers(rule: str) -> None:
    parts = (utterance("a", at=0.0), utterance("b") | {rule: 1.0})
    assert starts(played(Scripted({}), *parts))["b"] == 11.0
    sooner = utterance("b", give_up=2.5) | {rule: 1.0}
    assert starts(played(Scripted({}), parts[0], sooner))["b"] == 3.5
    everywhere = play(scenario(*parts, give_up=4), Scripted({}), HEADER).transcript
    assert starts(everywhere)["b"] == 5.0


@pytest.mark.parametrize("decides", [True, False])
@pytest.mark.parametrize("rule", ["into_answer", "after_answer"])
def test_a_user_does_not_wait_for_ever_while_the_system_speaks(rule: str, decides: bool) -> None:
    babble = speaks(0, 200)
    if decides:  # and about everything but the user's query
        babble[0] = acts(Event(Kind.FORK), " word", busy=True)
    parts = (utterance("a", at=0.0), utterance("b") | {rule: 99.0})
    assert starts(played(Scripted(babble), *parts))["b"] == 46.0
    impatient = play(scenario(*parts, longest_wait=20), Scripted(babble), HEADER).transcript
    assert starts(impatient)["b"] == 21.0
