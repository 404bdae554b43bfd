"""Sentences that say what the model did not do by itself."""

from __future__ import annotations

import pytest

from duo.decoding.conversant import Kind
from reports.cautions import cautions
from tests.reports.stories import Story, interrupted, waiting


def test_nothing_is_said_of_a_model_that_says_its_state_tokens() -> None:
    assert cautions([interrupted()]) == []


def test_nothing_is_said_of_a_system_that_is_made_to_wait_for_silence() -> None:
    assert cautions([waiting()]) == []


def test_decisions_of_silence_are_not_the_models() -> None:
    (sentence,) = cautions([interrupted(by="patience"), interrupted(by="patience")])
    assert "all 6 decisions were made by silence alone" in sentence
    assert "None was made by a state token" in sentence


def test_some_decisions_of_silence_are_counted() -> None:
    (sentence,) = cautions([interrupted(by="patience"), interrupted()])
    assert "3 of 6 decisions" in sentence


@pytest.mark.parametrize(("ends", "expected"), [(None, 1), (Kind.ANSWER_END, 0)])
def test_a_system_that_talks_through_everything(ends: Kind | None, expected: int) -> None:
    story = Story("duplex")
    story.hears("Who was that?", 1.0)
    story.says("well " * 60, 0.0, ends=ends)
    sentences = cautions([story.transcript()])
    assert len(sentences) == expected
    assert all("duplex: it never ended an answer" in sentence for sentence in sentences)
