"""Draw what decoding costs (`duo bench decode`): passes, speed, and many conversations at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from duo.escape import visible
from evaluation.decode_bench.results import DecodeBench, Spread
from reports.plots.chart import Chart, make_chart
from reports.plots.panels import curve, panels, spot
from reports.plots.style import LABEL, LIGHT
from reports.plots.typeset import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PASSES, _RATE = "passes per output token", "tokens per second"
_LISTENING = "listening while speaking"


def cost(found: DecodeBench) -> Chart | None:
    """Draw forward passes for each output token, tokens a second, and many sessions at once."""
    if not found.systems and not found.together:
        return None
    where = ", ".join(part for part in (found.device, found.dtype) if part)
    threads = f", {found.threads} threads" if found.threads else ""
    rows = list(_rows(found))
    return make_chart(
        "cost",
        "What decoding costs",
        [
            f"What decoding costs: {found.model} on {where}{threads}. Passes for each token of the "
            "answer, over the whole conversation and where the user is heard over the answer; "
            "tokens a second while nobody speaks and in that part. Medians of "
            f"{found.rounds} interleaved rounds; lines from the least to the greatest. "
            "transformers' generate() makes "
            f"{found.generate.tokens_per_second.median:.1f} tokens/s; reading all weights for each "
            f"token would allow {found.limit.tokens_per_second:.1f} (limit)."
        ],
        ("figure", "system", "sessions", "value", "low", "high"),
        rows,
        lambda _, width: _draw(found, rows, width),
    )


def _rows(found: DecodeBench) -> Iterator[tuple[Any, ...]]:
    for name, cost in found.systems.items():
        for figure, part, of in (
            (_PASSES, "whole conversation", cost.passes_per_token),
            (_PASSES, _LISTENING, cost.passes_per_token_listening),
            (_RATE, "alone", cost.tokens_per_second.alone),
            (_RATE, _LISTENING, cost.tokens_per_second.listening),
        ):
            if of is not None:
                yield (f"{figure}, {part}", name, None, *_parts(of))
    yield (_RATE, "generate()", None, *_parts(found.generate.tokens_per_second))
    yield (_RATE, "limit", None, *_parts(found.limit.tokens_per_second))
    for one in found.together:
        yield (f"{_RATE}, N at once", "duo", one.sessions, *_parts(one.tokens_per_second))


def _parts(of: Spread | float) -> tuple[float | None, ...]:
    return (of.median, of.low, of.high) if isinstance(of, Spread) else (of, None, None)


def _draw(found: DecodeBench, rows: list[tuple[Any, ...]], width: float) -> Figure:
    systems = list(found.systems)
    names = ("whole conversation, or alone", _LISTENING) if systems else ()
    generate, limit = found.generate.tokens_per_second.median, found.limit.tokens_per_second
    count = 2 * bool(systems) + bool(found.together)
    with panels(width, count, names, lines=False) as (figure, every):
        if systems:
            _systems(every[0], systems, rows, _PASSES, {"": 1.0})
            _systems(every[1], systems, rows, _RATE, {"generate()": generate, "limit": limit})
        if found.together:
            _together(every[-1], found)
    return figure


def _systems(
    axes: Any,
    systems: list[str],
    rows: list[tuple[Any, ...]],
    label: str,
    marks: Mapping[str, float],
) -> None:
    """Draw a row for each system with a dot for each series, and lines at the marks."""
    for figure, system, sessions, value, low, high in rows:
        if sessions or not figure.startswith(f"{label}, "):
            continue
        series = int(figure.endswith(_LISTENING))
        y = systems.index(system) + 0.22 * (2 * series - 1)
        spot(axes, series, value, y, across=(low, high))
        axes.annotate(
            f"{value:.2f}" if value < 10 else f"{value:.1f}", (high or value, y), (4, 0),
            textcoords="offset points", fontsize=LABEL - 0.5, va="center_baseline",
            color=LIGHT["soft"], zorder=3,
            bbox={"pad": 0.4, "facecolor": LIGHT["paper"], "edgecolor": "none"},
        )  # fmt: skip
    for name, value in marks.items():
        # The name of the lesser stands to the left of its line, that of the greater to the right.
        least = value <= min(marks.values())
        dashes = (0, (4, 2)) if least and name else "solid"
        axes.axvline(value, color=LIGHT["faint"], linewidth=0.8, linestyle=dashes, zorder=0.9)
        axes.annotate(
            name, (value, 1), (2 - 4 * least, 1), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=LABEL - 0.5, color=LIGHT["soft"],
            ha="right" if least else "left", va="bottom",
        )  # fmt: skip
    axes.set_yticks(range(len(systems)), [fit(visible(name), 70, LABEL) for name in systems])
    axes.set_ylim(len(systems) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.15 * axes.get_xlim()[1])  # room for the numbers
    axes.set_xlabel(label)


def _together(axes: Any, found: DecodeBench) -> None:
    every = sorted(found.together, key=lambda one: one.sessions)
    sessions = [one.sessions for one in every]
    rates = [one.tokens_per_second for one in every]
    curve(axes, 2, sessions, [r.median for r in rates], [(r.low, r.high) for r in rates])
    axes.set_xticks(sessions)
    axes.set_ylim(bottom=0)
    axes.set(xlabel="conversations at once (N)", ylabel=_RATE)
