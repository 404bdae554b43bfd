"""Read what commands have written, draw it and write it in every form (`duo report figure`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from duo.errors import BadInput, check_choice
from duo.files import check_writable, read_result
from duo.runs import free_name, safe_name
from duo.terminal import say
from duo.training.settings import Training
from duo.transcript import read_transcript, transcript_files
from reports.kinds import FIGURES, KINDS, imported
from reports.plots.chart import Chart, Nothing, write_chart
from reports.plots.sweep import sweep_scores
from reports.plots.training import training

_OF_TRANSCRIPTS = ("mask", "timeline")
_MODELS = {name: of.model for of in KINDS.values() for name in of.charts}
_TRAINING = "training.json"


def make(
    kind: str, paths: Sequence[Path], out: Path, *, start: float = 0.0, end: float | None = None
) -> list[Path]:
    """Draw figures of one kind and write them, all or none; return the files.

    Args:
        paths: what to draw; a figure of each, but one of all trainings.
        out: folder; see `reports.plots.chart.write_chart`.
        start, end: seconds of a timeline that are drawn, if not all.

    Raises:
        BadInput: unknown kind; a file cannot be read, is of another form, or has nothing to draw;
            the folder cannot be written.
    """
    check_choice("kind", kind, tuple(FIGURES))
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
    if kind not in _OF_TRANSCRIPTS or not path.is_dir():
        return _of(kind, path, **part)
    made, empty = [], None
    for file in transcript_files([path]):
        try:
            made += _of(kind, file, **part)
        except Nothing as error:
            empty = error
            if part:
                say(f"skipped: {error}")
    if not made and empty is not None:
        raise BadInput(empty.message, file=path, field=empty.field)
    return made


def _of(kind: str, path: Path, **part: Any) -> list[Chart]:
    """Draw the figures of one file."""
    try:
        made = imported(FIGURES[kind])(_content(kind, path), **part)
    except Nothing as error:
        raise Nothing(error.message, file=path, field=error.field) from None
    if not made:
        raise Nothing(f"there is nothing to draw in it for {kind}", file=path)
    return list(made) if isinstance(made, list) else [made]


def _content(kind: str, path: Path) -> Any:
    """Read what the producer of this kind takes."""
    if kind == "sweep":
        return sweep_scores(path)
    if kind in _OF_TRANSCRIPTS:
        return read_transcript(path)
    return read_result(path, imported(_MODELS[kind]))


def _trainings(paths: Sequence[Path]) -> list[Chart]:
    """Draw one figure of all runs, each named after its folder."""
    runs, names = list[Training](), list[str]()
    for path in paths:
        file = path / _TRAINING if path.is_dir() else path
        runs.append(read_result(file, Training))
        if training(runs[-1]) is None:
            raise Nothing("there is nothing to draw in it for training", file=file)
        names.append(file.resolve().parent.name if file.name == _TRAINING else file.stem)
    chart = training(*runs, names=names)
    return [chart] if chart is not None else []


def _with_names_apart(charts: Sequence[Chart]) -> Iterator[Chart]:
    """Number the names of charts that would be the same file, also where case does not count."""
    taken: set[str] = set()
    for chart in charts:
        yield replace(chart, name=free_name(safe_name(chart.name), taken))
