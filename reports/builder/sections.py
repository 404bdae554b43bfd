"""The page's sections: each kind of result with its pictures, its tables and where it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reports.builder.evidence import Evidence, Piece
from reports.builder.grids import from_rich, from_table, of_chart, of_interaction
from reports.builder.missing import missing
from reports.builder.pictures import Drawn, inline
from reports.builder.reproduce import origins
from reports.page import Section, render
from reports.table1.grid import Grid, comparison_grids, main_grid

if TYPE_CHECKING:
    from reports.plots.chart import Chart

#: Kinds of result that have a section of their own, and its title.
TITLES = {
    "ratings": "What people prefer",
    "benchmarks": "Benchmarks: the paper's Table 1",
    "states": "What the model decides",
    "probe": "What the model could tell apart",
    "interaction": "How they conversed",
    "sweep": "What settings do",
    "training": "How training went",
    "decoding": "What decoding costs",
}
#: Commands that give the figures which the page computes.
_COMMANDS = {
    "ratings": "duo report statistics",
    "benchmarks": "duo report table1",
    "interaction": "duo eval interaction",
}
#: From more files than these, a section says how many there are.
_NAMED = 3


@dataclass(frozen=True)
class Picture:
    """A chart on the page."""

    chart: Chart
    svg: Markup
    numbers: Grid


@dataclass(frozen=True)
class Result:
    """One result on the page.

    Attributes:
        title: where a section has several; else "".
        pictures, tables: of it.
        notes: what to know of it.
        source: the files that it is from, in words.
        command: that computes the same; "" where nothing was computed.
    """

    title: str
    pictures: Sequence[Picture]
    tables: Sequence[Grid]
    notes: Sequence[str]
    source: str
    command: str = ""


def result_section(
    kind: str,
    pieces: Sequence[Piece[Any]],
    drawn: Sequence[Drawn],
    tables: Mapping[str, list[Grid]],
) -> Section:
    """All results of a kind.

    Args:
        drawn: the charts of all kinds.
        tables: by the name of the piece.
    """
    results = [
        Result(
            title=piece.name if len(pieces) > 1 else "",
            pictures=[
                Picture(one.chart, inline(one.chart), of_chart(one.chart))
                for one in drawn
                if one.piece is piece
            ],
            tables=tables.get(piece.name, []),
            notes=notes_of(kind, piece),
            source=_source(piece),
            command=_COMMANDS.get(kind, "") if piece.computed else "",
        )
        for piece in pieces
    ]
    return Section(kind, TITLES[kind], Markup(render("result.html.j2", results=results)))


def fork_section(fork: Drawn) -> Section:
    """One fork of the run: which slots each token attends to."""
    picture = Picture(fork.chart, inline(fork.chart), of_chart(fork.chart))
    results = [Result("", [picture], [], (), _source(fork.piece))]
    title = "Two channels, one pass: who sees whom"
    return Section("fork", title, Markup(render("result.html.j2", results=results)))


def tables_of(kind: str, piece: Piece[Any]) -> list[Grid]:
    """A result as tables; those without a row are left out."""
    return [table for table in _tables(kind, piece.content) if table.rows]


def notes_of(kind: str, piece: Piece[Any]) -> tuple[str, ...]:
    """What the reader should know of a result, as it says itself."""
    return piece.content.notices if kind == "ratings" else ()


def missing_section(evidence: Evidence) -> Section:
    """What could not be read, what is left out, and what is not there."""
    body = render(
        "missing.html.j2",
        problems=evidence.problems,
        notes=evidence.notes,
        missing=missing(evidence),
    )
    return Section("missing", "What is missing or broken", Markup(body))


def reproduce_section(evidence: Evidence) -> Section:
    """Commands, machines and hashes."""
    body = render("reproduce.html.j2", origins=origins(evidence))
    return Section("reproduce", "How to reproduce each number", Markup(body))


def _tables(kind: str, content: Any) -> Iterator[Grid]:
    match kind:
        case "ratings":
            from reports.statistics.report import tables as of_study

            yield from map(from_table, of_study(content))
        case "benchmarks":
            yield main_grid(content)
            yield from comparison_grids(content)
        case "states":
            from duo.files import as_result
            from evaluation.scores import States, state_tables

            yield from map(from_table, state_tables(as_result(content, States, file=None)))
        case "probe":
            from duo.files import as_result
            from evaluation.scores import Probe, probe_table

            yield from_table(probe_table(as_result(content, Probe, file=None)))
        case "interaction":
            yield of_interaction(content)
        case "decoding":
            from duo.files import as_result
            from evaluation.decode_bench.results import DecodeBench, decode_tables

            found = as_result(content, DecodeBench, file=None)
            yield from map(from_table, decode_tables(found))


def _source(piece: Piece[Any]) -> str:
    verb = "Computed from" if piece.computed else "From"
    if len(piece.files) > _NAMED:
        return f"{verb} {len(piece.files)} files, {piece.files[0]} and others"
    return f"{verb} {', '.join(piece.files)}" if piece.files else ""
