"""`duo report build`: read a run, draw, write the page and all that stands on it.

    OUT/index.html      the page
    OUT/figures/        each chart as PDF, SVG and PNG, its numbers and its caption
    OUT/tables/         each table as CSV, Markdown and LaTeX; what was computed as JSON
    OUT/report.json     what the page was made of, and that this is a report: a later one skips it

The same run gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from duo.errors import BadInput
from duo.files import check_writable, write_text
from duo.terminal import printable
from reports.builder.collect import collect
from reports.builder.evidence import Evidence, Piece
from reports.builder.grids import csv_text
from reports.builder.page import SCENARIOS, Tables, all_tables, page_of
from reports.builder.pictures import Drawn, drawn
from reports.builder.ratings import How
from reports.builder.walk import MADE_BY, MARK
from reports.costs import write_costs
from reports.table1.grid import Grid
from reports.table1.latex import latex
from reports.table1.markdown import markdown

SCHEMA = 1


def build(
    runs: Sequence[Path],
    out: Path | None = None,
    *,
    how: How | None = None,
    scenarios: int = SCENARIOS,
    console: Console | None = None,
) -> Path:
    """Write the page about runs and what stands on it.

    Args:
        runs: folders, or single files.
        out: folder; the run itself if it is one folder and nothing is said, else `runs/report`.
        how: to read ratings.
        scenarios: how many are drawn and can be played.
        console: where progress and problems are told; standard error if not given.

    Returns:
        The page.

    Raises:
        BadInput: nothing in the runs could be read, or the folder cannot be written.
    """
    console = console or Console(stderr=True)
    if out is None:
        out = runs[0] if len(runs) == 1 and runs[0].is_dir() else Path("runs/report")
    with console.status("") as status:

        def tell(what: str) -> None:
            status.update(printable(what))

        evidence = collect(runs, how, tell)
        check_writable(out)
        tell("drawing")
        charts, problems = charts_of(evidence)
        evidence = replace(evidence, problems=(*evidence.problems, *problems))
        tables = all_tables(evidence)
        _write_figures(out / "figures", charts, tell)
        _write_tables(out / "tables", evidence, tables)
        tell("writing the page")
        page = out / "index.html"
        write_text(page, page_of(evidence, charts, tables, scenarios=scenarios))
        write_text(out / MARK, _summary(evidence))
    for problem in evidence.problems:
        console.print(f"left out: {printable(str(problem))}", markup=False, soft_wrap=True)
    return page


def charts_of(evidence: Evidence) -> tuple[list[Drawn], list[BadInput]]:
    """All charts, and what could not be drawn."""
    charts, problems = [], []
    for kind, pieces in evidence.by_kind.items():
        for number, piece in enumerate(pieces, start=1):
            try:
                charts += drawn(kind, piece, number, evidence)
            except BadInput as error:
                message = f"cannot be drawn: {error.message}"
                problems.append(BadInput(message, file=piece.name or None, field=error.field))
            if kind == "transcripts" and charts and charts[-1].piece is piece:
                break  # one fork shows what there is to see
    return charts, problems


def _write_figures(folder: Path, charts: Sequence[Drawn], tell: Any) -> None:
    if not charts:
        return
    from reports.plots.chart import write_chart

    for one in charts:
        tell(f"drawing {one.chart.title}")
        write_chart(one.chart, folder)


def _write_tables(folder: Path, evidence: Evidence, tables: Tables) -> None:
    if evidence.talks:
        write_costs(folder / "costs.csv", evidence.transcripts)
    for kind, found in tables.items():
        for number, piece in enumerate(evidence.by_kind[kind], start=1):
            stem = kind if number == 1 else f"{kind}-{number}"
            for suffix, text in _texts(kind, piece, found[piece.name]):
                write_text(folder / f"{stem}{suffix}", text)


def _texts(kind: str, piece: Piece[Any], grids: Sequence[Grid]) -> Iterator[tuple[str, str]]:
    """What is written of a result: suffix and content."""
    if grids:
        yield ".md", markdown(grids)
        yield ".tex", latex(grids)
    if kind == "ratings":
        from reports.statistics.report import long_table

        yield ".json", piece.content.model_dump_json(indent=2, by_alias=True) + "\n"
        yield ".csv", long_table(piece.content).csv()
    elif kind == "benchmarks":
        from reports.table1 import export

        yield ".json", export.as_json(piece.content)
        yield ".csv", export.long_csv(piece.content)
    else:
        if piece.computed:
            yield ".json", json.dumps(piece.content, indent=1, ensure_ascii=False) + "\n"
        for number, grid in enumerate(grids, start=1):
            yield ".csv" if len(grids) == 1 else f"-table-{number}.csv", csv_text(grid)


def _summary(evidence: Evidence) -> str:
    """What the page was made of, for programs."""
    content: Mapping[str, Any] = {
        "schema": SCHEMA,
        "made_by": MADE_BY,
        "results": [
            {"kind": kind, "files": list(piece.files), "computed": piece.computed}
            for kind, piece in evidence.results
        ],
        "sha256": dict(evidence.digests),
        "problems": [
            {"file": error.file, "line": error.line, "field": error.field, "message": error.message}
            for error in evidence.problems
        ],
        "notes": list(evidence.notes),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"
