"""Draw what a model decides against what is right (`duo eval states`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.cases import OUTCOMES
from evaluation.scores import States
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.style import BODY, LABEL, LIGHT, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("right", "done", "utterances", "share of row")


def confusion(states_result: Any) -> Chart | None:
    """Draw what was right against what was done, as counts and shares of each row.

    Returns:
        None if there are no cases.
    """
    found = typed(states_result, States)
    counts = {
        right: [found.confusion.get(right, {}).get(a, 0) for a in OUTCOMES] for right in OUTCOMES
    }
    if not any(map(sum, counts.values())):
        return None
    scores = "; ".join(
        f"{act}: precision {_percent(one.precision)}, recall {_percent(one.recall)}"
        for act in OUTCOMES
        if (one := found.states.get(act)) is not None
    )
    return make_chart(
        "confusion",
        "Decisions, right and wrong",
        [
            "Decisions at the end of an utterance: rows say what is right, columns what the model "
            "does; shares are of the row.",
            about(found),
            f"In percent, {scores}." if scores else "",
        ],
        _COLUMNS,
        [
            (right, done, count, count / sum(row) if sum(row) else None)
            for right, row in counts.items()
            for done, count in zip(OUTCOMES, row, strict=True)
        ],
        lambda width: _draw(list(counts.values()), width),
    )


def about(found: States) -> str:
    """Return what a caption says of any figure about decisions."""
    return f"{found.about}, look-ahead of {found.lookahead} tokens."


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _draw(counts: list[list[int]], width: float) -> Figure:
    """Draw squares of blue with shares and counts; the right ones have a frame."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    table = np.array(counts)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    tint = LinearSegmentedColormap.from_list("tint", [LIGHT["paper"], LIGHT["query"]])
    with house_style():
        figure = Figure(figsize=(width / 72, 132 / 72), layout="constrained")
        axes = figure.subplots()
        axes.set_box_aspect(90 / min(0.72 * width, 252))
        axes.pcolormesh(shares, cmap=tint, vmin=0, vmax=1, edgecolors=LIGHT["rule"], linewidth=0.6)
        axes.set(ylim=(3, 0), xlim=(0, 3), xlabel="done", ylabel="right")
        axes.set_xticks([0.5, 1.5, 2.5], OUTCOMES)
        axes.set_yticks([0.5, 1.5, 2.5], OUTCOMES)
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0, labelsize=BODY, labelcolor=LIGHT["ink"], top=False, bottom=False,
                         labeltop=True, labelbottom=False)  # fmt: skip
        axes.spines[:].set_visible(False)
        for (row, column), share in np.ndenumerate(shares):
            ink = LIGHT["on-mark" if share > 0.75 else "ink"]
            right = row == column
            axes.annotate(f"{100 * share:.0f} %", (column + 0.5, row + 0.45), ha="center",
                          color=ink, fontsize=BODY, weight="bold" if right else "normal",
                          va="baseline")  # fmt: skip
            axes.annotate(str(table[row, column]), (column + 0.5, row + 0.8), ha="center",
                          color=ink, fontsize=LABEL, va="baseline")  # fmt: skip
            if right:
                axes.plot(
                    [column, column + 1, column + 1, column, column],
                    [row, row, row + 1, row + 1, row],
                    color=LIGHT["ink"], linewidth=1.2, clip_on=False, zorder=3,
                )  # fmt: skip
    return figure
