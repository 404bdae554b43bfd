"""Test what the page says of conversations: counts, costs as tables, cautions."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given

from duo.decoding.conversant import Kind
from duo.reading import conversation_of
from duo.transcript import Transcript
from reports.page.conversations import Costs, all_costs, cautions, costs_by_system, costs_of
from tests.reports.random_talk import transcripts
from tests.reports.stories import Story, interrupted, waiting


def test_counts_of_a_conversation() -> None:
    costs = costs_of(conversation_of(interrupted()))
    assert (costs.answers, costs.cut, costs.interruptions) == (2, 1, 2)
    cycles = list(interrupted().of("cycle"))
    assert (costs.forward_passes, costs.tokens_processed) == (4 * len(cycles), 6 * len(cycles))
    assert costs.tokens_per_pass == 1.5
    assert costs.mean_wait == pytest.approx(
        (2 / 3 + 11 / 12) / 2, abs=0.001
    )  # the metrics' latency


@given(transcripts())
def test_counts_are_those_of_the_events(transcript: Transcript) -> None:
    costs = costs_of(conversation_of(transcript))
    assert costs.forward_passes == sum(e.forward_passes or 0 for e in transcript.of("cycle"))
    assert 0 <= costs.cut <= min(costs.answers, len(list(transcript.of("cut", "respond"))))
    assert all(wait >= 0 for wait in costs.waits)
    assert (
        costs_by_system([conversation_of(transcript)] * 2)[transcript.header.system]
        == costs + costs
    )


def test_without_a_pass_there_is_no_ratio() -> None:
    assert Costs().tokens_per_pass is None
    assert Costs().mean_wait is None
    assert Costs(forward_passes=3).passes_relative_to(Costs()) is None
    assert Costs(forward_passes=3).passes_relative_to(None) is None


def test_the_csv_relates_each_conversation_to_the_turn_based_one() -> None:
    stories = [interrupted(), waiting()]
    duo, turns = csv.DictReader(io.StringIO(all_costs(map(conversation_of, stories)).csv()))
    assert (duo["system"], turns["system"]) == ("duo", "turn-based")
    assert turns["passes_relative_to_turn-based"] == "1.0"
    ratio = int(duo["forward_passes"]) / int(turns["forward_passes"])
    assert float(duo["passes_relative_to_turn-based"]) == pytest.approx(ratio, abs=1e-4)
    assert duo["cut"] == "1"


def test_nothing_is_said_of_a_model_that_says_its_state_tokens() -> None:
    assert cautions(map(conversation_of, [interrupted()])) == []


def test_nothing_is_said_of_a_system_that_is_made_to_wait_for_silence() -> None:
    assert cautions(map(conversation_of, [waiting()])) == []


def test_decisions_of_silence_are_not_the_models() -> None:
    (sentence,) = cautions(
        map(conversation_of, [interrupted(by="patience"), interrupted(by="patience")])
    )
    assert "all 6 decisions were made by silence alone" in sentence
    assert "None was made by a state token" in sentence


def test_some_decisions_of_silence_are_counted() -> None:
    (sentence,) = cautions(map(conversation_of, [interrupted(by="patience"), interrupted()]))
    assert "3 of 6 decisions" in sentence


@pytest.mark.parametrize(("ends", "expected"), [(None, 1), (Kind.ANSWER_END, 0)])
def test_a_system_that_talks_through_everything(ends: Kind | None, expected: int) -> None:
    story = Story("duplex")
    story.hears("Who was that?", 1.0)
    story.says("well " * 60, 0.0, ends=ends)
    sentences = cautions(map(conversation_of, [story.transcript()]))
    assert len(sentences) == expected
    assert all("duplex: it never ended an answer" in sentence for sentence in sentences)
