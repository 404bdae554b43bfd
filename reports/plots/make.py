"""Read what commands have written, draw it and write it in every form (`duo report figure`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duo.errors import BadInput, check_choice
from reports.kinds import KINDS, imported

if TYPE_CHECKING:
    from reports.plots.chart import Chart

_TRANSCRIPTS = KINDS["transcripts"].charts | {"timeline": "reports.plots.timeline:timeline"}
#: What draws each figure. That of benchmarks is a part of `duo report table1`.
_PRODUCERS = {
    name: producer
    for kind, of in KINDS.items()
    if kind not in ("benchmarks", "transcripts")
    for name, producer in of.charts.items()
} | _TRANSCRIPTS
FIGURES = tuple(_PRODUCERS)
_MODELS = {name: of.model for of in KINDS.values() for name in of.charts}
_TRAINING = "training.json"


def figure(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"{', '.join(FIGURES)}.", show_default=False)
    ],
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="What to draw, see above.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for all that is written.")] = Path(
        "runs/figures"
    ),
    start: Annotated[
        float, typer.Option("--from", min=0, help="timeline: the first second that is drawn.")
    ] = 0.0,
    end: Annotated[
        float | None,
        typer.Option(
            "--to", min=0, help="timeline: the last one [default: all].", show_default=False
        ),
    ] = None,
) -> None:
    """Draw a figure for a paper from what another command has written.

    preference and ranking take statistics.json of duo report statistics; confusion, decisions,
    premature, calibration and separation the JSON of duo eval states; probe that of duo eval probe;
    latency, takeover, trade-off and yielding that of duo eval interaction; sweep the folder of duo
    bench sweep; training one or more training.json (or folders with one); cost the JSON of duo
    bench decode; mask and timeline transcripts, or folders with some.

    OUT gets each figure as PDF, SVG and PNG, one column wide and (-wide) two, the numbers behind it
    as CSV, LaTeX and Markdown, and its caption as text. The same file gives the same bytes. A
    timeline that is higher than a page can be drawn in parts, with --from and --to.

    Example: duo report figure preference runs/statistics/statistics.json --out runs/figures
    """
    for path in make(kind, files, out, start=start, end=end):
        if path.suffix == ".pdf":
            typer.echo(path)


def make(
    kind: str, paths: Sequence[Path], out: Path, *, start: float = 0.0, end: float | None = None
) -> list[Path]:
    """Draw figures of one kind and write them, all or none.

    Args:
        paths: what to draw; a figure of each, but one of all trainings.
        out: folder; see `reports.plots.chart.write_chart`.
        start, end: seconds of a timeline that are drawn, if not all.

    Returns:
        The files written.

    Raises:
        BadInput: unknown kind; a file cannot be read, is of another form, or has nothing to draw;
            the folder cannot be written.
    """
    from duo.files import check_writable
    from reports.plots.chart import write_chart

    check_choice("kind", kind, FIGURES)
    part = {"start": start, "end": end} if start or end is not None else {}
    if part and kind != "timeline":
        raise BadInput("only a timeline can be drawn in part", field="--from, --to")
    charts = (
        _trainings(paths)
        if kind == "training"
        else [chart for path in paths for chart in _below(kind, path, **part)]
    )
    check_writable(out)
    return [path for chart in _with_names_apart(charts) for path in write_chart(chart, out)]


def _below(kind: str, path: Path, **part: Any) -> list[Chart]:
    """Draw the figures of a file; of a folder, those of all transcripts that have some.

    Says which have none in the part that is asked for.
    """
    if kind not in _TRANSCRIPTS or not path.is_dir():
        return _of(kind, path, **part)
    from duo.transcript import transcript_files
    from reports.plots.chart import Nothing

    made, empty = [], None
    for file in transcript_files([path]):
        try:
            made += _of(kind, file, **part)
        except Nothing as error:
            empty = error
            if part:
                typer.echo(f"duo: skipped: {error}", err=True)
    if not made and empty is not None:
        raise BadInput(empty.message, file=path, field=empty.field)
    return made


def _of(kind: str, path: Path, **part: Any) -> list[Chart]:
    """Draw the figures of one file."""
    from reports.plots.chart import Nothing

    try:
        made = imported(_PRODUCERS[kind])(_content(kind, path), **part)
    except Nothing as error:
        raise Nothing(error.message, file=path, field=error.field) from None
    if not made:
        raise Nothing(f"there is nothing to draw in it for {kind}", file=path)
    return list(made) if isinstance(made, list) else [made]


def _content(kind: str, path: Path) -> Any:
    """Read what the producer of this kind takes."""
    if kind == "sweep":
        from reports.plots.sweep import sweep_scores

        return sweep_scores(path)
    if kind in _TRANSCRIPTS:
        from duo.transcript import read_transcript

        return read_transcript(path)
    from duo.files import read_result

    return read_result(path, imported(_MODELS[kind]))


def _trainings(paths: Sequence[Path]) -> list[Chart]:
    """Draw one figure of all runs, each named after its folder."""
    from reports.plots.training import training

    files = [path / _TRAINING if path.is_dir() else path for path in paths]
    for file in files:
        _of("training", file)  # each has something to draw
    names = [file.resolve().parent.name if file.name == _TRAINING else file.stem for file in files]
    chart = training(*(_content("training", file) for file in files), names=names)
    return [chart] if chart is not None else []


def _with_names_apart(charts: Sequence[Chart]) -> Iterator[Chart]:
    """Number the names of charts that would be the same file, also where case does not count."""
    from duo.runs import free_name, safe_name

    taken: set[str] = set()
    for chart in charts:
        yield replace(chart, name=free_name(safe_name(chart.name), taken))
