"""Training: losses on state tokens and on output apart, and the decision on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.charts.chart import Chart
from reports.charts.forms import Moment, Training, checked
from reports.charts.looks import look
from reports.charts.panels import panelled, percent
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Panels: what its axis says, the training's figure and the validation's; None for none.
_PANELS = (
    ("loss, state tokens", "loss_state", "eval_loss_state"),
    ("loss, output", "loss_output", "eval_loss_output"),
    ("state accuracy", None, "eval_state_accuracy"),
)
_FIGURES = tuple(name for panel in _PANELS for name in panel[1:] if name)
_COLUMNS = ("run", "step", *_FIGURES)


@dataclass(frozen=True)
class _Run:
    name: str
    moments: tuple[Moment, ...]


def training_curves(*training_json: Any, names: Sequence[str] = ()) -> Chart | None:
    """Curves of one or more runs.

    Args:
        training_json: `training.json` of each run.
        names: of the runs; what they learned on which model without.

    Returns:
        None if no run has a figure to show.

    Raises:
        BadInput: one is something else.
    """
    runs = _runs([checked(Training, one) for one in training_json], names)
    shown = [panel for panel in _PANELS if any(map(_has(panel), runs))]
    if not shown:
        return None
    rows = tuple(
        (run.name, moment.step, *(getattr(moment, name) for name in _FIGURES))
        for run in runs
        for moment in run.moments
    )
    lengths = ", ".join(f"{run.name}: {_last(run):g} steps" for run in runs)
    caption = (
        "Training over steps. Thin lines: loss on the training batches; lines with marks: on "
        "validation data, where the state accuracy is the share of utterances whose state is "
        f"predicted. {lengths}."
    )
    return Chart(
        name="training",
        title="Training curves",
        caption=clean(caption),
        columns=_COLUMNS,
        rows=rows,
        draw=lambda width: _draw(runs, shown, width),
    )


def _runs(every: Sequence[Training], names: Sequence[str]) -> list[_Run]:
    made: list[_Run] = []
    for number, one in enumerate(every):
        recipe = str(one.settings.get("recipe", "")).strip()
        made_of = ", ".join(part for part in (recipe, one.model) if part)
        name = names[number] if number < len(names) else made_of or f"run {number + 1}"
        if name in {run.name for run in made}:
            name = f"{name} ({number + 1})"
        made.append(_Run(name, tuple(_moments(one))))
    return made


def _moments(one: Training) -> list[Moment]:
    """The steps with a figure that is drawn, lines of the same step put together."""
    found: dict[Any, dict[str, Any]] = {}
    for number, line in enumerate(one.curve):
        if not any(line.get(name) is not None for name in _FIGURES):
            continue
        checked(Moment, line, f"curve[{number}]")
        into = found.setdefault(line["step"], {})
        into |= {name: value for name, value in line.items() if value is not None}
    return sorted((Moment.model_validate(line) for line in found.values()), key=lambda m: m.step)


def _has(panel: tuple[str, str | None, str]) -> Any:
    return lambda run: any(_points(run, name) for name in panel[1:] if name)


def _points(run: _Run, name: str) -> list[tuple[float, float]]:
    pairs = ((moment.step, getattr(moment, name)) for moment in run.moments)
    return [(step, value) for step, value in pairs if value is not None]


def _last(run: _Run) -> float:
    return max((moment.step for moment in run.moments), default=0.0)


def _draw(
    runs: Sequence[_Run], shown: Sequence[tuple[str, str | None, str]], width: float
) -> Figure:
    def panel(label: str, training: str | None, validation: str) -> Any:
        def draw(axes: Any) -> None:
            for number, run in enumerate(runs):
                how = look(number)
                if training and (points := _points(run, training)):
                    axes.plot(*zip(*points, strict=True), color=how.ink, linestyle=how.linestyle,
                              linewidth=0.6, alpha=0.75)  # fmt: skip
                if points := _points(run, validation):
                    axes.plot(*zip(*points, strict=True), color=how.ink, linestyle=how.linestyle,
                              linewidth=1.2, marker=how.marker, markersize=3.4)  # fmt: skip
            axes.set_ylabel(label)
            axes.set_xlabel("step")
            if training is None:
                percent(axes)
            else:
                axes.set_ylim(bottom=0)

        return draw

    return panelled(width, [panel(*one) for one in shown], [run.name for run in runs])
