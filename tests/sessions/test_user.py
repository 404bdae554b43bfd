"""Test when a scenario's user speaks: the start rules, on systems whose every act is known."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.decoding.conversant import CycleResult, Event, Kind
from duo.transcript import WANT_SILENCE
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


def test_an_answer_ends_with_its_last_word_wherever_that_stands_in_a_cycle() -> None:
    script = speaks(2, 4, ends=False) | {5: acts(Event(Kind.SPEECH, " word", step=1, steps=4))}
    for wait, start in ((0.0, 6.75), (1.5, 6.75), (1.75, 7.0), (4.0, 9.25)):  # speech until 5.25
        transcript = played(
            Scripted(script), utterance("a", at=0.0), utterance("b", after_answer=wait)
        )
        assert starts(transcript)["b"] == start


def test_a_pause_shorter_than_a_breath_is_part_of_the_answer() -> None:
    parts = utterance("a", at=0.0), utterance("b", after_answer=0.5)
    for silent, start in ((1, 10.5), (2, 5.5)):
        script = speaks(2, 3) | speaks(4 + silent, 8)  # until 4.0, and until 9.0
        assert starts(played(Scripted(script), *parts))["b"] == start
    patient = play(scenario(*parts, breath=3), Scripted(script), HEADER).transcript
    assert starts(patient)["b"] == 12.0


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


def test_into_an_answer_that_is_over_sooner_comes_a_breath_after_it() -> None:
    transcript = played(
        Scripted(speaks(2, 3)), utterance("a", at=0.0), utterance("b", into_answer=8.0)
    )
    assert starts(transcript)["b"] == 5.5  # speech until 4.0


def test_words_after_the_end_of_a_query_are_its_answer_whoever_says_otherwise() -> None:
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
        utterance("b", into_answer=2.0),  # began at 1.0, so from 3.0 to 4.0
        utterance("c", into_answer=0.5),  # from the word at 4.0
    )
    assert starts(transcript) == {"a": 0.0, "b": 3.0, "c": 4.5}


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
    # c counts from 2.0, not from the decision about b; the word at 9.5 is taken for its answer.
    assert starts(transcript)["c"] == 8.5
    assert starts(transcript)["d"] == 20.0


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


@pytest.mark.parametrize("kind", ["question", *sorted(WANT_SILENCE)])
def test_who_asked_for_silence_does_not_wait_for_a_word(kind: str) -> None:
    script = speaks(2, 5, ends=False) | {cycle: acts() for cycle in range(5, 30)}
    transcript = played(
        Scripted(script),
        utterance("a", at=0.0),
        utterance("b", into_answer=2.0) | {"kind": kind},  # until 5.0, as is the answer
        utterance("c", after_answer=1.5),
    )
    assert starts(transcript)["c"] == (15.0 if kind == "question" else 6.5)


def test_an_answer_that_broke_off_is_over_after_a_breath() -> None:
    cut_off = acts(Event(Kind.CUT))
    script = speaks(2, 9, ends=False) | {2: acts(Event(Kind.RESPOND), " word", busy=True)}
    script |= {cycle: CycleResult(busy=True) for cycle in range(5, 10)} | {5: cut_off}
    transcript = played(
        Scripted(script),
        utterance("a", at=0.0),
        utterance("b", query=False, into_answer=1.5),  # 3.5 to 4.5
        utterance("c", after_answer=1.0),
    )
    assert starts(transcript)["c"] == 6.5  # speech until 5.0


def test_signs_and_blanks_are_not_heard() -> None:
    script = speaks(2, 6, ends=False) | {cycle: acts("\n", "...") for cycle in range(8, 30)}
    transcript = played(Scripted(script), utterance("a", at=0.0), utterance("b", after_answer=2.5))
    assert starts(transcript)["b"] == 9.5  # words until 7.0


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


# -- properties ------------------------------------------------------------------------------------

RULES = st.tuples(
    st.sampled_from(["into_answer", "after_answer", "after_previous"]),
    st.floats(0, 6),
    st.sampled_from(["question", "stop_request", "statement"]),
)
#: Words of half a second, by the half second in which they are said.
SPOKEN = st.sets(st.integers(0, 120), max_size=60)


def says(
    spoken: set[int], cycle_seconds: float, extra: Sequence[Kind] = (), seed: int = 0
) -> Scripted:
    """A system that says these words, and does and reports what it likes besides."""
    draw = random.Random(seed)
    count = round(2 * cycle_seconds)
    script = {}
    for cycle in range(130):
        events = [
            Event(Kind.SPEECH, " word", step=step + 1, steps=count)
            for step in range(count)
            if cycle * count + step in spoken
        ]
        for kind in draw.sample(list(extra), draw.randint(0, len(extra))):
            events.insert(draw.randint(0, len(events)), Event(kind, step=draw.randint(0, count)))
        script[cycle] = CycleResult(tuple(events), busy=bool(extra) and draw.random() < 0.5)
    return Scripted(script, cycle_seconds)


@settings(max_examples=150)
@given(st.lists(RULES, max_size=4), SPOKEN, st.data())
def test_the_user_goes_by_what_is_heard_alone(
    rules: list[tuple[str, float, str]], spoken: set[int], data: st.DataObject
) -> None:
    """Whatever systems report, and however long their cycles are, the user says the same."""
    parts = [utterance("u", at=0.3)]
    for number, (rule, seconds, kind) in enumerate(rules):
        label = "non_query" if kind == "statement" else "query"
        parts.append(utterance(f"u{number}", kind=kind, label=label) | {rule: seconds})
    silent = [kind for kind in Kind if kind is not Kind.SPEECH]
    extra = data.draw(st.lists(st.sampled_from(silent), unique=True))
    cycle = data.draw(st.sampled_from([0.5, 1.0, 2.0, 3.0]))
    plain = played(says(spoken, 0.5), *parts)
    other = played(says(spoken, cycle, extra, data.draw(st.integers(0, 99))), *parts)
    common = min(len(list(t.of("utterance"))) for t in (plain, other))
    assert common == len(parts)
    assert starts(other) == starts(plain)


def test_an_answer_that_comes_late_is_heard_to_its_end() -> None:
    transcript = played(Scripted(speaks(9, 12)), utterance("a", at=0.0))  # after eight seconds
    assert [event.start for event in transcript.of("speech")] == [9.0, 10.0, 11.0, 12.0]
