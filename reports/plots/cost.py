"""Draw what decoding costs (`duo bench decode`): passes, speed, and many conversations at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from duo.table import visible
from evaluation.decode_bench.results import DecodeBench, Spread
from reports.plots.chart import Chart, make_chart, typed
from reports.plots.panels import curve, panels, spot
from reports.plots.style import LABEL, LIGHT
from reports.plots.typeset import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("figure", "system", "sessions", "value", "low", "high")
_PASSES, _RATE = "passes per output token", "tokens per second"
#: The two series of a system.
_SERIES = ("whole conversation, or alone", "listening while speaking")

#: By system, a figure of each series: value, low, high; None where it was not measured.
_Pairs = Mapping[str, tuple[tuple[float, float, float] | None, ...]]


def decode_cost(decode_bench_json: Any) -> Chart | None:
    """Draw forward passes for each output token, tokens a second, and many sessions at once.

    Args:
        decode_bench_json: the JSON of `duo bench decode`.

    Returns:
        None if no system was measured.

    Raises:
        BadInput: it is something else.
    """
    found = typed(decode_bench_json, DecodeBench)
    passes: _Pairs = {
        name: tuple(v and (v, v, v) for v in (c.passes_per_token, c.passes_per_token_listening))
        for name, c in found.systems.items()
    }
    rates: _Pairs = {
        name: tuple(map(_parts, (c.tokens_per_second.alone, c.tokens_per_second.listening)))
        for name, c in found.systems.items()
    }
    if not found.systems and not found.together:
        return None
    rows = _rows(found, passes, rates)
    where = ", ".join(part for part in (found.device, found.dtype) if part)
    threads = f", {found.threads} threads" if found.threads else ""
    generate, limit = found.generate.tokens_per_second, found.limit.tokens_per_second
    return make_chart(
        "cost",
        "What decoding costs",
        [
            f"What decoding costs: {found.model} on {where}{threads}. Passes for each token of the "
            "answer, over the whole conversation and where the user is heard over the answer; "
            "tokens a second while nobody speaks and in that part. Medians of "
            f"{found.rounds} interleaved rounds; lines from the least to the greatest.",
            f"The dashed line is transformers' generate(): {generate.median:.1f} tokens/s."
            if generate
            else "",
            f"Reading all weights for each token would allow {limit:.1f} tokens/s (limit)."
            if limit
            else "",
        ],
        _COLUMNS,
        rows,
        lambda width: _draw(found, passes, rates, width),
    )


def _parts(of: Spread | None) -> tuple[float, float, float] | None:
    return None if of is None else (of.median, of.low, of.high)


def _rows(found: DecodeBench, passes: _Pairs, rates: _Pairs) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for name in found.systems:
        for figure, alone, pairs in (
            (_PASSES, "whole conversation", passes),
            (_RATE, "alone", rates),
        ):
            for part, of in zip((alone, _SERIES[1]), pairs[name], strict=True):
                if of is not None:
                    low_high = (None, None) if pairs is passes else of[1:]
                    rows.append((f"{figure}, {part}", name, None, of[0], *low_high))
    if generate := _parts(found.generate.tokens_per_second):
        rows.append((_RATE, "generate()", None, *generate))
    if found.limit.tokens_per_second:
        rows.append((_RATE, "limit", None, found.limit.tokens_per_second, None, None))
    rows += [
        (f"{_RATE}, N at once", "duo", one.sessions, *_parts(one.tokens_per_second))  # type: ignore[misc]
        for one in found.together
    ]
    return rows


def _draw(found: DecodeBench, passes: _Pairs, rates: _Pairs, width: float) -> Figure:
    count = 2 * bool(found.systems) + bool(found.together)
    names = _SERIES if found.systems else ()
    with panels(width, count, names, lines=False) as (figure, every):
        remaining = iter(every)
        if found.systems:
            _systems(next(remaining), passes, _PASSES, {"": 1.0})
            generate, limit = found.generate.tokens_per_second, found.limit.tokens_per_second
            _systems(
                next(remaining), rates, _RATE,
                {"generate()": generate and generate.median, "limit": limit},
            )  # fmt: skip
        if found.together:
            _together(next(remaining), found)
    return figure


def _systems(axes: Any, pairs: _Pairs, label: str, marks: Mapping[str, float | None]) -> None:
    """A row for each system with a dot for each series, and lines at the marks."""
    for at, series in enumerate(pairs.values()):
        for number, of in enumerate(series):
            if of is not None:
                value, low, high = of
                y = at + 0.22 * (2 * number - 1)
                spot(axes, number, value, y, across=(low, high))
                axes.annotate(
                    f"{value:.2f}" if value < 10 else f"{value:.1f}", (high, y), (4, 0),
                    textcoords="offset points", fontsize=LABEL - 0.5, va="center_baseline",
                    color=LIGHT["soft"], zorder=3,
                    bbox={"pad": 0.4, "facecolor": LIGHT["paper"], "edgecolor": "none"},
                )  # fmt: skip
    for number, (name, value) in enumerate(marks.items()):
        if value is not None:
            style = "solid" if number or not name else (0, (4, 2))
            axes.axvline(value, color=LIGHT["faint"], linewidth=0.8, linestyle=style, zorder=0.9)
            # The name of the lesser stands to its left, that of the greater to its right.
            least = value <= min(other for other in marks.values() if other is not None)
            axes.annotate(
                name, (value, 1), xycoords=("data", "axes fraction"), xytext=(2 - 4 * least, 1),
                textcoords="offset points", fontsize=LABEL - 0.5, color=LIGHT["soft"],
                ha="right" if least else "left", va="bottom",
            )  # fmt: skip
    axes.set_yticks(range(len(pairs)), [fit(visible(name), 70, LABEL) for name in pairs])
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.15 * axes.get_xlim()[1])  # room for the numbers
    axes.set_xlabel(label)


def _together(axes: Any, found: DecodeBench) -> None:
    every = sorted(found.together, key=lambda one: one.sessions)
    curve(axes, 2, [o.sessions for o in every], [o.tokens_per_second.median for o in every])
    for one in every:
        median, *ends = _parts(one.tokens_per_second)  # type: ignore[misc]
        spot(axes, 2, one.sessions, median, up=(ends[0], ends[1]))
    axes.set_xticks([one.sessions for one in every])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("conversations at once (N)")
    axes.set_ylabel(_RATE)
