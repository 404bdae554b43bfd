"""Counts of conversations, and the table behind the page."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given

from duo.transcript import Transcript
from reports.costs import Costs, costs_of, total_by_system, write_costs
from tests.reports.random_talk import transcripts
from tests.reports.stories import interrupted, waiting


def test_counts_of_a_conversation() -> None:
    costs = costs_of(interrupted())
    assert (costs.answers, costs.cut, costs.interruptions) == (2, 1, 2)
    cycles = list(interrupted().of("cycle"))
    assert (costs.forward_passes, costs.tokens_processed) == (4 * len(cycles), 6 * len(cycles))
    assert costs.tokens_per_pass == 1.5
    assert costs.mean_wait == pytest.approx(
        (2 / 3 + 11 / 12) / 2, abs=0.001
    )  # the metrics' latency


@given(transcripts())
def test_counts_are_those_of_the_events(transcript: Transcript) -> None:
    costs = costs_of(transcript)
    assert costs.forward_passes == sum(e.forward_passes or 0 for e in transcript.of("cycle"))
    assert 0 <= costs.cut <= min(costs.answers, len(list(transcript.of("cut", "respond"))))
    assert all(wait >= 0 for wait in costs.waits)
    assert total_by_system([transcript, transcript])[transcript.header.system] == costs + costs


def test_without_a_pass_there_is_no_ratio() -> None:
    assert Costs().tokens_per_pass is None
    assert Costs().mean_wait is None
    assert Costs(forward_passes=3).passes_relative_to(Costs()) is None
    assert Costs(forward_passes=3).passes_relative_to(None) is None


def test_the_csv_relates_each_conversation_to_the_turn_based_one(tmp_path: Path) -> None:
    stories = [interrupted(), waiting()]
    write_costs(tmp_path / "a.csv", stories)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        duo, turns = csv.DictReader(stream)
    assert (duo["system"], turns["system"]) == ("duo", "turn-based")
    assert turns["passes_relative_to_turn-based"] == "1.0000"
    ratio = int(duo["forward_passes"]) / int(turns["forward_passes"])
    assert float(duo["passes_relative_to_turn-based"]) == pytest.approx(ratio, abs=1e-4)
    assert duo["cut"] == "1"
