"""The page about a run: one HTML file, put together of sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from duo.transcript import Transcript
from reports.builder import player
from reports.builder.evidence import Evidence
from reports.builder.pictures import Drawn
from reports.builder.sections import (
    TITLES,
    fork_section,
    missing_section,
    reproduce_section,
    result_section,
    tables_of,
)
from reports.cautions import cautions
from reports.page import (
    build_page,
    costs_section,
    counted,
    facts_of,
    listed,
    scenario_section,
)
from reports.table1.grid import Grid

#: So many scenarios are shown, each with so many systems, if nobody asks for more: a browser shall
#: open the page at once. Numbers are of all.
SCENARIOS, SYSTEMS = 12, 6

#: Results that stand before the conversations themselves; the others stand after them.
ABOUT_CONVERSATIONS = ("ratings", "interaction", "sweep")

#: By kind and by the name of a piece.
Tables = Mapping[str, Mapping[str, list[Grid]]]


def all_tables(evidence: Evidence) -> Tables:
    """Every result as tables."""
    return {
        kind: {piece.name: tables_of(kind, piece) for piece in evidence.by_kind[kind]}
        for kind in TITLES
    }


def page_of(
    evidence: Evidence,
    drawn: Sequence[Drawn] = (),
    tables: Tables | None = None,
    *,
    scenarios: int = SCENARIOS,
) -> str:
    """The page; the same evidence gives the same text.

    Args:
        evidence: what was read.
        drawn: its charts.
        tables: its tables; made here if they are not there.
        scenarios: how many are shown in pictures and can be played.
    """
    tables = all_tables(evidence) if tables is None else tables
    results = {
        kind: result_section(
            kind, evidence.by_kind[kind], drawn, {k: list(v) for k, v in tables[kind].items()}
        )
        for kind in TITLES
        if evidence.by_kind[kind]
    }
    sections = [results.pop(kind) for kind in ABOUT_CONVERSATIONS if kind in results]
    shown, left_out = _shown(evidence.transcripts, scenarios)
    if evidence.talks:
        sections.append(costs_section(evidence.transcripts))
    for number, (name, held) in enumerate(shown.items(), start=1):
        played = player.player(held, key=f"player-{number}")
        sections.append(scenario_section(number, name, held, played))
    forks = [one for one in drawn if one.piece in evidence.talks]
    sections += map(fork_section, forks)
    sections += results.values()
    sections += [missing_section(evidence), reproduce_section(evidence)]
    return build_page(
        title(evidence),
        facts=facts(evidence),
        notes=[*_cautions(evidence), *left_out],
        sections=sections,
        conversations=bool(shown),
    )


def title(evidence: Evidence) -> str:
    """What the page is about, in a line."""
    heads = [transcript.header for transcript in evidence.transcripts]
    parts = []
    if heads:
        parts.append(counted(len({head.system for head in heads}), "dialogue system"))
        parts.append(counted(len({head.scenario for head in heads}), "scripted user"))
    if raters := sum(study.content.everyone.raters for study in evidence.studies):
        parts.append(counted(raters, "rater"))
    for table in evidence.benchmarks:
        there = {row.benchmark.id for row in table.content.rows if row.present}
        parts.append(counted(len(there), "benchmark"))
    others = ("states", "probe", "interaction", "sweep", "training", "decoding")
    return ", ".join(parts) or next(
        (TITLES[kind] for kind in others if evidence.by_kind[kind]), "Report"
    )


def facts(evidence: Evidence) -> dict[str, str]:
    """What was run, in a few words."""
    found = facts_of(evidence.transcripts) if evidence.talks else {}
    for study in evidence.studies:
        everyone = study.content.everyone
        found["Ratings"] = (
            f"{everyone.ratings:,} by {counted(everyone.raters, 'rater')} "
            f"of {counted(everyone.dialogues, 'dialogue')}"
        )
    for table in evidence.benchmarks:
        ours = [slot.column for slot in table.content.slots if slot.column is not None]
        found["Benchmarked"] = listed(ours)
    contents = [manifest.content for manifest in evidence.manifests]
    versions = [one.get("versions") for one in contents]
    made = listed(str(one["duo-duplex"]) for one in versions if one and "duo-duplex" in one)
    commits = listed(str(one["git_commit"])[:12] for one in contents if one.get("git_commit"))
    if made:
        found["Version of duo"] = f"{made} ({commits})" if commits else made
    return found


def _cautions(evidence: Evidence) -> Iterator[str]:
    """What to know before looking at numbers."""
    if broken := len(evidence.problems):
        things = "thing is" if broken == 1 else "things are"
        yield f"{broken} {things} broken and left out: see “What is missing or broken”."
    for study in evidence.studies:
        of = study.content
        if of.synthetic:
            yield f"{of.synthetic:,} ratings are synthetic: nobody gave them."
        if 0 < of.kept.raters < 3:
            few = counted(of.kept.raters, "rater")
            yield f"Only {few}: nothing can be said of people in general."
        if of.excluded:
            out = counted(len(of.excluded), "rater")
            yield f"{out} left out by the rules: results with and without are shown."
    for table in evidence.benchmarks:
        here = {cell.first.coverage for row in table.content.rows for cell in row.present}
        if "smoke" in here:
            yield "Benchmarks marked smoke are a few items of our own, not the benchmark."
        if "limited" in here:
            yield "Benchmarks marked limited were run on a part of their items."
    yield from cautions(evidence.transcripts)


def _shown(
    transcripts: Sequence[Transcript], limit: int
) -> tuple[dict[str, list[Transcript]], list[str]]:
    """The conversations that are drawn, by scenario; and what is said of the others."""
    held: dict[str, list[Transcript]] = {}
    for transcript in transcripts:
        held.setdefault(transcript.header.scenario, []).append(transcript)
    shown = {name: held[name][:SYSTEMS] for name in list(held)[:limit]}
    notes = []
    if len(held) > limit:
        notes.append(
            f"Of {len(held)} scenarios the first {limit} are drawn below; numbers are of all."
        )
    if any(len(all_) > SYSTEMS for all_ in held.values()):
        notes.append(f"Of each scenario {SYSTEMS} conversations at most are drawn below.")
    return shown, notes
