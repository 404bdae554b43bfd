"""How much of each kind a model could tell apart, by probes of ever more labelled utterances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.charts.chart import Chart
from reports.charts.forms import Probe, checked
from reports.charts.panels import curve, panelled, percent
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OWN = "its own"


def probe(probe_result: Any) -> Chart | None:
    """For each kind that is to be ignored, the share that is, where most queries are answered.

    None without such a kind, or without a probe.

    Raises:
        BadInput: it is something else.
    """
    found = checked(Probe, probe_result)
    if len(found.curve) < 2:
        return None
    own = found.curve[0].labels
    kinds = [
        name
        for name, told in own.items()
        if told.wanted == "ignore" and all(name in point.labels for point in found.curve)
    ]
    if not kinds:
        return None
    where = [_OWN, *(f"{point.labelled:,}" for point in found.curve[1:])]
    shares = {name: [point.labels[name].right for point in found.curve] for name in kinds}
    most = found.curve[-1].labelled
    said = ", ".join(
        f"{name.replace('_', ' ')} ({own[name].n}) {100 * line[0]:.0f} -> {100 * line[-1]:.0f} %"
        for name, line in shares.items()
    )
    return Chart(
        name="probe",
        title="What the model could tell from a query",
        caption=clean(
            "Each kind that is to be ignored: the share that is, at the threshold where "
            f"{found.answered} % of what wants an answer get one. First by the model's own score, "
            "then by linear probes of its layers, trained on so many labelled utterances of the "
            f"same data and tested on those of other dialogues ({found.folds} folds). From the "
            f"model's own to the probe of {most:,}: {said}. {found.about}."
        ),
        columns=("kind", "n", "labelled utterances", "ignored", "area under the curve"),
        rows=tuple(
            (name, own[name].n, point.labelled, point.labels[name].right, point.labels[name].area)
            for name in kinds
            for point in found.curve
        ),
        draw=lambda width: _draw(where, shares, width),
    )


def _draw(where: list[str], shares: dict[str, list[float]], width: float) -> Figure:
    def panel(axes: Any) -> None:
        places = range(len(where))
        for number, line in enumerate(shares.values()):
            curve(axes, number, places[1:], line[1:])
            curve(axes, number, places[:1], line[:1])
        axes.axvline(0.5, color="0.6", linewidth=0.6, linestyle=":")
        axes.set_xticks(places, where)
        axes.set_xlabel("labelled utterances that a probe was trained on")
        axes.set_ylabel("ignored")
        percent(axes)

    return panelled(width, [panel], [name.replace("_", " ") for name in shares])
