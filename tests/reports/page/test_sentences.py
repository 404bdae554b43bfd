"""What was found, in words: counts of what was measured, and nothing else."""

from __future__ import annotations

from pathlib import Path

from duo.reading import conversation_of
from reports.page.collect import Evidence, Piece, collect
from reports.page.conversations import costs_by_system
from reports.page.sentences import caution, findings
from tests.reports.page.runs import write_states, write_talks
from tests.reports.stories import interrupted


def test_each_sentence_has_its_counts(tmp_path: Path) -> None:
    write_talks(tmp_path)
    write_states(tmp_path / "states.json", n=40)
    evidence = collect([tmp_path])
    said = findings(evidence, costs_by_system(map(conversation_of, evidence.transcripts)))
    assert "Questions that got no answer: none of 2 at duo; none of 2 at turn-based." in said
    assert "Answers that a remark ended: none of 1 at duo" in " ".join(said)
    (states,) = [piece.content for piece in evidence.of("states")]
    asked = states.confusion["respond"]
    decided = next(line for line in said if line.startswith("By its state tokens"))
    assert f" {asked['respond']} of {sum(asked.values())} questions" in decided
    assert list(caution(evidence)) == [
        "Some figures rest on one case: they show how the assistants differ, not how often."
    ]


def test_nothing_is_said_of_what_nobody_measured() -> None:
    assert findings(Evidence(), {}) == []
    assert list(caution(Evidence(recordings=(Piece(interrupted()),)))) == []
