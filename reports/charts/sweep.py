"""What a setting does to latency and to false interruptions (`duo bench sweep`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.charts.chart import Chart
from reports.charts.forms import Estimate, Scalar, Sweep, System, checked
from reports.charts.panels import curve, panelled, percent, spot
from reports.figures.style import LABEL, LIGHT
from reports.figures.typeset import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = (
    "series", "system", "value", "point", "response latency p50 (s)", "low", "high",
    "answered queries", "false interruptions", "low", "high", "remarks",
)  # fmt: skip
_LATENCY, _FALSE = "median response latency (s)", "false interruptions"
_NONE = Estimate(value=None)


@dataclass(frozen=True)
class _Spot:
    """A system with one value of the setting."""

    value: Scalar
    point: str
    latency: Estimate
    false: Estimate


@dataclass(frozen=True)
class _Series:
    """A system with all else equal, in order of the setting's values."""

    name: str
    system: str
    spots: tuple[_Spot, ...]


def sweep(sweep_result: Any) -> list[Chart]:
    """A chart for each setting that was swept, in the order of the file.

    Where several were swept together, each combination of the others is a series of its own.

    Args:
        sweep_result: see `reports.charts.sweep_scores.sweep_scores`.

    Raises:
        BadInput: it is something else.
    """
    found = checked(Sweep, sweep_result)
    names = list(dict.fromkeys(_bare(name) for point in found.points for name in point.swept))
    charts = (_chart(found, name) for name in names)
    return [chart for chart in charts if chart is not None]


def _chart(found: Sweep, setting: str) -> Chart | None:
    series = _series(found, setting)
    if not series:
        return None
    left_out = sum(point.left_out for point in found.points)
    missing = [point.name for point in found.points if not point.systems]
    caption = [
        f"What {setting} does to how soon a query is answered (median) and to how often an answer "
        "is given up for something that is no query; all else equal along a line.",
        f"{found.scenarios} scenarios for each point; intervals: "
        f"{100 * found.intervals.level:g} %"
        + (f" ({found.intervals.method})." if found.intervals.method else "."),
        f"{left_out} transcripts could not be scored." if left_out else "",
        f"Not recorded: {', '.join(missing)}." if missing else "",
    ]
    return Chart(
        name=f"sweep-{re.sub(r'[^a-z0-9]+', '-', setting.lower()).strip('-') or 'setting'}",
        title=f"Sweep of {clean(setting)}",
        caption=clean(" ".join(part for part in caption if part)),
        columns=_COLUMNS,
        rows=tuple(
            (
                one.name, one.system, spot.value, spot.point,
                *_parts(spot.latency), *_parts(spot.false),
            )
            for one in series
            for spot in one.spots
        ),
        draw=lambda width: _draw(setting, series, width),
    )  # fmt: skip


def _bare(name: str) -> str:
    """A setting's name without the system that it is of."""
    return name.rpartition(".")[2]


def _series(found: Sweep, setting: str) -> list[_Series]:
    """The lines of a setting: those with two values or more, and something to show."""
    lines: dict[tuple[str, str], list[_Spot]] = {}
    systems = list(dict.fromkeys([*found.systems, *(s for p in found.points for s in p.systems)]))
    for point in found.points:
        for name, figures in point.systems.items():
            own = _own(point.swept, name)
            if setting not in own:
                continue
            others = {key: value for key, value in own.items() if key != setting}
            line = lines.setdefault((name, json.dumps(others, sort_keys=True)), [])
            spot = _Spot(own[setting], point.name, *_figures(figures))
            if all(spot.value != other.value for other in line):
                line.append(spot)
    made = []
    for (name, made_of), spots in lines.items():
        known = [s for s in spots if s.latency.value is not None or s.false.value is not None]
        if len(spots) < 2 or not known:
            continue
        text = ", ".join(f"{key}={_text(value)}" for key, value in json.loads(made_of).items())
        label = f"{name}, {text}" if text else name
        made.append(_Series(label, name, tuple(sorted(spots, key=_order))))
    return sorted(made, key=lambda one: systems.index(one.system))


def _own(swept: dict[str, Scalar], system: str) -> dict[str, Scalar]:
    """The swept settings that this system has; its own win over those of all."""
    own = {name: value for name, value in swept.items() if "." not in name}
    for name, value in swept.items():
        owner, dot, bare = name.rpartition(".")
        if dot and owner == system:
            own[bare] = value
    return own


def _figures(system: System) -> tuple[Estimate, Estimate]:
    seconds = system.response_latency.get("seconds")
    return seconds.p50 if seconds else _NONE, system.false_interruptions


def _order(spot: _Spot) -> tuple[bool, float, str]:
    """Numbers by size, then words as they are."""
    if _is_number(spot.value):
        return False, float(spot.value), ""  # type: ignore[arg-type]
    return True, 0.0, _text(spot.value)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Scalar) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _parts(of: Estimate) -> tuple[object, ...]:
    return of.value, of.low, of.high, of.n


def _draw(setting: str, series: list[_Series], width: float) -> Figure:
    values = sorted({spot for one in series for spot in one.spots}, key=_order)
    places = _places([spot.value for spot in values])
    panels = [
        lambda axes: _trade_off(axes, series),
        _against(setting, series, places, "latency"),
        _against(setting, series, places, "false"),
    ]
    return panelled(width, panels, [one.name for one in series])


def _places(values: list[Scalar]) -> dict[str, float]:
    """Where values stand on the axis: numbers at themselves, words in a row."""
    texts = list(dict.fromkeys(map(_text, values)))
    if all(map(_is_number, values)):
        return {_text(value): float(value) for value in values}  # type: ignore[arg-type]
    return {text: float(number) for number, text in enumerate(texts)}


def _trade_off(axes: Any, series: list[_Series]) -> None:
    for number, one in enumerate(series):
        both = [s for s in one.spots if s.latency.value is not None and s.false.value is not None]
        xs = [s.latency.value for s in both if s.latency.value is not None]
        ys = [s.false.value for s in both if s.false.value is not None]
        curve(axes, number, xs, ys)
        # The ends say which way the line goes.
        ends: dict[tuple[float, float], list[str]] = {}
        for at in sorted({0, len(both) - 1}) if both else ():
            ends.setdefault((xs[at], ys[at]), []).append(_text(both[at].value))
        for place, values in ends.items():
            axes.annotate(
                clean(", ".join(values)), place, xytext=(4, 3),
                textcoords="offset points", fontsize=LABEL, color=LIGHT["ink"],
            )  # fmt: skip
    axes.margins(x=0.09)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(_LATENCY)
    axes.set_ylabel(_FALSE)
    percent(axes)


def _against(
    setting: str, series: list[_Series], places: dict[str, float], what: str
) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        shift = 0.012 * (max(places.values()) - min(places.values()))
        for number, one in enumerate(series):
            aside = shift * (number - (len(series) - 1) / 2)
            found = [(places[_text(s.value)] + aside, getattr(s, what)) for s in one.spots]
            known = [(x, of) for x, of in found if of.value is not None]
            curve(axes, number, [x for x, _ in known], [of.value for _, of in known])
            for x, of in known:
                spot(axes, number, x, of.value, up=(of.low, of.high))
        _values_below(axes, places)
        axes.set_xlabel(clean(setting))
        axes.set_ylabel(_LATENCY if what == "latency" else _FALSE)
        if what == "latency":
            axes.set_ylim(bottom=0)
        else:
            percent(axes)

    return draw


def _values_below(axes: Any, places: dict[str, float]) -> None:
    from matplotlib.ticker import MaxNLocator

    texts, at = [clean(text) for text in places], list(places.values())
    if len(at) <= 8:
        axes.set_xticks(at, texts)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(8))
