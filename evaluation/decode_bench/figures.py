"""From runs to figures: counts, which are exact, and times, which are medians with their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from evaluation.decode_bench.drive import Cycle, Response, Run, Shape, responses
from evaluation.decode_bench.script import Script

Figures = dict[str, Any]


@dataclass(frozen=True)
class Round:
    """What one system did in one round.

    Attributes:
        talk, quiet: the conversation and its quiet twin.
        peak_bytes: of memory in `talk`; None if unknown.
    """

    talk: Run
    quiet: Run
    peak_bytes: int | None


@dataclass(frozen=True)
class Course:
    """The conversations that were run, and a system's clock.

    Attributes:
        talk, quiet: the scripts.
        length: seconds of a cycle.
    """

    talk: Script
    quiet: Script
    length: float

    def over_the_answer(self, run: Run) -> list[Cycle]:
        """The cycles of either run in which the talker of the two is heard over an answer."""
        starts = [number * self.length for number in range(len(run.cycles))]
        return [
            cycle
            for start, cycle in zip(starts, run.cycles, strict=True)
            if self.talk.heard(start - self.length, start)
            != self.quiet.heard(start - self.length, start)
        ]


def spread(values: Sequence[float]) -> Figures:
    """Median, least and greatest of the rounds' values."""
    return {"median": median(values), "low": min(values), "high": max(values)}


def alone(run: Run) -> tuple[int, float]:
    """Tokens and seconds of the answer while nobody speaks, its first cycle left out."""
    speaking = [cycle for cycle in run.cycles if cycle.spoken and not cycle.heard][1:]
    return sum(cycle.spoken for cycle in speaking), sum(cycle.seconds for cycle in speaking)


def system_figures(rounds: Sequence[Round], course: Course) -> Figures:
    """The figures of one system.

    Counts are those of the first round: greedy decoding repeats them exactly.

    Returns:
        `counts` of forward passes, of the tokens they carried and of tokens spoken, for the whole
        conversation and for the part where the user is heard over the answer (`listening`); what
        follows from them; `tokens_per_second` while nobody speaks (`alone`), where the user is
        heard over the answer (`listening`), and for the same tokens without that (`quiet`);
        `listening_rate`, the ratio of the last two; `response` to each query, None where there was
        none in time. Times are `spread`s.
    """
    first = rounds[0]
    counts = {
        "all": _counts(first.talk.cycles),
        "listening": _counts(course.over_the_answer(first.talk)),
        "quiet": _counts(course.over_the_answer(first.quiet)),
    }
    rates = [_rates(one, course) for one in rounds]
    peaks = [one.peak_bytes for one in rounds if one.peak_bytes is not None]
    every = counts["all"]
    return {
        "counts": counts,
        "passes_per_token": _ratio(every["passes"], every["spoken"]),
        "passes_per_token_listening": _ratio(
            counts["listening"]["passes"], counts["listening"]["spoken"]
        ),
        "tokens_per_pass": _ratio(every["tokens"], every["passes"]),
        "tokens_per_second": {
            name: spread([rate[name] for rate in rates]) for name in ("alone", "listening", "quiet")
        },
        "listening_rate": spread([rate["listening"] / rate["quiet"] for rate in rates]),
        "wall_seconds": spread([one.talk.seconds for one in rounds]),
        "peak_memory_bytes": max(peaks, default=None),
        "cache_bytes": max(one.talk.cache_bytes for one in rounds),
        "response": _responses(rounds, course),
    }


def _counts(cycles: Sequence[Cycle]) -> dict[str, int]:
    return {
        "passes": sum(cycle.passes for cycle in cycles),
        "tokens": sum(cycle.tokens for cycle in cycles),
        "spoken": sum(cycle.spoken for cycle in cycles),
    }


def _ratio(over: float, under: float) -> float | None:
    return over / under if under else None


def _rates(one: Round, course: Course) -> dict[str, float]:
    tokens, seconds = alone(one.quiet)
    rates = {"alone": tokens / seconds}
    for name, run in (("listening", one.talk), ("quiet", one.quiet)):
        cycles = course.over_the_answer(run)
        rates[name] = sum(c.spoken for c in cycles) / sum(c.seconds for c in cycles)
    return rates


def _responses(rounds: Sequence[Round], course: Course) -> list[Figures | None]:
    """One entry for each query of the talk."""
    by_round = [responses(one.talk, course.talk, course.length) for one in rounds]
    return [_response(same) for same in zip(*by_round, strict=True)]


def _response(same: Sequence[Response | None]) -> Figures | None:
    """One response in all rounds."""
    found = [response for response in same if response is not None]
    if not found:
        return None
    return {
        "passes": found[0].passes,
        "passes_after_decision": found[0].after_decision,
        "cycles": found[0].cycles,
        "seconds": spread([response.seconds for response in found]),
    }


def shapes(one: Round, course: Course) -> set[Shape]:
    """The forward passes of a system where the user is heard over the answer, and in its twin.

    Returns:
        Nothing if some of its steps take more than one pass: how their tokens are divided among
        these is the system's own.
    """
    cycles = [*course.over_the_answer(one.talk), *course.over_the_answer(one.quiet)]
    steps = [step for cycle in cycles for step in cycle.steps if step.passes]
    return {step.shape for step in steps} if all(step.passes == 1 for step in steps) else set()


def rate_of_products(one: Round, course: Course, seconds: Mapping[Shape, float]) -> float:
    """The share of its tokens a second that a system would keep if its products were all it did.

    Args:
        one: round of a system.
        course: what was run.
        seconds: of the products of each forward pass, see `shapes`.
    """
    rates = []
    for run in (one.talk, one.quiet):
        cycles = course.over_the_answer(run)
        took = sum(seconds[step.shape] for c in cycles for step in c.steps if step.passes)
        rates.append(sum(c.spoken for c in cycles) / took)
    return rates[0] / rates[1]


def against_sequential(
    fused: Sequence[Round], sequential: Sequence[Round], course: Course
) -> Figures:
    """How much more the published scheme takes where it listens while it speaks.

    Both systems had the same cycles, and the rounds are compared one by one.
    """
    passes, seconds = [], []
    for one, other in zip(fused, sequential, strict=True):
        mine, its = course.over_the_answer(one.talk), course.over_the_answer(other.talk)
        passes.append(sum(c.passes for c in its) / sum(c.passes for c in mine))
        seconds.append(sum(c.seconds for c in its) / sum(c.seconds for c in mine))
    return {"passes": passes[0], "seconds": spread(seconds)}
