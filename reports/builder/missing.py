"""What a run does not hold, and the command that would make it."""

from __future__ import annotations

from dataclasses import dataclass

from reports.builder.evidence import Evidence

#: By kind of result: what it is called, what it tells, and how to get it.
_WANTED = {
    "transcripts": (
        "Transcripts",
        "what was said, and when",
        "duo record --systems duo,duplex,turn-based --scenario suite:dev --out RUN",
    ),
    "interaction": (
        "Interaction",
        "takeovers, interruptions, latencies: counted from transcripts",
        "duo record --scenario suite:dev --out RUN",
    ),
    "ratings": (
        "Ratings",
        "which system people prefer",
        "duo study create --transcripts RUN --systems duo,duplex --out RUN/study",
    ),
    "benchmarks": (
        "Benchmarks",
        "the paper's Table 1",
        "duo eval benchmarks RUN/benchmarks --limit 100",
    ),
    "states": (
        "Decisions",
        "whether the model tells queries from other talk",
        "duo eval states MODEL validation.jsonl --out RUN/states.json",
    ),
    "sweep": (
        "Sweep",
        "how settings such as the lookahead matter",
        "duo bench sweep sweep.yaml --out RUN/sweep",
    ),
    "training": ("Training", "learning curves", "duo train --data DATA --out RUN/model"),
    "decoding": (
        "Cost of decoding",
        "passes, speed and memory",
        "duo bench decode --out RUN/decode.json",
    ),
}


@dataclass(frozen=True)
class Missing:
    """A kind of result that is not there."""

    name: str
    what: str
    command: str


def missing(evidence: Evidence) -> list[Missing]:
    """What is not there, in the order in which one would make it."""
    there = {kind for kind, pieces in evidence.by_kind.items() if pieces}
    return [Missing(*told) for kind, told in _WANTED.items() if kind not in there]
