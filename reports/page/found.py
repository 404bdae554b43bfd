"""Say in words what was found: one sentence for each question that a reader comes with.

Each sentence gives counts, so that a finding from one case is seen to be one. Apart from the page,
which says where the sentences stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from duo.escape import clean
from evaluation.cases import Outcome
from evaluation.interaction.results import Figure, Interaction, SystemFigures
from evaluation.scores import States
from reports.page.collect import Evidence
from reports.page.conversations import Costs
from reports.statistics.analysis import StudyResult
from reports.table1 import Table1

#: Fewer cases than this say how something looks, not how often it happens.
FEW = 10

_SHARES: Mapping[str, Callable[[SystemFigures], Figure | None]] = {
    "Questions that got no answer": lambda one: one.missed_queries,
    "Answers that a remark ended": lambda one: one.false_interruptions,
    "Pauses taken for the end of a question": lambda one: one.takeover.get("pause"),
    "Requests to stop that were obeyed": lambda one: one.stops_obeyed,
}


def caution(evidence: Evidence) -> Iterator[str]:
    """Say that figures of conversations rest on a few cases, if they do."""
    counts = [
        figure.n
        for found in evidence.of("interaction")
        for one in found.content.systems.values()
        for of in _SHARES.values()
        if (figure := of(one)) and figure.n
    ]
    if counts and min(counts) < FEW:
        few = "one case" if min(counts) == 1 else "a few cases"
        yield f"Some figures rest on {few}: they show how the assistants differ, not how often."


def findings(evidence: Evidence, costs: Mapping[str, Costs]) -> list[str]:
    """Say what was found, a sentence each; nothing is said of what nobody measured."""
    said = [line for one in evidence.of("ratings") for line in _preferred(one.content)]
    for one in evidence.of("interaction"):
        said += _conversed(one.content)
    said += _cost(costs)
    said += [line for one in evidence.of("states") for line in _decided(one.content)]
    return said + [line for one in evidence.of("benchmarks") for line in _scored(one.content)]


def _preferred(study: StudyResult) -> Iterator[str]:
    """Say whom raters preferred on the last criterion, the overall one in the paper."""
    for one in study.kept.criteria[-1:]:
        for pair in one.comparisons:
            first, second = clean(pair.first), clean(pair.second)
            votes, wins = sum(pair.votes.values()), pair.votes.get("win", 0)
            if votes:
                yield (
                    f"Raters preferred {first} to {second} ({clean(pair.criterion)}) in {wins} of "
                    f"{votes} votes, and {second} to {first} in {pair.votes.get('loss', 0)}."
                )


def _conversed(found: Interaction) -> Iterator[str]:
    """Say how each assistant dealt with questions, remarks, pauses and being told to stop."""
    systems = {clean(name): one for name, one in found.systems.items()}
    for what, of in _SHARES.items():
        known = {name: figure for name, one in systems.items() if (figure := of(one)) and figure.n}
        if known:
            yield f"{what}: {_listed(known)}."
    waits = {
        name: f"{figure.value:.1f} s at {name}{' (one answer)' if figure.n == 1 else ''}"
        for name, one in systems.items()
        if (latency := one.response_latency.get("seconds"))
        and (figure := latency.p50).value is not None
    }
    if waits:
        said = "; ".join(waits.values())
        yield f"Wait between a question and its answer, in half of the cases at most: {said}."


def _listed(known: Mapping[str, Figure]) -> str:
    return "; ".join(
        f"{round((figure.value or 0) * figure.n) or 'none'} of {figure.n} at {name}"
        for name, figure in known.items()
    )


def _cost(costs: Mapping[str, Costs]) -> Iterator[str]:
    passes = {
        name: one.forward_passes / one.seconds
        for name, one in costs.items()
        if one.forward_passes and one.seconds
    }
    if passes:
        said = "; ".join(f"{value:.1f} at {clean(name)}" for name, value in passes.items())
        yield f"Forward passes of the model for each second of conversation: {said}."


def _decided(found: States) -> Iterator[str]:
    names: dict[Outcome, str] = {"respond": "questions", "ignore": "remarks"}
    wanted = {name: found.confusion.get(state, {}) for state, name in names.items()}
    right = {name: wanted[name].get(state, 0) for state, name in names.items()}
    parts = [
        f"{right[name]} of {sum(counts.values())} {name}"
        for name, counts in wanted.items()
        if sum(counts.values())
    ]
    if parts:
        yield f"By its state tokens, {clean(found.model)} decided rightly on {' and '.join(parts)}."


def _scored(found: Table1) -> Iterator[str]:
    """Say the mean of what each column of ours got, over the benchmarks that all of them have."""
    values: dict[str, dict[str, float]] = {}
    for one in found.ours:
        if one.value is not None and one.average is None:
            values.setdefault(clean(one.column), {}).setdefault(one.benchmark, one.value)
    shared = set.intersection(*map(set, values.values())) if values else set()
    if shared:
        items = [one.n for one in found.ours if one.benchmark in shared and one.n is not None]
        many = f", {min(items)} items or more of each" if items else ""
        means = {name: sum(of[b] for b in shared) / len(shared) for name, of in values.items()}
        said = "; ".join(f"{100 * mean:.0f} % at {name}" for name, mean in means.items())
        of = "one benchmark" if len(shared) == 1 else f"{len(shared)} benchmarks"
        few = " That is too little to compare models by." if items and min(items) < 10 * FEW else ""
        yield f"Mean accuracy on {of}{many}: {said}.{few}"
