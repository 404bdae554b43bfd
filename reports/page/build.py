"""Read a run, draw, write the page and all that stands on it.

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
from duo.files import check_writable, whole_file, write_text
from duo.reading import conversation_of
from duo.table import Table, latex_document
from duo.terminal import printable, progress
from reports.kinds import KINDS, imported
from reports.page.collect import Evidence, Piece, RatingSettings, collect, sound_of
from reports.page.conversations import all_costs
from reports.page.find import MADE_BY, MARK
from reports.page.page import SCENARIOS, Drawn, Tables, all_tables, page_of, shown_of

SCHEMA = 1


def build(
    runs: Sequence[Path],
    out: Path | None = None,
    *,
    ratings: RatingSettings | None = None,
    scenarios: int = SCENARIOS,
    console: Console | None = None,
) -> Path:
    """Write the page about runs and what stands on it; return the page.

    Args:
        out: folder; the run itself if it is one folder and nothing is said, else `runs/report`.
        scenarios: how many are drawn and can be played.

    Raises:
        BadInput: nothing in the runs could be read, or the folder cannot be written.
    """
    console = console or Console(stderr=True)
    if out is None:
        out = runs[0] if len(runs) == 1 and runs[0].is_dir() else Path("runs/report")
    with progress(console=console) as bar:
        evidence = collect(runs, ratings, lambda what: bar.update(what=what))
        check_writable(out)
        charts, problems = draw_all(evidence)
        bar.update(total=len(charts) + 1)  # the page takes its time, too
        evidence = replace(evidence, problems=(*evidence.problems, *problems))
        tables = all_tables(evidence)
        for one in charts:
            from reports.plots.chart import write_chart

            bar.update(what=f"drawing {one.chart.title}")
            write_chart(one.chart, out / "figures")
            bar.advance()
        _write_tables(out / "tables", evidence, tables)
        bar.update(what="writing the page")
        page = out / "index.html"
        copy_sounds(evidence, out, scenarios)
        write_text(page, page_of(evidence, charts, tables, scenarios=scenarios))
        write_text(out / MARK, _summary(evidence))
    for problem in evidence.problems:
        console.print(f"left out: {printable(str(problem))}", markup=False, soft_wrap=True)
    return page


def copy_sounds(evidence: Evidence, out: Path, scenarios: int) -> None:
    """Put the sound of the conversations that can be played beside the page."""
    sounds = evidence.sounds
    shown, _ = shown_of(evidence.transcripts, scenarios)
    for transcript in (one for held in shown.values() for one in held):
        source = sounds.get(address := sound_of(transcript))
        if source is not None:
            with whole_file(out / address, "wb") as stream:
                stream.write(source.read_bytes())


def draw_all(evidence: Evidence) -> tuple[list[Drawn], list[BadInput]]:
    """Draw all charts; return them, and what could not be drawn."""
    charts: list[Drawn] = []
    problems = []
    for kind, of in KINDS.items():
        for number, piece in enumerate(evidence.of(kind), start=1):
            try:
                made = list(of.charts_of(piece, evidence))
            except BadInput as error:
                message = f"cannot be drawn: {error.message}"
                problems.append(BadInput(message, file=piece.name or None, field=error.field))
                continue
            if number > 1 and kind != "transcripts":
                made = [replace(chart, name=f"{chart.name}-{number}") for chart in made]
            charts += [Drawn(chart, piece) for chart in made]
            if kind == "transcripts" and made:
                break  # one fork shows what there is to see
    return charts, problems


def _write_tables(folder: Path, evidence: Evidence, tables: Tables) -> None:
    if evidence.recordings:
        write_text(
            folder / "costs.csv", all_costs(map(conversation_of, evidence.transcripts)).csv()
        )
    for kind, found in tables.items():
        for number, piece in enumerate(evidence.of(kind), start=1):
            stem = kind if number == 1 else f"{kind}-{number}"
            for suffix, text in _texts(kind, piece, found[piece.name]):
                write_text(folder / f"{stem}{suffix}", text)


def _texts(kind: str, piece: Piece[Any], tables: Sequence[Table]) -> Iterator[tuple[str, str]]:
    """Write a result in every form: yields suffix and content."""
    if tables:
        yield ".md", "\n".join(table.markdown() for table in tables)
        yield ".tex", latex_document(tables)
    of = KINDS[kind]
    if of.long_table or piece.computed:
        yield ".json", piece.content.model_dump_json(indent=2, by_alias=True) + "\n"
    if of.long_table:
        yield ".csv", imported(of.long_table)(piece.content).csv()
        return
    for number, table in enumerate(tables, start=1):
        yield ".csv" if len(tables) == 1 else f"-table-{number}.csv", table.csv()


def _summary(evidence: Evidence) -> str:
    """Say what the page was made of, for programs."""
    content: Mapping[str, Any] = {
        "schema": SCHEMA,
        "made_by": MADE_BY,
        "results": [
            {"kind": kind, "files": list(piece.files), "computed": piece.computed}
            for kind, piece in evidence.all
        ],
        "sha256": dict(evidence.digests),
        "problems": [
            {"file": error.file, "line": error.line, "field": error.field, "message": error.message}
            for error in evidence.problems
        ],
        "notes": list(evidence.notes),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"
