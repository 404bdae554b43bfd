"""Say in words what a page is about, what was found, and how each number came to be.

A finding is one sentence for each question that a reader comes with. It gives counts, so that one
from a single case is seen to be one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import Any

from duo.escape import clean
from duo.runs import Manifest
from duo.transcript import Transcript
from evaluation.cases import Outcome
from evaluation.interaction.bootstrap import Figure
from evaluation.interaction.results import Interaction, SystemFigures
from evaluation.scores import States
from reports.kinds import KINDS
from reports.page.collect import Evidence, Piece
from reports.page.conversations import Costs
from reports.statistics.analysis import StudyResult
from reports.table1 import Table1

#: More scenarios than these are counted, not named.
_NAMED = 8


def title(evidence: Evidence) -> str:
    """Say in a line what the page is about."""
    heads = [transcript.header for transcript in evidence.transcripts]
    parts = []
    if heads:
        parts.append(_counted(len({head.system for head in heads}), "assistant"))
        parts.append(_counted(len({head.scenario for head in heads}), "scripted conversation"))
    if raters := sum(study.content.everyone.raters for study in evidence.of("ratings")):
        parts.append(_counted(raters, "rater"))
    for table in evidence.of("benchmarks"):
        there = {one.benchmark for one in table.content.ours if one.value is not None}
        parts.append(_counted(len(there), "benchmark"))
    others = ("states", "probe", "interaction", "sweep", "training", "decoding")
    titles = (KINDS[kind].title for kind in others if evidence.of(kind))
    return ", ".join(parts) or next(titles, "Report")


def facts(evidence: Evidence) -> dict[str, str]:
    """Say what was run, name and value."""
    found = _facts_of_transcripts(evidence.transcripts)
    for study in evidence.of("ratings"):
        everyone = study.content.everyone
        found["Ratings"] = (
            f"{everyone.ratings:,} by {_counted(everyone.raters, 'rater')} "
            f"of {_counted(everyone.dialogues, 'dialogue')}"
        )
    for table in evidence.of("benchmarks"):
        ours = [slot.ours for slot in table.content.slots if slot.ours is not None]
        found["Benchmarked"] = listed(ours)
    manifests = [manifest.content for manifest in evidence.manifests]
    made = listed(one.versions["duo-duplex"] for one in manifests if "duo-duplex" in one.versions)
    commits = listed(one.git_commit[:12] for one in manifests if one.git_commit)
    if made:
        found["Version of duo"] = f"{made} ({commits})" if commits else made
    return found


def _facts_of_transcripts(transcripts: Sequence[Transcript]) -> dict[str, str]:
    """Say what was run, by the headers of the transcripts."""
    heads = [transcript.header for transcript in transcripts]
    if not heads:
        return {}
    scenarios = list(dict.fromkeys(head.scenario for head in heads))
    lengths = {head.cycle_seconds for head in heads}
    cycles = (
        f"{lengths.pop():g} s"
        if len(lengths) == 1
        else listed(f"{head.system} {head.cycle_seconds:g} s" for head in heads)
    )
    return {
        "Model": listed(head.models for head in heads),
        "Systems": listed(head.system for head in heads),
        "Scenarios": listed(scenarios) if len(scenarios) <= _NAMED else str(len(scenarios)),
        "Seed": listed(str(head.seed) for head in heads),
        "Clock": listed(head.clock for head in heads),
        "Cycle": cycles,
    }


def notes(evidence: Evidence) -> Iterator[str]:
    """Say what to know before looking at numbers."""
    if broken := len(evidence.problems):
        things = "thing is" if broken == 1 else "things are"
        yield f"{broken} {things} broken and left out: see “What is missing or broken”."
    for study in evidence.of("ratings"):
        of = study.content
        if of.synthetic:
            yield f"{of.synthetic:,} ratings are synthetic: nobody gave them."
        if 0 < of.kept.raters < 3:
            few = _counted(of.kept.raters, "rater")
            yield f"Only {few}: nothing can be said of people in general."
        if of.excluded:
            out = _counted(len(of.excluded), "rater")
            yield f"{out} left out by the rules: results with and without are shown."
    for table in evidence.of("benchmarks"):
        here = {number.coverage for number in table.content.ours}
        if "smoke" in here:
            yield "Benchmarks marked smoke are a few items of our own, not the benchmark."
        if "limited" in here:
            yield "Benchmarks marked limited were run on a part of their items."


def listed(values: Iterable[str]) -> str:
    """Join values, each once, with commas."""
    return ", ".join(dict.fromkeys(values))


def _counted(number: int, thing: str) -> str:
    """Write a number of things: `1 rater`, `2 raters`."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


# ---- what was found

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
            yield f"{what}: {_counts(known)}."
    waits = {
        name: f"{figure.value:.1f} s at {name}{' (one answer)' if figure.n == 1 else ''}"
        for name, one in systems.items()
        if (latency := one.response_latency.get("seconds"))
        and (figure := latency.p50).value is not None
    }
    if waits:
        said = "; ".join(waits.values())
        yield f"Wait between a question and its answer, in half of the cases at most: {said}."


def _counts(known: Mapping[str, Figure]) -> str:
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


# ---- how each number came to be

_LONGEST = 160
_ABSOLUTE = re.compile(r"^(?:/|[A-Za-z]:[\\/]|~)")


@dataclass(frozen=True)
class Origin:
    """The origin of files.

    Attributes:
        name: of the manifest, or of the one file that says it of itself.
        command: a command line; "" if nothing says it.
        facts: versions, machine, seeds and settings, name and value.
        files: the files below it that the page rests on, each with its SHA-256.
    """

    name: str
    command: str
    facts: Mapping[str, str]
    files: tuple[tuple[str, str], ...]


def origins(evidence: Evidence) -> list[Origin]:
    """List all files that the page rests on, by the manifest that stands nearest above each."""
    manifests = {str(PurePosixPath(one.name).parent): one for one in evidence.manifests}
    kinds = {name: (kind, piece) for kind, piece in evidence.all for name in piece.files}
    below: dict[str, list[str]] = {one.name: [] for one in evidence.manifests}
    alone = []
    for name in evidence.digests:
        above = (str(parent) for parent in PurePosixPath(name).parents)
        nearest = next((manifests[parent] for parent in above if parent in manifests), None)
        own = _own_command(*kinds[name], name)
        if own or nearest is None:
            alone.append(Origin(name, own, _own_facts(kinds[name][1]), _hashed(evidence, [name])))
        else:
            below[nearest.name].append(name)
    found = []
    for one in evidence.manifests:
        command = _command(one.content.command) if one.content.command else ""
        files = _hashed(evidence, below[one.name])
        found.append(Origin(one.name, command, _facts(one.content), files))
    return [*found, *_together(alone)]


def _hashed(evidence: Evidence, names: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, evidence.digests[name]) for name in names)


def _together(alone: list[Origin]) -> Iterator[Origin]:
    """Put files that nothing is known of into one."""
    yield from (one for one in alone if one.command or one.facts)
    silent = [file for one in alone if not (one.command or one.facts) for file in one.files]
    if silent:
        yield Origin("", "", {}, tuple(silent))


def _command(words: Iterable[Any]) -> str:
    return shlex.join(["duo", *(_short(str(word)) for word in words)])


def _short(word: str) -> str:
    """Shorten a word of a command: of a path from a machine's root only the end is kept."""
    head, equals, tail = word.rpartition("=")
    if not _ABSOLUTE.match(tail):
        return word
    return f"{head}{equals}…/{PurePath(tail.replace(chr(92), '/')).name}"


def _facts(manifest: Manifest) -> dict[str, str]:
    """List what a manifest says, without dates and times."""
    facts = {
        "versions": _named(manifest.versions),
        "commit": manifest.git_commit or "",
        "hardware": _named(manifest.hardware),
    }
    for name, value in manifest.facts.items():
        if name != "transcripts":  # their hashes are on the page
            facts[name.replace("_", " ")] = _text(value)
    return {name: text for name, text in facts.items() if text}


def _own_facts(piece: Piece[Any]) -> dict[str, str]:
    versions = getattr(piece.content, "versions", None)
    return {"versions": _named(versions)} if versions and not piece.computed else {}


def _own_command(kind: str, piece: Piece[Any], name: str) -> str:
    """Give the command of a file which says itself how it was made; "" for the others."""
    words_of = KINDS[kind].own_command
    if piece.computed or words_of is None:
        return ""
    return _command([*words_of(piece.content), "--out", name])


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in values.items())


def _text(value: Any) -> str:
    """Write a value in a line; what is longer is cut, for the manifest has it whole."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, dict):
        text = ", ".join(f"{name}: {_text(inner) or '–'}" for name, inner in value.items())
    elif isinstance(value, list):
        text = ", ".join(_text(inner) for inner in value)
    else:
        text = _short(str(value))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"
