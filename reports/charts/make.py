"""`duo report figure`: read what commands have written, draw it, write it in every form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from duo.errors import BadInput, check_choice
from duo.files import check_writable
from duo.transcript import Transcript, read_transcript
from evaluation.comparison.results import read_json
from reports.charts import conversation, cost, latency, preference, ranking, states, takeover
from reports.charts.chart import Chart, write_chart
from reports.charts.kinds import KINDS
from reports.charts.probe import probe
from reports.charts.separation import separation
from reports.charts.sweep import sweep
from reports.charts.sweep_scores import sweep_scores
from reports.charts.trade_off import trade_off
from reports.charts.training import training_curves
from sessions.recorder import folder_name

_TRAINING = "training.json"

_OF_JSON: dict[str, Callable[[Any], Chart | None]] = {
    "preference": preference.preference,
    "ranking": ranking.ranking,
    "confusion": states.confusion,
    "decisions": states.decisions_by_kind,
    "premature": states.premature,
    "calibration": states.calibration,
    "separation": separation,
    "probe": probe,
    "latency": latency.latency,
    "takeover": takeover.takeover,
    "trade-off": trade_off,
    "cost": cost.decode_cost,
}
_OF_TRANSCRIPT: dict[str, Callable[[Transcript], Chart | None]] = {
    "mask": conversation.attention_mask,
    "timeline": conversation.timeline,
}


def make(kind: str, paths: Sequence[Path], out: Path) -> list[Path]:
    """Draw figures of one kind and write them, all or none.

    Args:
        kind: one of `KINDS`.
        paths: what to draw; a figure of each, but one of all trainings.
        out: folder; see `reports.charts.chart.write_chart`.

    Returns:
        The files written.

    Raises:
        BadInput: unknown kind; a file cannot be read, is of another form, or has nothing to draw;
            the folder cannot be written.
    """
    check_choice("kind", kind, KINDS)
    charts = _trainings(paths) if kind == "training" else [c for p in paths for c in _of(kind, p)]
    check_writable(out)
    return [path for chart in _named_apart(charts) for path in write_chart(chart, out)]


def _of(kind: str, path: Path) -> Iterator[Chart]:
    """The figures of one file, named after it where there may be several."""
    with _in(path):
        if kind == "sweep":
            charts: list[Chart | None] = [*sweep(sweep_scores(path))]
        elif kind in _OF_TRANSCRIPT:
            charts = [_OF_TRANSCRIPT[kind](read_transcript(path))]
        else:
            charts = [_OF_JSON[kind](read_json(path))]
    found = [chart for chart in charts if chart is not None]
    if not found:
        raise BadInput(f"there is nothing to draw in it for {kind}", file=path)
    yield from found


def _trainings(paths: Sequence[Path]) -> list[Chart]:
    files = [path / _TRAINING if path.is_dir() else path for path in paths]
    every = []
    for file in files:
        with _in(file):
            every.append(read_json(file))
            if training_curves(every[-1]) is None:
                raise BadInput("there is nothing to draw in it for training")
    names = [file.resolve().parent.name if file.name == _TRAINING else file.stem for file in files]
    chart = training_curves(*every, names=names)
    return [chart] if chart is not None else []


def _named_apart(charts: Sequence[Chart]) -> Iterator[Chart]:
    """The charts under names that no two share, whether or not letters' case counts."""
    taken: set[str] = set()
    for chart in charts:
        name = stem = folder_name(chart.name)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        yield replace(chart, name=name)


@contextmanager
def _in(path: Path) -> Iterator[None]:
    """Name the file in which something is wrong."""
    try:
        yield
    except BadInput as error:
        if error.file is not None:
            raise
        raise BadInput(error.message, file=path, line=error.line, field=error.field) from None
