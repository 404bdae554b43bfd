"""Write the page about a run: one HTML file, self-contained, the same bytes for the same input.

A page begins with a sentence, a picture and a conversation that can be played; then it says in
words what was found, and shows figures, the other conversations and, folded, tables; at the end
stand what is missing and where all is from. Each section is made from one of `templates`. All
text is escaped by the templates and by `Table.html`, and pictures are SVG that takes its colours
from the page. What differs from run to run (dates, times) is not shown: the run's manifest has it.

The one script plays conversations, as raters see them, but with the systems' names. It is the
study's own (`sessions/study/app/player.js`); here it finds its data in the page and draws into
shadow roots, so that neither it nor its style meets the rest of the page. It makes text nodes of
all words. The page's Content-Security-Policy names it by its hash: no other runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
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
from reports.kinds import KINDS
from reports.page.collect import Evidence, Piece, sound_of
from reports.page.conversations import (
    Costs,
    cautions,
    costs_by_system,
    costs_of,
    costs_table,
    lines_of,
)
from reports.page.sentences import caution, facts, findings, listed, notes, origins, title
from reports.plots.scene import Scene, paint
from reports.plots.style import DESK, PHONE, inline_svg, palette_css, svg_text
from reports.plots.timeline import compose, overview, telling_part
from sessions.study import views
from sessions.study.app import asset, player_style
from sessions.study.blinding import blinded
from sessions.study.wording import words_in

if TYPE_CHECKING:
    from reports.plots.chart import Chart

#: This many scenarios are shown, each with this many systems, if nobody asks for more: a browser
#: shall open the page at once. Numbers are of all.
SCENARIOS, SYSTEMS = 12, 6
#: Results that stand before the others.
_ABOUT_CONVERSATIONS = ("ratings", "interaction", "sweep")
#: From more files than these, a section says how many there are.
_NAMED = 3
#: Width in points of a picture that two of stand side by side on a desk's screen.
_HALF_DESK = 350.0

_EXPORT = "export default function ("
_ADAPTER = """
for (const host of document.querySelectorAll(".player")) {
  const root = host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = document.getElementById("player-style").content.textContent;
  const section = document.createElement("section");
  section.className = "timelines";
  root.append(style, section);
  const data = JSON.parse(host.nextElementSibling.textContent);
  draw({ parentElement: root, data, setTriggerValue: () => {} });
}
"""
#: A system's name is longer than a rater's "A" or "B".
_PLAYER_STYLE = """
.strip > b { width: 8.5em; font-weight: 600; font-size: 12px; overflow-wrap: anywhere; }
.key { margin-left: 0; }
"""

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
    """Write the page, with `scenarios` that are drawn and can be played at most.

    The same evidence gives the same text. Tables are made here if they are not given.
    """
    tables = all_tables(evidence) if tables is None else tables
    conversations = [conversation_of(transcript) for transcript in evidence.transcripts]
    costs = costs_by_system(conversations)
    shown, left_out = shown_of(evidence.transcripts, scenarios)
    sounds = evidence.sounds
    sections = [
        _section(
            "found", "What was found", sentences=findings(evidence, costs),
            notes=[*notes(evidence), *caution(evidence), *cautions(conversations), *left_out],
            facts=facts(evidence),
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
        title=title(evidence),
        opening=_opening(next(iter(shown.values())), sounds) if shown else "",
        sections=[section for section in sections if section.body],
        conversations=bool(shown),  # without, the page has no script
        sounds=bool(sounds),
        script=_script(),
        script_hash=_script_hash(),
        player_style=player_style() + _PLAYER_STYLE,
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
            played=_player(held, key="player-1", sounds=sounds),
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
            "pictures": [_picture(one.chart) for one in drawn if one.piece is piece],
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
        "title": "", "pictures": [_picture(fork.chart)], "notes": (),
        "source": _source(fork.piece), "command": "",
    }  # fmt: skip
    return _section("result", "Two channels, one pass: who sees whom", "fork", results=[result])


def _picture(chart: Chart) -> dict[str, Any]:
    """Draw a chart twice: for a desk's screen and for a phone's; its caption stands beside it."""
    said = f"{chart.title}. {chart.caption}"
    svg = Markup("").join(
        _inline(chart.draw(width), f"{chart.name}-{name}", said, f"figure chart {name}")
        for name, width in (("wide", _HALF_DESK), ("narrow", PHONE))
    )
    return {"chart": chart, "svg": svg, "numbers": replace(chart.table, notes=())}


def _scenario_section(
    number: int, name: str, transcripts: Sequence[Transcript], sounds: Collection[str]
) -> Section:
    """Show one scenario: who speaks when, all systems to be played, and all words in a picture."""
    anchor = f"scenario-{number}"
    held = [conversation_of(transcript) for transcript in transcripts]
    systems = listed(one.system for one in held)
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
        played = _player(transcripts, key=f"player-{number}", sounds=sounds)
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


# ---- the player


def _player(transcripts: Sequence[Transcript], *, key: str, sounds: Collection[str] = ()) -> Markup:
    """Make the element that conversations on one scenario play in, side by side.

    Args:
        key: unique in the page.
        sounds: addresses of the sound files beside the page.
    """
    data = {
        "key": key,
        "language": transcripts[0].header.language,
        "words": {"player": words_in("en").group("player")},
        "dialogues": [
            views.drawn(
                views.Shown(clean(one.header.system), blinded(one), None),
                sound if (sound := sound_of(one)) in sounds else "",
            )
            for one in transcripts
        ],
    }
    return Markup('<div class="player"></div><script type="application/json">{}</script>').format(
        _embedded(data)
    )


@cache
def _script() -> Markup:
    """Return the script that draws all players of a page, as it stands between the tags."""
    text = asset("player.js")
    if text.count(_EXPORT) != 1:
        raise RuntimeError("player.js does not export what the page calls")
    return Markup("{ " + text.replace(_EXPORT, "function draw(") + _ADAPTER + "}")


@cache
def _script_hash() -> str:
    """Return what a Content-Security-Policy calls the script."""
    digest = hashlib.sha256(str(_script()).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _embedded(data: Any) -> Markup:
    """Write JSON that nothing in it can end: no `<`, no `&`, no line separator."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


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
