"""Draw how systems converse (`duo eval interaction`): how soon they answer, and what that costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from duo.escape import visible
from evaluation.interaction.bootstrap import Figure as Estimate
from evaluation.interaction.results import Interaction
from reports.plots.chart import Chart, make_chart
from reports.plots.panels import curve, dotted, look, panels, percent, spot
from reports.plots.style import LABEL, LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: After these a system should take the turn, after the others it should not.
_WANTED = ("turn_end", "interruption")

#: Yield rate, selectivity for backchannels and for non-directed speech as tau-voice publishes them
#: (sierra-research/tau2-bench, docs/interaction-metrics.md, as of mid-2026).
PUBLISHED = {
    "gpt-realtime-1.5": (1.000, 0.02, 0.10),
    "gemini-3.1-flash-live (high)": (0.499, 0.94, 0.43),
    "grok-voice-think-fast-1.0": (0.938, 0.66, 0.28),
    "qwen3.5-omni-plus-realtime": (0.902, 0.84, 0.15),
    "Pine Voice Preview": (0.455, 0.97, 0.49),
    "cascaded baseline": (0.988, 0.67, 0.58),
}
_NONE = Estimate(value=None)
#: Signs of a setting that have room beside a point.
_ROOM = 12
#: Points that are nearer than this share of a panel's width, at about one height, share their room.
_NEAR = 0.15
#: Of a panel's width, what a sign on a point's left needs.
_LEFT = 0.3
#: Signs that are nearer than this up and down would cover each other.
_CLOSE = 0.05


def _about(found: Interaction) -> list[str]:
    """Return what each caption says of the conversations, a sentence each."""
    scenarios = max((one.scenarios for one in found.systems.values()), default=0)
    events = sum(one.events for one in found.systems.values())
    said = [
        f"{found.scored} transcripts of {len(found.systems)} systems, up to {scenarios} scenarios "
        f"each, {events} events in all."
    ]
    if found.left_out:
        said.append(f"{len(found.left_out)} transcripts could not be scored and are left out.")
    method = f" ({found.intervals.method})" if found.intervals.method else ""
    said.append(f"Intervals: {100 * found.intervals.level:g} %{method}.")
    if 0 < scenarios < 2:
        said.append("One scenario only: no intervals.")
    return said


def parts(of: Estimate) -> tuple[float | int | None, ...]:
    """Return an estimate as cells of a row."""
    return of.value, of.low, of.high, of.n


def latency(found: Interaction, transcripts: Iterable[Any] = ()) -> Chart | None:
    """Draw cumulative shares of response and stop latencies by system; None where there are none.

    The mark of a system stands at the median that the result and the caption give.

    Args:
        transcripts: those that were scored, for the caption to say whose clock the seconds are of;
            anything with `header.clock`.

    Raises:
        BadInput: the result is something else.
    """
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
            *_about(found),
        ],
        list(steps.columns),
        steps.itertuples(index=False, name=None),
        lambda steps, width: _draw_latency(steps, medians, list(found.systems), width),
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
    every = pd.DataFrame(seconds, columns=["latency", "system", "seconds"])
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


def _draw_latency(
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
            axes.set(xlabel=f"{kind} latency (s)", ylabel="share of events")
            percent(axes)
    return figure


def takeover(found: Interaction) -> Chart | None:
    """Draw takeover rates by kind of event and system; None if no event was counted."""
    kinds = dict.fromkeys(kind for one in found.systems.values() for kind in one.takeover)
    counted = [
        kind
        for kind in kinds
        if any(kind in s.takeover and s.takeover[kind].value is not None
               for s in found.systems.values())
    ]  # fmt: skip
    # Those that should be answered stand below those that should not.
    counted.sort(key=lambda kind: kind in _WANTED)
    if not counted:
        return None
    rows = [
        (kind, "high" if kind in _WANTED else "low", name, one.value, one.low, one.high, one.n)
        for kind in counted
        for name, system in found.systems.items()
        if (one := system.takeover.get(kind)) is not None
    ]
    return make_chart(
        "takeover",
        "Takeover rate by kind of event",
        [
            "Share of events after which the system takes the turn, by kind: low is right after "
            "the upper kinds, high after the lower.",
            *_about(found),
        ],
        ("kind", "better", "system", "takeover rate", "low", "high", "events"),
        rows,
        lambda rates, width: _draw_takeover(rates, found, width),
        counts="events",
    )


def _draw_takeover(rates: DataFrame, found: Interaction, width: float) -> Figure:
    systems = list(found.systems)
    better = {"low": "the turn should not be taken", "high": "the turn should be taken"}
    dots = rates.assign(
        heading=rates["better"].map(better),
        label=rates["kind"].str.replace("_", " "),
        series=rates["system"].map(systems.index),
        value=rates["takeover rate"],
        right=rates["events"].astype(str),
    )
    axis = f"takeover rate, {100 * found.intervals.level:g} % intervals"
    return dotted(dots, systems, width, label=axis, right="events", share=True)


def trade_off(found: Interaction) -> Chart | None:
    """Draw a point for each system that has both figures; None if none has."""
    points = [
        (name, seconds.p50, system.false_interruptions)
        for name, system in found.systems.items()
        if (seconds := system.response_latency.get("seconds")) is not None
        and seconds.p50.value is not None
        and system.false_interruptions.value is not None
    ]
    if not points:
        return None
    return make_chart(
        "trade-off",
        "Latency against false interruptions",
        [
            "How soon a query is answered (median) against how often an answer is given up for "
            "something that is no query; low and to the left is better.",
            *_about(found),
        ],
        ("system", "response latency p50 (s)", "low", "high", "answered queries",
         "false interruptions", "low", "high", "remarks"),
        [(name, *parts(x), *parts(y)) for name, x, y in points],
        lambda _, width: _draw_trade_off(points, width),
        counts="remarks",
    )  # fmt: skip


def _draw_trade_off(points: list[tuple[str, Estimate, Estimate]], width: float) -> Figure:
    with panels(width, 1, [name for name, _, _ in points], lines=False) as (figure, [axes]):
        for number, (_, x, y) in enumerate(points):
            _spot(axes, number, x, y)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.locator_params(axis="x", nbins=6)
        axes.set(xlabel="response latency, median (s)", ylabel="false interruptions")
        percent(axes)
    return figure


def _spot(axes: Any, number: int, x: Estimate, y: Estimate) -> None:
    """Draw one figure against the other, with the intervals of both."""
    spot(axes, number, x.value, y.value, across=(x.low, x.high), up=(y.low, y.high))


_YIELDING = (
    "system", "measured", "response latency p50 (s)", "low", "high", "answers",
    "pauses taken for an end", "low", "high", "pauses", "yield rate", "low", "high",
    "interruptions", "yield latency p50 (s)", "low", "high", "yielded to",
    "backchannels talked through", "low", "high", "backchannels",
    "non-directed speech ignored", "low", "high", "non-directed",
)  # fmt: skip


class _Point(NamedTuple):
    """A system with one set of settings: its line, the sign beside it, and its figures.

    A line is a system, a model and the names of the settings that were given: a grid of a sweep.
    """

    line: tuple[str, ...]
    sign: str
    latency: Estimate
    pauses: Estimate
    yields: Estimate
    yield_latency: Estimate
    backchannels: Estimate
    non_directed: Estimate


def yielding(found: Interaction) -> Chart | None:
    """Draw three figures against what they cost; a line for each grid, a point for each setting.

    None where no system has two figures that belong together.
    """
    points = {name: _point(name, system) for name, system in found.systems.items()}
    grids = {one.line for one in points.values() if one.sign}
    unclear = len(grids) > 1 or any(len(one.sign) > _ROOM for one in points.values())
    key = [f"{'; '.join(_number(points))}."] if unclear else []
    if not any(x.value is not None and y.value is not None
               for one in points.values() for x, y in _pairs(one)):  # fmt: skip
        return None
    rows: list[tuple[Any, ...]] = [
        (name, "here", *(part for figure in one[2:] for part in parts(figure)))
        for name, one in points.items()
    ]
    for name, (yields, *ignored) in PUBLISHED.items():
        values = (None, None, yields, None, *ignored)
        rows.append((name, "published", *(part for v in values for part in (v, None, None, None))))
    return make_chart(
        "yielding",
        "Answering soon and yielding in time",
        [
            "Left: the share of pauses inside a question that are taken for its end, against how "
            "soon a query is answered (median); low and to the left is better. Right: of "
            "backchannels and of speech that is not meant for the system, the share that is talked "
            "through or ignored, against the share of interruptions yielded to within two seconds "
            "(the panel of tau-voice); towards the upper right is better. Points of a line differ "
            "in the values of the same settings.",
            "Published: six systems as tau-voice has them, which are of speech, of other "
            "conversations and by ticks of 0.2 s.",
            *key,
            *_about(found),
        ],
        _YIELDING,
        rows,
        lambda _, width: _draw_yielding(list(points.values()), width),
    )


def _number(points: dict[str, _Point]) -> Iterator[str]:
    """Let numbers stand beside the points that have settings; yield what each stands for."""
    for number, name in enumerate([name for name, one in points.items() if one.sign], 1):
        points[name] = points[name]._replace(sign=f"{number}")
        yield f"{number}: {name}"


def _point(name: str, figures: Any) -> _Point:
    panel = figures.panel
    seconds = figures.response_latency.get("seconds")
    return _Point(
        (figures.system, figures.model, *sorted(figures.settings)),
        re.sub(r"\w+=", "", name.removeprefix(figures.system).strip(" ()")),
        _NONE if seconds is None else seconds.p50,
        figures.takeover.get("pause", _NONE),
        panel.yield_rate,
        panel.yield_latency.p50,
        panel.selectivity.get("backchannel", _NONE),
        panel.selectivity.get("non_directed", _NONE),
    )


def _pairs(one: _Point) -> list[tuple[Estimate, Estimate]]:
    """Pair the figures as the panels show them, across and up."""
    return [
        (one.latency, one.pauses),
        (one.yields, one.backchannels),
        (one.yields, one.non_directed),
    ]


def _draw_yielding(points: list[_Point], width: float) -> Figure:
    names = list(dict.fromkeys(one.line[0] for one in points))
    lines: dict[tuple[str, ...], list[_Point]] = {}
    for one in points:
        lines.setdefault(one.line, []).append(one)
    with panels(width, 3, [*names, "published (speech)"]) as (figure, every):
        for place, axes in enumerate(every):
            for (system, *_), own in lines.items():
                _line(axes, names.index(system), place, own)
        for place, axes in enumerate(every[1:], 1):
            for values in PUBLISHED.values():
                spot(axes, len(names), values[0], values[place])
            percent(axes, "x")
            axes.set_xlabel("interruptions yielded to")
        for place, axes in enumerate(every):
            _signs(axes, place, points)
        soon, backchannels, non_directed = every
        soon.set_xlim(left=0.0)
        soon.set(xlabel="median response latency (s)", ylabel="pauses taken for an end")
        backchannels.set_ylabel("backchannels talked through")
        non_directed.set_ylabel("non-directed ignored")
        for axes in every:
            percent(axes)
    return figure


def _line(axes: Any, number: int, place: int, points: list[_Point]) -> None:
    """Draw a line's points in order of the figure across."""
    places = []
    for one in points:
        x, y = _pairs(one)[place]
        _spot(axes, number, x, y)
        if x.value is not None and y.value is not None:
            places.append((x.value, y.value))
    places.sort()
    curve(axes, number, [x for x, _ in places], [y for _, y in places])


def _signs(axes: Any, place: int, points: list[_Point]) -> None:
    """Write the signs beside the points: those of one place together, to a free side."""
    signs: dict[tuple[float, float], list[str]] = {}
    for one in points:
        across, up = (figure.value for figure in _pairs(one)[place])
        if one.sign and across is not None and up is not None:
            signs.setdefault((across, up), []).append(visible(one.sign))
    left, right = axes.get_xlim()
    near = (right - left) * _NEAR

    def beside(x: float, y: float) -> tuple[float, float] | None:
        """Find the point that takes the room on another's right."""
        found = [(a, b) for a, b in signs if 0 < a - x < near and abs(b - y) < _NEAR / 2]
        return min(found, default=None)

    for point in sorted(signs):  # those that have no room on the left either join the next one
        if point[0] - left < _LEFT * (right - left) and (next_one := beside(*point)) is not None:
            signs[next_one] += signs.pop(point)
    written: list[tuple[float, float, bool]] = []
    for (x, y), own in sorted(signs.items(), key=lambda one: -one[0][1]):
        crowded = beside(x, y) is not None
        above = [b for a, b, side in written if abs(a - x) < near and side == crowded]
        height = min([y, *(b - _CLOSE for b in above)])
        written.append((x, height, crowded))
        axes.annotate(
            _in_short(own), (x, height), xytext=(-3 if crowded else 3, 3),
            textcoords="offset points", fontsize=LABEL - 1, color=LIGHT["ink"],
            ha="right" if crowded else "left",
        )  # fmt: skip


def _in_short(signs: Sequence[str]) -> str:
    """Join signs; numbers in a row become ranges.

    >>> _in_short(["1", "3", "4", "5"]), _in_short(["0.5, pause"])
    ('1, 3-5', '0.5, pause')
    """
    if not all(sign.isdecimal() for sign in signs):
        return "; ".join(signs)
    rows = groupby(enumerate(sorted(map(int, signs))), lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in row] for _, row in rows]
    return ", ".join(f"{run[0]}-{run[-1]}" if run[1:] else f"{run[0]}" for run in runs)
