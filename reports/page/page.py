"""Write the page about a run: one HTML file, self-contained, the same bytes for the same input.

A page begins with a sentence, a picture and a conversation that can be played; then it says in
words what was found, and shows figures, the other conversations and, folded, tables; at the end
stand what is missing and where all is from. Each section is made from one of `templates`. All
text is escaped by the templates and by `Table.html`, and pictures are SVG that takes its colours
from the page. The one script plays conversations; no other can run. What differs from run to run
(dates, times) is not shown: the run's manifest has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from duo.escape import clean
from duo.reading import conversation_of
from duo.table import Table
from duo.transcript import Transcript
from reports.page import player
from reports.page.collect import Evidence, Piece
from reports.page.conversations import (
    Costs,
    cautions,
    costs_by_system,
    costs_of,
    costs_table,
    lines_of,
)
from reports.page.found import caution, findings
from reports.page.kinds import KINDS
from reports.page.reproduce import origins
from reports.plots.scene import Scene, paint
from reports.plots.style import DESK, PHONE, inline_svg, palette_css, svg_text
from reports.plots.timeline import compose, overview, telling_part

if TYPE_CHECKING:
    from reports.plots.chart import Chart

#: This many scenarios are shown, each with this many systems, if nobody asks for more: a browser
#: shall open the page at once. Numbers are of all.
SCENARIOS, SYSTEMS = 12, 6
#: Results that stand before the others.
_ABOUT_CONVERSATIONS = ("ratings", "interaction", "sweep")
#: From more files than these, a section says how many there are.
_NAMED = 3
#: More scenarios than these are counted, not named.
_FEW = 8
#: Width in points of a picture that two of stand side by side on a desk's screen.
_HALF_DESK = 350.0

#: By kind and by the name of a piece.
Tables = Mapping[str, Mapping[str, Sequence[Table]]]


@dataclass(frozen=True)
class Drawn:
    """A chart and the result that it shows."""

    chart: Chart
    piece: Piece[Any]


@dataclass(frozen=True)
class Section:
    """A part of a page: `anchor` is a word that is unique in it."""

    anchor: str
    title: str
    body: Markup


@dataclass(frozen=True)
class _Picture:
    """A chart as the page shows it: the picture twice, its caption, its numbers."""

    chart: Chart

    @property
    def svg(self) -> Markup:
        chart = self.chart
        return Markup("").join(
            _inline(chart.draw(width), f"{chart.name}-{name}", f"{chart.title}. {chart.caption}",
                    f"figure chart {name}")
            for name, width in (("wide", _HALF_DESK), ("narrow", PHONE))
        )  # fmt: skip

    @property
    def numbers(self) -> Table:
        return replace(self.chart.table, notes=())  # the caption is beside the picture


def all_tables(evidence: Evidence) -> Tables:
    """Tabulate every result."""
    return {
        kind: {piece.name: of.tables_of(piece.content) for piece in evidence.of(kind)}
        for kind, of in KINDS.items()
        if of.title
    }


def page_of(
    evidence: Evidence,
    drawn: Sequence[Drawn] = (),
    tables: Tables | None = None,
    *,
    scenarios: int = SCENARIOS,
) -> str:
    """Write the page; the same evidence gives the same text.

    Args:
        tables: its tables; made here if they are not there.
        scenarios: how many are shown in pictures and can be played.
    """
    tables = all_tables(evidence) if tables is None else tables
    conversations = [conversation_of(transcript) for transcript in evidence.transcripts]
    costs = costs_by_system(conversations)
    shown, left_out = shown_of(evidence.transcripts, scenarios)
    sounds = evidence.sounds
    sections = [
        _section(
            "found", "What was found", sentences=findings(evidence, costs),
            notes=[*_notes(evidence), *caution(evidence), *cautions(conversations), *left_out],
            facts=_facts(evidence),
        )
    ]  # fmt: skip
    order = [*_ABOUT_CONVERSATIONS, *(kind for kind in tables if kind not in _ABOUT_CONVERSATIONS)]
    sections += [_result_section(kind, evidence, drawn) for kind in order if evidence.of(kind)]
    sections += [_fork_section(one) for one in drawn if one.piece in evidence.recordings]
    for number, (name, held) in enumerate(shown.items(), start=1):
        sections.append(_scenario_section(number, name, held, sounds))
    sections += [
        _tables_section(evidence, tables, order, costs, shown),
        _section(
            "missing", "What is missing or broken", evidence=evidence,
            missing=[of.missing for kind, of in KINDS.items()
                     if of.missing and not evidence.of(kind)],
        ),
        _section("reproduce", "How to reproduce each number", origins=origins(evidence)),
    ]  # fmt: skip
    page = _render(
        "page",
        title=_title(evidence),
        opening=_opening(next(iter(shown.values())), sounds) if shown else "",
        sections=[section for section in sections if section.body],
        conversations=bool(shown),  # without, the page has no script
        sounds=bool(sounds),
        player=player,
    )
    return page + "\n"


# ---- sections


def _section(template: str, title: str, anchor: str = "", **values: Any) -> Section:
    return Section(anchor or template, title, Markup(_render(template, **values)))


def _opening(held: Sequence[Transcript], sounds: Collection[str]) -> Markup:
    """Begin the page: one sentence, one picture, and one conversation that can be played."""
    talks = [conversation_of(transcript) for transcript in held]
    talk = next((one for one in talks if one.decides), talks[0])
    start, end = telling_part(talk)
    pictures = _for_screens(
        partial(compose, [talk], start=start, end=end),
        "opening",
        f"A part of {talk.scenario} with {talk.system}, word by word",
    )
    return Markup(
        _render(
            "opening", talk=talk, start=start, end=end, picture=pictures,
            systems=[one.system for one in talks],
            played=player.player(held, key="player-1", sounds=sounds),
        )
    )  # fmt: skip


def _for_screens(lay_out: Callable[..., Scene], prefix: str, label: str) -> Markup:
    """Draw a picture twice: for a desk's screen and for a phone's."""
    return Markup("").join(
        _inline(paint(lay_out(width=width)), f"{prefix}-{name}", label, f"figure {name}")
        for name, width in (("wide", DESK), ("narrow", PHONE))
    )


def _result_section(kind: str, evidence: Evidence, drawn: Sequence[Drawn]) -> Section:
    """Show all results of a kind in pictures, and say where they are from."""
    pieces = evidence.of(kind)
    results = [
        {
            "title": piece.name if len(pieces) > 1 else "",
            "pictures": [_Picture(one.chart) for one in drawn if one.piece is piece],
            "notes": piece.content.notices if kind == "ratings" else (),
            "source": _source(piece),
            "command": KINDS[kind].computed_by if piece.computed else "",
        }
        for piece in pieces
    ]
    return _section("result", KINDS[kind].title, kind, results=results)


def _fork_section(fork: Drawn) -> Section:
    """Show one fork of the run: which slots each token attends to."""
    result = {
        "title": "", "pictures": [_Picture(fork.chart)], "notes": (),
        "source": _source(fork.piece), "command": "",
    }  # fmt: skip
    title = "Two channels, one pass: who sees whom"
    return _section("result", title, "fork", results=[result])


def _scenario_section(
    number: int, name: str, transcripts: Sequence[Transcript], sounds: Collection[str]
) -> Section:
    """Show one scenario: who speaks when, all systems to be played, and all words in a picture."""
    anchor = f"scenario-{number}"
    held = [conversation_of(transcript) for transcript in transcripts]
    systems = _listed(one.system for one in held)
    pictures = {
        picture: _for_screens(partial(lay_out, held), f"{anchor}-{picture}", f"{label}: {systems}")
        for picture, lay_out, label in (
            ("glance", overview, "Who speaks when"),
            ("score", compose, "What is said when"),
        )
    }
    # The first is played at the beginning of the page.
    played = ""
    if number > 1:
        played = player.player(transcripts, key=f"player-{number}", sounds=sounds)
    return _section("scenario", name, anchor, played=played, **pictures)


def _tables_section(
    evidence: Evidence,
    tables: Tables,
    order: Sequence[str],
    costs: Mapping[str, Costs],
    shown: Mapping[str, Sequence[Transcript]],
) -> Section:
    """Show all tables, folded: of results, of costs, and of what is said in each scenario."""
    results = [
        (f"{KINDS[kind].title}: {piece.name}" if len(evidence.of(kind)) > 1 else KINDS[kind].title,
         tables[kind].get(piece.name, ()))
        for kind in order
        for piece in evidence.of(kind)
    ]  # fmt: skip
    held = {
        name: [conversation_of(transcript) for transcript in transcripts]
        for name, transcripts in shown.items()
    }
    return _section(
        "tables",
        "Tables",
        results=[(title, found) for title, found in results if found],
        costs=costs_table("All conversations of each system together", costs) if costs else None,
        scenarios=[
            (
                name,
                shown[name][0].header.language,
                costs_table(
                    "This conversation with each system",
                    {one.system: costs_of(one) for one in talks},
                ),
                [(one.system, lines_of(one)) for one in talks],
            )
            for name, talks in held.items()
        ],
    )


def _source(piece: Piece[Any]) -> str:
    verb = "Computed from" if piece.computed else "From"
    if len(piece.files) > _NAMED:
        return f"{verb} {len(piece.files)} files, {piece.files[0]} and others"
    return f"{verb} {', '.join(piece.files)}" if piece.files else ""


def shown_of(
    transcripts: Sequence[Transcript], limit: int
) -> tuple[dict[str, list[Transcript]], list[str]]:
    """Choose the conversations that are drawn, by scenario; and say what becomes of the others."""
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


# ---- the head of the page


def _title(evidence: Evidence) -> str:
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


def _facts(evidence: Evidence) -> dict[str, str]:
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
        found["Benchmarked"] = _listed(ours)
    manifests = [manifest.content for manifest in evidence.manifests]
    made = _listed(one.versions["duo-duplex"] for one in manifests if "duo-duplex" in one.versions)
    commits = _listed(one.git_commit[:12] for one in manifests if one.git_commit)
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
        else _listed(f"{head.system} {head.cycle_seconds:g} s" for head in heads)
    )
    return {
        "Model": _listed(head.models for head in heads),
        "Systems": _listed(head.system for head in heads),
        "Scenarios": _listed(scenarios) if len(scenarios) <= _FEW else str(len(scenarios)),
        "Seed": _listed(str(head.seed) for head in heads),
        "Clock": _listed(head.clock for head in heads),
        "Cycle": cycles,
    }


def _notes(evidence: Evidence) -> Iterator[str]:
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


def _listed(values: Iterable[str]) -> str:
    """Join values, each once, with commas."""
    return ", ".join(dict.fromkeys(values))


def _counted(number: int, thing: str) -> str:
    """Write a number of things: `1 rater`, `2 raters`."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


# ---- templates


def _inline(figure: Any, prefix: str, label: str, css_class: str) -> Markup:
    return inline_svg(svg_text(figure), prefix=prefix, label=clean(label), css_class=css_class)


def _table_html(table: Table, *, caption: bool = True) -> Markup:
    """Put a table into a frame that scrolls where the screen is too narrow."""
    written = (table if caption else replace(table, title="")).html()
    frame = '<div class="scroll" role="region" tabindex="0" aria-label="{}">\n{}</div>'
    return Markup(frame).format(clean(table.title), Markup(written))


def _render(template: str, **values: Any) -> str:
    """Fill a template; every text in it is escaped."""
    return _environment().get_template(f"{template}.html.j2").render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.globals["palette"] = lambda dark: Markup(palette_css(dark))
    environment.filters["table"] = _table_html
    return environment


def _clean(value: Any) -> Any:
    """Clean text of controls; what is markup already was made by a template of ours."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
