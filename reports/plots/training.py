"""Draw training: losses on state tokens and on output, and the state accuracy on validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from duo.training.settings import Training
from reports.plots.chart import Chart, make_chart
from reports.plots.panels import curve, panels, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: Panels: what its axis says, the training's figure and the validation's; None for none.
_PANELS = (
    ("loss, state tokens", "loss_state", "eval_loss_state"),
    ("loss, output", "loss_output", "eval_loss_output"),
    ("state accuracy", None, "eval_state_accuracy"),
)
_FIGURES = [name for panel in _PANELS for name in panel[1:] if name]


def training(*found: Training, names: Sequence[str] = ()) -> Chart | None:
    """Draw curves of one or more runs; None if none has a figure to show.

    Args:
        names: of the runs; without, what they learned on which model.
    """
    runs: dict[str, DataFrame] = {}
    for number, one in enumerate(found):
        recipe = str(one.settings.get("recipe", "")).strip()
        made_of = ", ".join(part for part in (recipe, one.model) if part)
        name = names[number] if number < len(names) else made_of or f"run {number + 1}"
        runs[f"{name} ({number + 1})" if name in runs else name] = _moments(one)
    shown = [
        panel
        for panel in _PANELS
        if any(run[name].notna().any() for run in runs.values() for name in panel[1:] if name)
    ]
    if not shown:
        return None
    lengths = ", ".join(
        f"{name}: {0 if run.empty else run.index[-1]:g} steps" for name, run in runs.items()
    )
    return make_chart(
        "training",
        "Training curves",
        [
            "Training over steps. Thin lines: loss on the training batches; lines with marks: on "
            "validation data, where the state accuracy is the share of utterances whose state is "
            f"predicted. {lengths}."
        ],
        ("run", "step", *_FIGURES),
        [
            (name, step, *(None if value != value else value for value in figures))
            for name, run in runs.items()
            for step, *figures in run.itertuples(name=None)
        ],
        lambda _, width: _draw(runs, shown, width),
    )


def _moments(one: Training) -> DataFrame:
    """Tabulate what is drawn by step, lines of the same step put together."""
    import pandas as pd

    lines = [[getattr(line, name) for name in ("step", *_FIGURES)] for line in one.curve]
    frame = pd.DataFrame(lines, columns=["step", *_FIGURES], dtype=float)
    return frame.dropna(subset=_FIGURES, how="all").groupby("step").last()


def _draw(
    runs: dict[str, DataFrame], shown: Sequence[tuple[str, str | None, str]], width: float
) -> Figure:
    with panels(width, len(shown), list(runs)) as (figure, every):
        for axes, (label, training, validation) in zip(every, shown, strict=True):
            for number, run in enumerate(runs.values()):
                if training:
                    known = run[training].dropna()
                    curve(axes, number, known.index, known, marker="", linewidth=0.6, alpha=0.75)
                known = run[validation].dropna()
                curve(axes, number, known.index, known, linewidth=1.2)
            if training:
                axes.set_ylim(bottom=0)
            else:
                percent(axes)
            axes.set(xlabel="step", ylabel=label)
    return figure
