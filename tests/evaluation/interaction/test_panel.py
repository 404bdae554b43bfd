"""The panel of tau-voice: by hand, against a plain count of ticks, and what must not change it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.speech import Answer, Conversation, Decision, Utterance
from duo.transcript import WANT_SILENCE
from duo.words import Interval, Piece, Word
from evaluation.interaction import panel
from evaluation.interaction.events import Latency, outcomes_of
from evaluation.interaction.results import interaction
from evaluation.interaction.table import table
from tests.evaluation.interaction.test_interaction_metrics import outcome, values

#: Times are whole numbers of these seconds, so that a count of ticks is exact.
TICK = 0.25

KINDS = {
    "question": "query", "interruption": "query", "stop_request": "query",
    "hold_request": "query", "repetition_request": "query",
    "backchannel": "non_query", "acknowledgement": "non_query", "vocal_tic": "non_query",
    "third_party": "non_query", "background": "non_query", "self_talk": "non_query",
    "statement": "non_query",
}  # fmt: skip


def words(*spans: Interval) -> tuple[Word, ...]:
    return tuple(
        Word(start + TICK * number, start + TICK * (number + 1), "x")
        for start, end in spans
        for number in range(round((end - start) / TICK))
    )


def said(category: str, start: float, end: float) -> Utterance:
    label = KINDS[category]
    return Utterance(f"u{start}", start, end, "x", label, category, words((start, end)))  # type: ignore[arg-type]


def answer(*spans: Interval) -> Answer:
    spoken = words(*spans)
    pieces = tuple(Piece(word.start, word.end, word.text) for word in spoken)
    return Answer(spoken, pieces, "complete", spans[-1][1])


def talk(*parts: Utterance | Answer, scenario: str = "s") -> Conversation:
    utterances = tuple(part for part in parts if isinstance(part, Utterance))
    answers = tuple(part for part in parts if isinstance(part, Answer))
    return Conversation("duo", "m", scenario, 1.0, utterances, answers)


@st.composite
def talks(draw: st.DrawFn) -> Conversation:
    """Both sides speak when they like; the user's utterances are apart, and so are answers."""

    def spans(shortest: int) -> list[Interval]:
        steps = draw(st.lists(st.integers(shortest, 24), min_size=2, max_size=12))
        times = [sum(steps[: n + 1]) * TICK for n in range(len(steps))]
        return list(pairwise(times))[::2]

    own = [said(draw(st.sampled_from(list(KINDS))), *span) for span in spans(3)]
    return talk(*own, *(answer(span) for span in spans(1)), scenario=draw(st.sampled_from("ab")))


def figures(*conversations: Conversation) -> dict[str, object]:
    found = {
        of.__name__: sorted(of(conversations))
        for of in (
            panel.response_rate, panel.response_latency, panel.yield_rate, panel.yield_latency,
            panel.agent_interruptions,
        )
    }  # fmt: skip
    kinds = {kind: sorted(panel.selectivity(conversations, kind)) for kind in panel.IGNORED}
    stops = [one for c in conversations for one in panel.overlap_until_stop(outcomes_of(c))]
    return {**found, **kinds, "stops": sorted(stops)}


@given(
    st.lists(st.tuples(st.sampled_from(list(KINDS)), st.integers(3, 12)), min_size=1, max_size=8)
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_who_stops_at_once_yields_always_and_ignores_nothing(events: list[tuple[str, int]]) -> None:
    """And who never stops the other way round; in each minute an utterance falls into an answer."""
    quick, deaf = list[Utterance | Answer](), list[Utterance | Answer]()
    for number, (category, ticks) in enumerate(events):
        start = 60.0 * number
        event = said(category, start + 5, start + 5 + ticks * TICK)
        quick += [event, answer((start, event.start + TICK))]
        deaf += [event, answer((start, start + 20))]
    for system, share in ((talk(*quick), 1.0), (talk(*deaf), 0.0)):
        assert set(values(panel.yield_rate([system]))) <= {share}
        for kind in panel.IGNORED:
            assert set(values(panel.selectivity([system], kind))) <= {1 - share}
    queries = [KINDS[category] == "query" for category, _ in events]
    assert values(panel.yield_latency([talk(*quick)])) == [TICK] * sum(queries)
    assert panel.yield_latency([talk(*deaf)]) == []
    assert len(panel.yield_rate([talk(*deaf)])) == sum(queries)


@given(talks())
@settings(deadline=None, derandomize=True, max_examples=150)
def test_it_is_what_a_count_of_ticks_finds(one: Conversation) -> None:
    """The definitions read as tau-voice's program does: from who speaks in each tick."""
    total = 800
    system, user = [False] * total, [False] * total
    others = {"third_party", "background", "self_talk"}
    for sides, spoken in ((system, one.answers), (user, one.utterances)):
        for part in spoken:
            if getattr(part, "category", "") not in others:
                for word in part.words:
                    sides[round(word.start / TICK)] = True
    yields, ignored, late = [], {kind: list[float]() for kind in panel.IGNORED}, []
    overtaken = {e.utterance.name for e in one.exchanges if e.overtaken}
    starts = [tick for tick in range(1, total) if system[tick] and not system[tick - 1]]
    queries = [u for u in one.utterances if u.label == "query"]
    for utterance in one.utterances:
        first, last = round(utterance.start / TICK), round(utterance.end / TICK)
        speaking = system[first] and system[first - 1]
        if utterance.label == "query" and utterance.name not in overtaken:
            if speaking:
                yields.append(float(not all(system[first : first + 9])))
            if utterance.category not in WANT_SILENCE and not (system[last] and system[last - 1]):
                after = [tick for tick in starts if tick >= last]
                again = [u.start for u in queries if u.start >= utterance.end]
                heard = after and not (again and again[0] < after[0] * TICK)
                late.append((after[0] - last) * TICK if heard else None)
        for kind, categories in panel.IGNORED.items():
            if utterance.category not in categories:
                continue
            if speaking:
                ignored[kind].append(float(all(system[first : first + 5])))
            elif kind != "backchannel":
                ignored[kind].append(float(not any(first <= tick <= last + 8 for tick in starts)))
    assert values(panel.yield_rate([one])) == yields
    assert values(panel.response_rate([one])) == [float(wait is not None) for wait in late]
    assert values(panel.response_latency([one])) == [wait for wait in late if wait is not None]
    for kind, found in ignored.items():
        assert values(panel.selectivity([one], kind)) == found
    into = sum(user[tick] and user[tick - 1] for tick in starts)
    assert panel.agent_interruptions([one]) == [(one.scenario, into, len(late))]


@given(st.lists(talks(), min_size=1, max_size=3), st.integers(1, 4000), st.permutations([0, 1, 2]))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_times_names_and_reports_change_nothing(
    conversations: list[Conversation], ticks: int, order: list[int]
) -> None:
    """Everything later, other names, another order, other decisions and endings: the same."""
    by = ticks * TICK

    def later(spoken: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(replace(word, start=word.start + by, end=word.end + by) for word in spoken)

    def moved(one: Conversation) -> Conversation:
        return replace(
            one,
            system="another",
            model="another",
            utterances=tuple(
                replace(u, name=f"n{number}", start=u.start + by, end=u.end + by,
                        words=later(u.words))
                for number, u in enumerate(one.utterances)
            ),
            answers=tuple(
                replace(a, ended=a.ended + by, words=later(a.words), pieces=later(a.pieces))
                for a in one.answers
            ),
        )  # fmt: skip

    again = [moved(conversations[n]) for n in order if n < len(conversations)]
    assert figures(*again) == figures(*conversations)
    told = [
        replace(
            one,
            decisions=(Decision(1.0, "ignore", "state"),),
            decides=True,
            answers=tuple(replace(a, limited=True) for a in one.answers),
        )
        for one in conversations
    ]
    for of in (panel.yield_rate, panel.yield_latency):
        assert of(told) == of(conversations)
    for kind in panel.IGNORED:
        assert panel.selectivity(told, kind) == panel.selectivity(conversations, kind)


@pytest.mark.parametrize(
    ("answers", "seconds"),
    [
        ([((0, 7), )], [2.0]),
        ([((0, 7.25), )], []),
        ([((0, 5.5), (6.5, 9))], []),  # a breath, and it goes on
        ([((0, 5.5), (7, 9))], [0.5]),  # held for longer: silent, whatever comes of it
        ([((0, 5.5), ), ((6, 9), )], [0.5]),  # another answer is another stretch
        ([((0, 5.5), ), ((5.5, 9), )], []),  # without silence nothing was yielded
        ([((0, 4.75), )], []),  # nothing was interrupted
    ],
)  # fmt: skip
def test_yielding_by_hand(answers: list[tuple[Interval, ...]], seconds: list[float]) -> None:
    one = talk(said("interruption", 5, 8), *(answer(*spans) for spans in answers))
    assert values(panel.yield_latency([one])) == seconds


@pytest.mark.parametrize(
    ("category", "spoken", "kind", "right"),
    [
        ("third_party", (10, 12), "non_directed", [0]),  # 2.0 s after its end
        ("third_party", (10.25, 12), "non_directed", [1]),
        ("self_talk", (6, 6.5), "non_directed", [0]),  # over before it ends
        ("background", (0, 6), "non_directed", [0]),  # silent 1.0 s after its onset
        ("background", (0, 6.25), "non_directed", [1]),
        ("vocal_tic", (0, 6), "vocal_tic", [0]),
        ("acknowledgement", (0, 6.25), "backchannel", [1]),
        ("backchannel", (8, 9), "backchannel", []),  # nobody was speaking
    ],
)
def test_what_should_be_ignored_by_hand(
    category: str, spoken: Interval, kind: str, right: list[float]
) -> None:
    one = talk(said(category, 5, 8), answer(spoken))
    found = {name: values(panel.selectivity([one], name)) for name in panel.IGNORED}
    assert found == {name: right if name == kind else [] for name in panel.IGNORED}


def test_turns_by_hand() -> None:
    question = said("question", 1, 3)
    assert values(panel.response_rate([talk(question)])) == [0]  # nothing follows at all
    assert values(panel.response_latency([talk(question, answer((4, 6)))])) == [1.0]
    early = talk(question, answer((2, 6)))  # it speaks at the end: no turn, but an interruption
    assert panel.response_rate([early]) == []
    assert panel.agent_interruptions([early]) == [("s", 1, 0)]
    later = talk(question, said("question", 10, 11), answer((12, 14)))
    assert values(panel.response_rate([later])) == [0, 1]
    hesitant = replace(question, words=words((1, 1.5), (2.5, 3)))
    assert panel.agent_interruptions([talk(hesitant, answer((2, 2.25)))]) == [("s", 0, 1)]


def test_the_other_clock_stops_when_the_user_does() -> None:
    stop = Latency(4.5)
    events = [outcome("interruption", end=3.0, stop=stop), outcome("interruption", end=9.0)]
    assert values(panel.overlap_until_stop(events)) == [3.0]
    assert values(panel.overlap_until_stop([outcome(end=9.0, stop=stop)])) == [4.5]


def test_the_panel_and_content_are_shown() -> None:
    found = interaction([talk(said("question", 1, 3), answer((4, 6)))])
    heads = [row[0] for row in table(found).rows]
    assert "tau-voice: response rate (high)" in heads
    assert "answers that end in a loop (low)" in heads
    assert any("undefined" in note and "vocal tics" in note for note in table(found).notes)
