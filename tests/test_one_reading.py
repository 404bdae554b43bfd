"""Whatever shows or counts a conversation says the same of it, on every transcript we can make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings

from duo.reading import conversation_of
from duo.speech import Conversation
from duo.transcript import Transcript, read_transcript
from duo.words import Interval, length, merged
from evaluation.interaction import metrics
from evaluation.interaction.events import outcomes_of
from reports.page.conversations import costs_of, lines_of
from reports.plots.timeline import timeline
from sessions.catalogue import find_scenarios
from sessions.recorder import Job, record_all
from sessions.show import SYSTEM, USER, drawing, pieces
from sessions.study.blinding import CONTROL_TOKEN, blinded
from sessions.study.views import Shown, drawn
from tests.reports.random_talk import transcripts
from tests.sessions.fakes import Answerer
from tests.sessions.talk import played, utterance
from tests.tiny import tiny_backbone

SYSTEMS = ("duo", "duo-sequential", "duplex", "turn-based")


def assert_all_agree(transcript: Transcript) -> None:
    found = conversation_of(transcript)
    waits = [round(end - start, 3) for start, end in found.waits]
    assert_metrics_agree(found, waits)
    costs = costs_of(found)
    assert costs.answers == len(found.answers)
    assert costs.cut == sum(answer.ending == "cut" for answer in found.answers)
    assert costs.interruptions == len(found.interruptions)
    assert list(costs.waits) == waits
    assert (
        f" {len(found.answers)} answers, {len(found.decisions)} decisions"
        in timeline(transcript).caption
    )
    spoken = [line for line in lines_of(found) if line.what.startswith("answer")]
    answered = [line.at for line in spoken if line.what != "answer without words"]
    assert answered == [answer.start for answer in found.answers]
    assert_terminal_agrees(transcript, found)
    if not CONTROL_TOKEN.search("".join(event.text for event in transcript.events)):
        assert_player_agrees(transcript, found)


def assert_metrics_agree(found: Conversation, waits: list[float]) -> None:
    outcomes = [one for one in outcomes_of(found) if one.kind != "pause" or one.category == "pause"]
    scored = [x for x in found.exchanges if x.utterance.label and not x.overtaken]
    assert [one.utterance for one in outcomes] == [x.utterance.name for x in scored]
    assert [one.overlapped for one in outcomes] == [x.old is not None for x in scored]
    latencies = [round(one.response.seconds, 3) for one in outcomes if one.response is not None]
    unscored = sum(x.utterance.label is None and x.wait is not None for x in found.exchanges)
    assert len(latencies) + unscored == len(waits)
    assert set(latencies) <= set(waits)
    ((_, both, user),) = metrics.overlap([found])
    assert (both, user) == (length(found.overlaps), length(found.user_speech))


def assert_terminal_agrees(transcript: Transcript, found: Conversation) -> None:
    title = " ".join(line.plain.strip() for line in drawing(transcript, 500)[:2])
    assert f" {len(found.answers)} answer" in title
    assert title.endswith(f"both speak {length(found.overlaps):.2f} s")
    said = [piece for piece in pieces(transcript) if piece.speech]
    for lane, speech in ((USER, found.user_speech), (SYSTEM, found.system_speech)):
        spans = [(one.start, one.end) for one in said if one.lane == lane]
        assert set(speech) <= set(spans)


def assert_player_agrees(transcript: Transcript, found: Conversation) -> None:
    shown = drawn(Shown("A", blinded(transcript), None))
    assert rounded(shown["both"]) == rounded(found.overlaps)
    for who, ours in (("user", found.utterances), ("assistant", found.answers)):
        theirs = [
            (one["start"], one["end"])
            for one in shown["utterances"]
            if one["who"] == who and re.search(r"\w", "".join(word[2] for word in one["words"]))
        ]
        spoken = [one.words for one in ours if one.words]
        assert sorted(theirs) == sorted(
            (words[0].start, max(word.end for word in words)) for words in spoken
        )
    began = [one["start"] for one in shown["utterances"] if one["in"] and one["who"] == "user"]
    assert set(began) >= {u.words[0].start for u in found.interruptions if u.words}


def rounded(spans: list[Interval]) -> list[Interval]:
    return merged((round(start, 3), round(end, 3)) for start, end in spans)


@given(transcripts())
@settings(deadline=None, max_examples=150)
def test_of_any_transcript(transcript: Transcript) -> None:
    assert_all_agree(transcript)


@pytest.mark.parametrize("decides", [True, False])
def test_of_a_system_that_answers(decides: bool) -> None:
    said = [
        utterance("a", "what is this thing called?", at=1.0),
        utterance("b", "oh well", query=False, into_answer=2.0),
        utterance("c", "and what is that?", into_answer=4.0),
    ]
    transcript = played(Answerer(decides=decides), *said)
    assert conversation_of(transcript).answers
    assert_all_agree(transcript)


def test_of_what_systems_with_a_tiny_model_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_backbone()
    monkeypatch.setattr("duo.backbone.load", lambda name, **_: model)
    job = Job(
        systems=SYSTEMS,
        scenarios=find_scenarios(["volcano-facts", "fall-of-rome", "zh-tang-poem"]),
        out=tmp_path,
        models=dict.fromkeys(SYSTEMS, "tiny"),
        max_seconds=25.0,
    )
    recorded = [read_transcript(path) for path in record_all(job)]
    assert any(conversation_of(transcript).overlaps for transcript in recorded)
    for transcript in recorded:
        assert_all_agree(transcript)
