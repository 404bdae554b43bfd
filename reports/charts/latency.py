"""How long systems take to answer, and to stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reports.charts.chart import Chart
from reports.charts.forms import Interaction, Quantiles, checked
from reports.charts.looks import look
from reports.charts.panels import panelled, percent
from reports.charts.takeover import about
from reports.figures.style import LIGHT
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What is measured, and what its axis says.
_WHAT = {"response": "response latency (s)", "stop": "stop latency (s)"}
_COLUMNS = ("latency", "system", "seconds", "events", "share up to")

#: By latency and system the seconds with how many events took so long, ascending.
_Samples = dict[str, dict[str, dict[float, int]]]


def latency(interaction_result: Any, transcripts: Iterable[Any] = ()) -> Chart | None:
    """Cumulative shares of response and stop latencies by system; None where there is not one.

    Args:
        interaction_result: the JSON of `duo eval interaction`.
        transcripts: those that were scored, for the caption to say whose clock the seconds are of;
            anything with `header.clock`.

    Raises:
        BadInput: the result is something else.
    """
    found = checked(Interaction, interaction_result)
    samples = {what: _samples(found, what) for what in _WHAT}
    samples = {what: by_system for what, by_system in samples.items() if by_system}
    if not samples:
        return None
    caption = " ".join(
        [
            "Share of events answered within so many seconds of the query's end (response)"
            + (", and silent within so many seconds of its onset (stop)" * ("stop" in samples))
            + "; dots are medians.",
            *(_medians(found, what) for what in samples),
            _clock(transcripts),
            about(found),
        ]
    )
    return Chart(
        name="latency",
        title="Latency",
        caption=clean(" ".join(caption.split())),
        columns=_COLUMNS,
        rows=tuple(_rows(samples)),
        draw=lambda width: _draw(samples, list(found.systems), width),
    )


def _samples(found: Interaction, what: str) -> dict[str, dict[float, int]]:
    by_system: dict[str, Counter[float]] = {}
    for event in found.events:
        one = event.response if what == "response" else event.stop
        if one is not None and event.system in found.systems:
            by_system.setdefault(event.system, Counter())[one.seconds] += 1
    return {
        name: dict(sorted(by_system[name].items())) for name in found.systems if name in by_system
    }


def _rows(samples: _Samples) -> Iterable[tuple[object, ...]]:
    for what, by_system in samples.items():
        for system, counts in by_system.items():
            for seconds, count, share in _steps(counts):
                yield what, system, seconds, count, share


def _steps(counts: dict[float, int]) -> list[tuple[float, int, float]]:
    """Each latency with its events and the share of events up to it."""
    total, done, steps = sum(counts.values()), 0, []
    for seconds, count in counts.items():
        done += count
        steps.append((seconds, count, done / total))
    return steps


def _medians(found: Interaction, what: str) -> str:
    said = []
    for name, system in found.systems.items():
        every: dict[str, Quantiles] = (
            system.response_latency if what == "response" else system.stop_latency
        )
        median = every["seconds"].p50 if "seconds" in every else None
        if median is None or median.value is None:
            continue
        known = median.low is not None and median.high is not None
        interval = f" [{median.low:.2f}, {median.high:.2f}]" if known else ""
        said.append(f"{name} {median.value:.2f} s{interval} (n = {median.n})")
    return f"Median {what}: {'; '.join(said)}." if said else ""


def _clock(transcripts: Iterable[Any]) -> str:
    clocks = sorted({str(one.header.clock) for one in transcripts})
    return f"Seconds of a {' and a '.join(clocks)} clock." if clocks else ""


def _draw(samples: _Samples, systems: list[str], width: float) -> Figure:
    longest = max(max(counts) for by_system in samples.values() for counts in by_system.values())

    def panel(what: str) -> Any:
        def draw(axes: Any) -> None:
            for number, name in enumerate(systems):
                if name in samples[what]:
                    _curve(axes, number, samples[what][name], longest)
            axes.axhline(0.5, color=LIGHT["rule"], linewidth=0.7, zorder=0.9)
            axes.set_xlabel(_WHAT[what])
            axes.set_ylabel("share of events")
            axes.set_xlim(-0.03 * (longest or 1), 1.03 * (longest or 1))
            percent(axes)

        return draw

    return panelled(width, [panel(what) for what in samples], systems)


def _curve(axes: Any, number: int, counts: dict[float, int], longest: float) -> None:
    how, steps = look(number), _steps(counts)
    xs = [0.0, *(seconds for seconds, _, _ in steps), longest]
    ys = [0.0, *(share for _, _, share in steps), 1.0]
    axes.step(xs, ys, where="post", color=how.ink, linestyle=how.linestyle, linewidth=1.2)
    median = next(seconds for seconds, _, share in steps if share >= 0.5)
    axes.plot([median], [0.5], how.marker, color=how.ink, markersize=4)
