"""Draw what a setting does to latency and to false interruptions (`duo bench sweep`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from duo.escape import visible
from duo.files import files_below, read_result
from evaluation.interaction.bootstrap import Figure as Estimate
from evaluation.interaction.results import Interaction, Intervals, interaction, read_all
from reports.plots.chart import Chart, make_chart
from reports.plots.interaction import parts
from reports.plots.panels import curve, panels, percent
from reports.plots.style import LABEL, LIGHT
from sessions.sweep import SweepResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = (
    "series", "system", "value", "point", "response latency p50 (s)", "low", "high",
    "answered queries", "false interruptions", "low", "high", "remarks",
)  # fmt: skip
_LATENCY, _FALSE = "median response latency (s)", "false interruptions"


@dataclass(frozen=True)
class Scored:
    """A point of a sweep: its settings and, of each system, the latency and false interruptions.

    `left_out` is the number of transcripts that could not be scored.
    """

    name: str
    swept: Mapping[str, Any]
    systems: Mapping[str, tuple[Estimate, Estimate]]
    left_out: int = 0


@dataclass(frozen=True)
class SweepScores:
    """A sweep of so many scenarios, scored; `systems` says in which order they are drawn."""

    points: tuple[Scored, ...]
    systems: tuple[str, ...] = ()
    scenarios: int = 0
    intervals: Intervals = field(default_factory=Intervals)


class _Spot(NamedTuple):
    """A system with one value of the setting."""

    value: Any
    point: str
    latency: Estimate
    false: Estimate


#: By series, its system and its spots in the order of the setting's values: all else is equal.
_Series = dict[str, tuple[str, list[_Spot]]]


def sweep_scores(folder: Path) -> SweepScores:
    """Score every point of a sweep as `duo eval interaction` does.

    Args:
        folder: of `duo bench sweep`, or its `sweep.json`; a point that was not recorded has no
            systems.

    Raises:
        BadInput: there is no `sweep.json`, or it is not one.
    """
    path = folder / "sweep.json" if folder.is_dir() else folder
    found = read_result(path, SweepResult)
    scored = {
        point.name: interaction(*read_all([path.parent / point.name]))
        for point in found.points
        if files_below(path.parent / point.name, ".jsonl")
    }
    return SweepScores(
        tuple(_scored(point.name, point.swept, scored.get(point.name)) for point in found.points),
        found.systems,
        len(found.scenarios),
        next((one.intervals for one in scored.values()), Intervals()),
    )


def _scored(name: str, swept: Mapping[str, Any], found: Interaction | None) -> Scored:
    if found is None:
        return Scored(name, swept, {})
    systems = {
        system: (figures.response_latency["seconds"].p50, figures.false_interruptions)
        for system, figures in found.systems.items()
    }
    return Scored(name, swept, systems, len(found.left_out))


def sweep(found: SweepScores) -> list[Chart]:
    """Draw a chart for each setting that was swept, in the order of the file.

    Where several were swept together, each combination of the others is a series of its own.
    """
    names = dict.fromkeys(name.rpartition(".")[2] for point in found.points for name in point.swept)
    series = {name: _series(found, name) for name in names}
    return [_chart(found, name, lines) for name, lines in series.items() if lines]


def _chart(found: SweepScores, setting: str, series: _Series) -> Chart:
    left_out = sum(point.left_out for point in found.points)
    missing = [point.name for point in found.points if not point.systems]
    method = f" ({found.intervals.method})" if found.intervals.method else ""
    return make_chart(
        f"sweep-{re.sub(r'[^a-z0-9]+', '-', setting.lower()).strip('-') or 'setting'}",
        f"Sweep of {visible(setting)}",
        [
            f"What {setting} does to how soon a query is answered (median) and to how often an "
            "answer is given up for something that is no query; all else equal along a line.",
            f"{found.scenarios} scenarios for each point; intervals: "
            f"{100 * found.intervals.level:g} %{method}.",
            f"{left_out} transcripts could not be scored." if left_out else "",
            f"Not recorded: {', '.join(missing)}." if missing else "",
        ],
        _COLUMNS,
        [
            (name, system, one.value, one.point, *parts(one.latency), *parts(one.false))
            for name, (system, spots) in series.items()
            for one in spots
        ],
        lambda _, width: _draw(setting, [spots for _, spots in series.values()], [*series], width),
        counts="remarks",
    )


def _series(found: SweepScores, setting: str) -> _Series:
    """Make the lines of a setting: those with two values or more, and something to show."""
    lines: dict[tuple[str, str], dict[str, _Spot]] = {}
    systems = list(dict.fromkeys([*found.systems, *(s for p in found.points for s in p.systems)]))
    for point in found.points:
        for name, figures in point.systems.items():
            own = _own(point.swept, name)
            if setting not in own:
                continue
            value = own.pop(setting)
            others = ", ".join(f"{key}={_text(own[key])}" for key in sorted(own))
            line = lines.setdefault((name, others), {})
            line.setdefault(_text(value), _Spot(value, point.name, *figures))
    return {
        f"{name}, {others}" if others else name: (name, sorted(line.values(), key=_order))
        for (name, others), line in sorted(lines.items(), key=lambda one: systems.index(one[0][0]))
        if len(line) > 1
        and any((s.latency.value, s.false.value) != (None, None) for s in line.values())
    }


def _own(swept: Mapping[str, Any], system: str) -> dict[str, Any]:
    """Choose the swept settings that this system has; its own win over those of all."""
    own = {name: value for name, value in swept.items() if "." not in name}
    for name, value in swept.items():
        owner, dot, bare = name.rpartition(".")
        if dot and owner == system:
            own[bare] = value
    return own


def _order(one: _Spot) -> tuple[bool, float, str]:
    """Order numbers by size, then words as they are."""
    if _is_number(one.value):
        return False, float(one.value), ""
    return True, 0.0, _text(one.value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return visible(value if isinstance(value, str) else json.dumps(value))


def _draw(setting: str, series: list[list[_Spot]], names: list[str], width: float) -> Figure:
    values = sorted((one for spots in series for one in spots), key=_order)
    texts = list(dict.fromkeys(_text(one.value) for one in values))
    # Numbers stand at themselves, words in a row.
    if all(_is_number(one.value) for one in values):
        places = {_text(one.value): float(one.value) for one in values}
    else:
        places = {text: float(number) for number, text in enumerate(texts)}
    with panels(width, 3, names) as (figure, [both, seconds, false]):
        for number, spots in enumerate(series):
            _trade_off(both, number, spots)
        both.margins(x=0.09)
        both.locator_params(axis="x", nbins=6)
        both.set(xlabel=_LATENCY, ylabel=_FALSE)
        percent(both)
        for axes, what, label in ((seconds, "latency", _LATENCY), (false, "false", _FALSE)):
            for number, spots in enumerate(series):
                aside = number - (len(series) - 1) / 2  # so that no interval hides another
                _against(axes, number, spots, places, what, aside)
            if len(places) <= 8:
                axes.set_xticks(list(places.values()), texts)
            else:
                axes.locator_params(axis="x", nbins=8)
            axes.set(xlabel=visible(setting), ylabel=label)
        seconds.set_ylim(bottom=0)
        percent(false)
    return figure


def _trade_off(axes: Any, number: int, spots: list[_Spot]) -> None:
    """Draw one figure against the other; values at the ends say which way the line goes."""
    known = [
        (one.latency.value, one.false.value, _text(one.value))
        for one in spots
        if one.latency.value is not None and one.false.value is not None
    ]
    curve(axes, number, [x for x, _, _ in known], [y for _, y, _ in known])
    ends: dict[tuple[float, float], list[str]] = {}
    for x, y, text in dict.fromkeys((*known[:1], *known[-1:])):
        ends.setdefault((x, y), []).append(text)
    for place, texts in ends.items():
        axes.annotate(
            ", ".join(texts), place, xytext=(4, 3), textcoords="offset points", fontsize=LABEL,
            color=LIGHT["ink"],
        )  # fmt: skip


def _against(
    axes: Any, number: int, spots: list[_Spot], places: dict[str, float], what: str, aside: float
) -> None:
    """Draw a figure against the setting's values, `aside` steps beside them."""
    shift = 0.012 * (max(places.values()) - min(places.values())) * aside
    known = [
        (places[_text(one.value)] + shift, of)
        for one in spots
        if (of := getattr(one, what)).value is not None
    ]
    values, ends = [of.value for _, of in known], [(of.low, of.high) for _, of in known]
    curve(axes, number, [x for x, _ in known], values, ends)
