"""One HTML page about a run: self-contained, the same bytes for the same input.

A page is a title, facts and sections; each section is made by a function of its own from one
template of `reports/templates`. All text is escaped by the templates, and pictures are SVG that
takes its colours from the page. The one script plays conversations; no other can run. What differs
from run to run (dates, times) is not shown: the run's manifest has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from duo.decoding.systems import SYSTEMS
from duo.speech import Conversation, conversation_of
from duo.table import clean
from duo.transcript import Header, Transcript
from reports.builder import player
from reports.costs import REFERENCE, costs_of, total_by_system
from reports.minutes import minutes
from reports.plots.scene import Scene, paint
from reports.plots.style import DESK, PHONE, inline_svg, palette_css, svg_text
from reports.plots.timeline import compose, overview

#: More scenarios than these are counted, not named.
_FEW = 8


@dataclass(frozen=True)
class Section:
    """A part of a page: `anchor` is a word that is unique in it."""

    anchor: str
    title: str
    body: Markup


def build_page(
    title: str,
    *,
    facts: Mapping[str, str],
    notes: Sequence[str],
    sections: Sequence[Section],
    conversations: bool = True,
) -> str:
    """The page as HTML.

    Args:
        title: of the page.
        facts: what was run, name and value.
        notes: sentences that the reader must know before looking at numbers.
        sections: in the order of the page.
        conversations: whether there are any to see and to play; without, the page has no script.
    """
    page = render(
        "page.html.j2",
        title=title,
        facts=facts,
        notes=notes,
        sections=sections,
        conversations=conversations,
        player=player,
    )
    return page + "\n"


def facts_of(transcripts: Iterable[Transcript]) -> dict[str, str]:
    """What was run, as the headers of the transcripts say it."""
    heads = [transcript.header for transcript in transcripts]
    return {
        "Model": listed(head.model for head in heads),
        "Systems": listed(head.system for head in heads),
        "Scenarios": _few(dict.fromkeys(head.scenario for head in heads)),
        "Seed": listed(str(head.seed) for head in heads),
        "Clock": listed(head.clock for head in heads),
        "Cycle": _cycles(heads),
    }


def costs_section(transcripts: Sequence[Transcript]) -> Section:
    """What each system's conversations cost, all together."""
    totals = total_by_system(transcripts)
    body = render(
        "costs.html.j2", totals=totals, reference=REFERENCE, descriptions=SYSTEMS, caption="all"
    )
    return Section("costs", "What it cost", Markup(body))


def scenario_section(
    number: int, name: str, transcripts: Sequence[Transcript], played: Markup
) -> Section:
    """One scenario: the systems' timelines under one another, their costs, all words as a table.

    Args:
        number: of the scenario on the page, from 1.
        name: of the scenario.
        transcripts: one of each system.
        played: the element in which they play.
    """
    lanes = [conversation_of(transcript) for transcript in transcripts]
    names = listed(part.system for part in lanes)
    anchor = f"scenario-{number}"
    body = render(
        "scenario.html.j2",
        anchor=anchor,
        played=played,
        glance=_pictures(anchor + "-glance", f"Who speaks when: {names}", lanes, glance=True),
        score=_pictures(anchor + "-score", f"What is said when: {names}", lanes, glance=False),
        costs={transcript.header.system: costs_of(transcript) for transcript in transcripts},
        reference=REFERENCE,
        descriptions=SYSTEMS,
        minutes=[(transcript.header, minutes(transcript)) for transcript in transcripts],
    )
    return Section(anchor, name, Markup(body))


def _pictures(prefix: str, label: str, lanes: Sequence[Conversation], *, glance: bool) -> Markup:
    """A picture twice: as wide as a desk's screen, and as a phone's. The style sheet picks one."""
    lay_out = overview if glance else compose
    return Markup("").join(
        _picture(lay_out(lanes, width=width), prefix=f"{prefix}-{name}", label=label, name=name)
        for name, width in (("wide", DESK), ("narrow", PHONE))
    )


def _picture(scene: Scene, *, prefix: str, label: str, name: str) -> Markup:
    svg = svg_text(paint(scene))
    return inline_svg(svg, prefix=prefix, label=clean(label), css_class=f"figure {name}")


def render(template: str, **values: Any) -> str:
    """Fill a template of `reports/templates`; every text in it is made harmless."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals["palette"] = lambda dark: Markup(palette_css(dark))
    environment.filters["number"] = _number
    return environment


def _shown(value: Any) -> Any:
    """Text without controls; what is markup already was made by a template of ours."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: float | None, digits: int = 0, unit: str = "") -> str:
    return "–" if value is None else f"{value:,.{digits}f}{unit}"


def listed(values: Iterable[str]) -> str:
    """Each value once, with commas."""
    return ", ".join(dict.fromkeys(values))


def counted(number: int, thing: str) -> str:
    """A number of things: `1 rater`, `2 raters`."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _few(names: Collection[str]) -> str:
    """Names, or how many there are."""
    return listed(names) if len(names) <= _FEW else f"{len(names)}"


def _cycles(heads: Sequence[Header]) -> str:
    """The length of each system's cycles; once if they all have the same."""
    lengths = {head.cycle_seconds for head in heads}
    if len(lengths) == 1:
        return f"{lengths.pop():g} s"
    return listed(f"{head.system} {head.cycle_seconds:g} s" for head in heads)
