"""Draw what answering soon and yielding in time cost: cut-offs, and remarks that are yielded to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from duo.escape import visible
from evaluation.interaction.results import Figure as Estimate
from evaluation.interaction.results import Interaction
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import curve, panels, percent, spot
from reports.plots.style import LABEL, LIGHT
from reports.plots.takeover import about
from reports.plots.trade_off import parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
_COLUMNS = (
    "system", "measured", "response latency p50 (s)", "low", "high", "answers",
    "pauses taken for an end", "low", "high", "pauses", "yield rate", "low", "high",
    "interruptions", "yield latency p50 (s)", "low", "high", "yielded to",
    "backchannels talked through", "low", "high", "backchannels",
    "non-directed speech ignored", "low", "high", "non-directed",
)  # fmt: skip
_NONE = Estimate(value=None)
#: Signs of a setting that have room beside a point.
_ROOM = 12
#: Points that are nearer than this share of a panel's width, at about one height, share their room.
_NEAR = 0.15
#: Of a panel's width, what a sign on a point's left needs.
_LEFT = 0.3
#: Signs that are nearer than this up and down would cover each other.
_CLOSE = 0.05


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


def yielding(interaction_result: Any) -> Chart | None:
    """Draw three figures against what they cost; a line for each grid, a point for each setting.

    Returns:
        None where no system has two figures that belong together.
    """
    found = typed(interaction_result, Interaction)
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
    rows += [
        (
            name,
            "published",
            *(
                part
                for value in (None, None, yields, None, *ignored)
                for part in (value, None, None, None)
            ),
        )
        for name, (yields, *ignored) in PUBLISHED.items()
    ]
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
            *about(found),
        ],
        _COLUMNS,
        rows,
        lambda width: _draw(list(points.values()), width),
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


def _draw(points: list[_Point], width: float) -> Figure:
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
        soon.set_xlabel("median response latency (s)")
        soon.set_ylabel("pauses taken for an end")
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
        if x.value is None or y.value is None:
            continue
        spot(axes, number, x.value, y.value, across=(x.low, x.high), up=(y.low, y.high))
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
