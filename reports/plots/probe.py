"""Draw how much of each kind a model could tell apart, by probes of more and more labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluation.probe import Probe
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import curve, panels, percent
from reports.plots.style import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OWN = "its own"


def probe(probe_result: Any) -> Chart | None:
    """Draw what is ignored of each kind that is to be, where most queries are answered.

    Returns:
        None without such a kind, or without a probe.
    """
    found = typed(probe_result, Probe)
    own = found.curve[0].labels if len(found.curve) > 1 else {}
    kinds = [
        name
        for name, told in own.items()
        if told.wanted == "ignore" and all(name in point.labels for point in found.curve)
    ]
    if not kinds:
        return None
    where = [_OWN, *(f"{point.labelled:,}" for point in found.curve[1:])]
    shares = {name: [point.labels[name].right for point in found.curve] for name in kinds}
    said = ", ".join(
        f"{name.replace('_', ' ')} ({own[name].n}) {100 * line[0]:.0f} -> {100 * line[-1]:.0f} %"
        for name, line in shares.items()
    )
    return make_chart(
        "probe",
        "What the model could tell from a query",
        [
            "Each kind that is to be ignored: the share that is, at the threshold where "
            f"{found.answered} % of what wants an answer get one. First by the model's own score, "
            "then by linear probes of its layers, trained on so many labelled utterances of the "
            f"same data and tested on those of other dialogues ({found.folds} folds). From the "
            f"model's own to the probe of {found.curve[-1].labelled:,}: {said}. {found.about}."
        ],
        ("kind", "n", "labelled utterances", "ignored", "area under the curve"),
        [
            (name, own[name].n, point.labelled, point.labels[name].right, point.labels[name].area)
            for name in kinds
            for point in found.curve
        ],
        lambda width: _draw(where, shares, width),
        counts="n",
    )


def _draw(where: list[str], shares: dict[str, list[float]], width: float) -> Figure:
    with panels(width, 1, [name.replace("_", " ") for name in shares]) as (figure, [axes]):
        places = range(len(where))
        for number, line in enumerate(shares.values()):
            curve(axes, number, places[1:], line[1:])
            curve(axes, number, places[:1], line[:1])
        axes.axvline(0.5, color=LIGHT["faint"], linewidth=0.6, linestyle=":")
        axes.set_xticks(places, where)
        axes.set_xlabel("labelled utterances that a probe was trained on")
        axes.set_ylabel("ignored")
        percent(axes)
    return figure
