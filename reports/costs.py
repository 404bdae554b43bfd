"""What a conversation cost and how it went, counted from its transcript."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from duo.files import whole_file
from duo.speech import conversation_of
from duo.table import clean
from duo.transcript import Transcript

#: The system that others are compared with.
REFERENCE = "turn-based"


@dataclass(frozen=True)
class Costs:
    """Counts of one conversation, or of several together.

    Attributes:
        seconds: length on the conversation's clock.
        forward_passes, tokens_processed: of the model, both channels together.
        answers: answers of the system; see `duo.speech`, as for all that follows.
        cut: answers that were given up for something the user said.
        interruptions: utterances of the user that began while an answer was being given.
        waits: seconds from the end of a query to the answer to it, one by one.
    """

    seconds: float = 0.0
    forward_passes: int = 0
    tokens_processed: int = 0
    answers: int = 0
    cut: int = 0
    interruptions: int = 0
    waits: tuple[float, ...] = ()

    @property
    def tokens_per_pass(self) -> float | None:
        """Tokens that a forward pass carried on average; None without a pass."""
        return self.tokens_processed / self.forward_passes if self.forward_passes else None

    @property
    def mean_wait(self) -> float | None:
        """Mean of `waits` in seconds; None if there was none."""
        return sum(self.waits) / len(self.waits) if self.waits else None

    def passes_relative_to(self, reference: Costs | None) -> float | None:
        """Forward passes as a multiple of the reference's; None if that is not known."""
        if reference is None or not reference.forward_passes:
            return None
        return self.forward_passes / reference.forward_passes

    def __add__(self, other: Costs) -> Costs:
        return Costs(
            self.seconds + other.seconds,
            self.forward_passes + other.forward_passes,
            self.tokens_processed + other.tokens_processed,
            self.answers + other.answers,
            self.cut + other.cut,
            self.interruptions + other.interruptions,
            self.waits + other.waits,
        )


def costs_of(transcript: Transcript) -> Costs:
    """Count one conversation."""
    found = conversation_of(transcript)
    return Costs(
        seconds=found.seconds,
        forward_passes=sum(cycle.forward_passes for cycle in found.cycles),
        tokens_processed=sum(cycle.tokens_processed for cycle in found.cycles),
        answers=len(found.answers),
        cut=sum(answer.ending == "cut" for answer in found.answers),
        interruptions=len(found.interruptions),
        waits=tuple(round(end - start, 3) for start, end in found.waits),
    )


def total_by_system(transcripts: Iterable[Transcript]) -> dict[str, Costs]:
    """All conversations of each system together, systems in the order of their first."""
    totals: dict[str, Costs] = {}
    for transcript in transcripts:
        name = transcript.header.system
        totals[name] = totals.get(name, Costs()) + costs_of(transcript)
    return totals


def write_costs(path: Path, transcripts: Sequence[Transcript]) -> None:
    """Write a CSV with a line for each conversation, and what each cost relative to `REFERENCE`.

    Raises:
        BadInput: the file cannot be written.
    """
    counted = [(transcript.header, costs_of(transcript)) for transcript in transcripts]
    references = {head.scenario: costs for head, costs in counted if head.system == REFERENCE}
    with whole_file(path) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(
            (
                "scenario", "system", "seconds", "forward_passes", "tokens_processed",
                "tokens_per_pass", f"passes_relative_to_{REFERENCE}", "answers", "cut",
                "interruptions", "mean_wait_seconds",
            )
        )  # fmt: skip
        for head, costs in counted:
            table.writerow(
                (
                    clean(head.scenario), clean(head.system), f"{costs.seconds:.3f}",
                    costs.forward_passes, costs.tokens_processed, _number(costs.tokens_per_pass),
                    _number(costs.passes_relative_to(references.get(head.scenario))),
                    costs.answers, costs.cut, costs.interruptions, _number(costs.mean_wait),
                )
            )  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
