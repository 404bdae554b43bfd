"""From a system's cycles to events on the clock."""

from __future__ import annotations

from duo.decoding.conversant import CHANNEL_OF, CycleResult, Event, Kind
from duo.transcript import Header
from sessions.play import TranscriptBuilder


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
