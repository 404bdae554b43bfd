"""Draw how long systems take to answer, and to stop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from evaluation.interaction.results import Interaction
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import look, panels, percent
from reports.plots.style import LIGHT
from reports.plots.takeover import about

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

_COLUMNS = ("latency", "system", "seconds", "events", "share up to")


def latency(interaction_result: Any, transcripts: Iterable[Any] = ()) -> Chart | None:
    """Draw cumulative shares of response and stop latencies by system; None where there are none.

    The mark of a system stands at the median that the result and the caption give.

    Args:
        transcripts: those that were scored, for the caption to say whose clock the seconds are of;
            anything with `header.clock`.

    Raises:
        BadInput: the result is something else.
    """
    found = typed(interaction_result, Interaction)
    steps = _steps(found)
    if steps.empty:
        return None
    kinds = list(steps["latency"].unique())
    medians = {kind: _medians(found, kind) for kind in kinds}
    clocks = sorted({str(one.header.clock) for one in transcripts})
    stops = ", and silent within so many seconds of its onset (stop)" * ("stop" in kinds)
    return make_chart(
        "latency",
        "Latency",
        [
            "Share of events answered within so many seconds of the query's end (response)"
            f"{stops}; marks are medians.",
            *(_said(kind, of) for kind, of in medians.items()),
            f"Seconds of a {' and a '.join(clocks)} clock." if clocks else "",
            *about(found),
        ],
        _COLUMNS,
        steps.itertuples(index=False, name=None),
        lambda width: _draw(steps, medians, list(found.systems), width),
    )


def _steps(found: Interaction) -> DataFrame:
    """Count, by latency and system, the events of each number of seconds and the share up to it."""
    import pandas as pd

    seconds = [
        (kind, event.system, one.seconds)
        for event in found.events
        for kind, one in (("response", event.response), ("stop", event.stop))
        if one is not None and event.system in found.systems
    ]
    every = pd.DataFrame(seconds, columns=_COLUMNS[:3])
    every["order"] = every["system"].map(list(found.systems).index)
    counts = every.groupby(["latency", "order", "system", "seconds"]).size().rename("events")
    steps = counts.reset_index().drop(columns="order")
    by_system = steps.groupby(["latency", "system"])["events"]
    steps["share up to"] = by_system.cumsum() / by_system.transform("sum")
    return steps.astype(object)


def _medians(found: Interaction, kind: str) -> dict[str, Any]:
    """Return the median of each system that has one, with its interval."""
    medians = {}
    for name, system in found.systems.items():
        every = system.response_latency if kind == "response" else system.stop_latency
        if "seconds" in every and every["seconds"].p50.value is not None:
            medians[name] = every["seconds"].p50
    return medians


def _said(kind: str, medians: dict[str, Any]) -> str:
    said = []
    for name, of in medians.items():
        known = of.low is not None and of.high is not None
        interval = f" [{of.low:.2f}, {of.high:.2f}]" if known else ""
        said.append(f"{name} {of.value:.2f} s{interval} (n = {of.n})")
    return f"Median {kind}: {'; '.join(said)}." if said else ""


def _draw(
    steps: DataFrame, medians: dict[str, dict[str, Any]], systems: list[str], width: float
) -> Figure:
    longest = max(steps["seconds"])
    with panels(width, len(medians), systems) as (figure, every):
        for axes, (kind, of) in zip(every, medians.items(), strict=True):
            of_kind = steps[steps["latency"] == kind]
            for number, name in enumerate(systems):
                own, how = of_kind[of_kind["system"] == name], look(number)
                if own.empty:
                    continue
                axes.step(
                    [0.0, *own["seconds"], longest], [0.0, *own["share up to"], 1.0],
                    where="post", color=how.ink, linestyle=how.linestyle, linewidth=1.2,
                )  # fmt: skip
                if name in of:
                    axes.plot(of[name].value, 0.5, how.marker, color=how.ink,
                              markersize=4)  # fmt: skip
            axes.axhline(0.5, color=LIGHT["rule"], linewidth=0.7, zorder=0.9)
            axes.set_xlim(-0.03 * (longest or 1), 1.03 * (longest or 1))
            axes.set_xlabel(f"{kind} latency (s)")
            axes.set_ylabel("share of events")
            percent(axes)
    return figure
