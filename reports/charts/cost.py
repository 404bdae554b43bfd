"""What decoding costs (`duo bench decode`): passes and speed by system, and many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.charts.chart import Chart
from reports.charts.forms import Decode, Spread, checked
from reports.charts.looks import look
from reports.charts.panels import curve, panelled, spot
from reports.escape import visible
from reports.figures.style import LABEL, LIGHT
from reports.figures.typeset import clean, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("figure", "system", "sessions", "value", "low", "high")
_PASSES, _RATE, _MANY = (
    "passes per output token",
    "tokens per second",
    "tokens per second, N at once",
)
#: The two series of a system.
_SERIES = ("whole conversation, or alone", "listening while speaking")


def decode_cost(decode_bench_json: Any) -> Chart | None:
    """Forward passes for each output token, tokens a second, and throughput with many sessions.

    Args:
        decode_bench_json: the JSON of `duo bench decode`.

    Returns:
        None if no system was measured.

    Raises:
        BadInput: it is something else.
    """
    found = checked(Decode, decode_bench_json)
    rows = _rows(found)
    if not rows:
        return None
    where = ", ".join(part for part in (found.device, found.dtype) if part)
    threads = f", {found.threads} threads" if found.threads else ""
    against = [
        f"transformers' generate() makes {found.generate.tokens_per_second.median:.1f} tokens/s"
        if found.generate.tokens_per_second
        else "",
        f"reading all weights for each token would allow {found.limit.tokens_per_second:.1f}"
        if found.limit.tokens_per_second
        else "",
    ]
    said = "; ".join(part for part in against if part)
    caption = (
        f"What decoding costs: {found.model} on {where}{threads}. Passes for each token of the "
        "answer, over the whole conversation and where the user is heard over the answer; tokens "
        "a second while nobody speaks and in that part. Medians of "
        f"{found.rounds} interleaved rounds; lines from the least to the greatest."
    )
    return Chart(
        name="cost",
        title="What decoding costs",
        caption=clean(f"{caption} {said[:1].upper()}{said[1:]}." if said else caption),
        columns=_COLUMNS,
        rows=tuple(rows),
        draw=lambda width: _draw(found, width),
    )


def _rows(found: Decode) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, cost in found.systems.items():
        rows += [
            (f"{_PASSES}, {part}", name, None, value, None, None)
            for part, value in (
                ("whole conversation", cost.passes_per_token),
                ("listening while speaking", cost.passes_per_token_listening),
            )
            if value is not None
        ]
        rows += [
            (f"{_RATE}, {part}", name, None, *_parts(spread))
            for part, spread in (
                ("alone", cost.tokens_per_second.alone),
                ("listening while speaking", cost.tokens_per_second.listening),
            )
            if spread is not None
        ]
    if found.generate.tokens_per_second:
        rows.append((_RATE, "generate()", None, *_parts(found.generate.tokens_per_second)))
    if found.limit.tokens_per_second:
        rows.append((_RATE, "limit", None, found.limit.tokens_per_second, None, None))
    rows += [(_MANY, "duo", one.sessions, *_parts(one.tokens_per_second)) for one in found.together]
    return rows


def _parts(of: Spread) -> tuple[float, float, float]:
    return of.median, of.low, of.high


def _draw(found: Decode, width: float) -> Figure:
    panels = []
    if found.systems:
        panels += [lambda axes: _passes(axes, found), lambda axes: _rates(axes, found)]
    if found.together:
        panels.append(lambda axes: _many(axes, found))
    names = _SERIES if found.systems else ()
    return panelled(width, panels, names, lines=False)


def _passes(axes: Any, found: Decode) -> None:
    for at, cost in enumerate(found.systems.values()):
        for number, value in enumerate((cost.passes_per_token, cost.passes_per_token_listening)):
            if value is not None:
                _dot(axes, number, at, value, value, value)
    axes.axvline(1, color=LIGHT["rule"], linewidth=0.7, zorder=0.9)
    axes.set_xlabel(_PASSES)
    _systems(axes, found)


def _rates(axes: Any, found: Decode) -> None:
    for at, cost in enumerate(found.systems.values()):
        rates = cost.tokens_per_second
        for number, spread in enumerate((rates.alone, rates.listening)):
            if spread is not None:
                _dot(axes, number, at, *_parts(spread))
    generate = found.generate.tokens_per_second
    if generate is not None:
        axes.axvline(generate.median, color=LIGHT["faint"], linewidth=0.8, linestyle=(0, (4, 2)))
        axes.annotate(
            "generate()", (generate.median, 1), xycoords=("data", "axes fraction"),
            xytext=(-2, 1), textcoords="offset points", fontsize=LABEL - 0.5, ha="right",
            va="bottom", color=LIGHT["soft"],
        )  # fmt: skip
    if found.limit.tokens_per_second is not None:
        axes.axvline(found.limit.tokens_per_second, color=LIGHT["faint"], linewidth=0.8)
        axes.annotate(
            "limit", (found.limit.tokens_per_second, 1), xycoords=("data", "axes fraction"),
            xytext=(0, 1), textcoords="offset points", fontsize=LABEL - 0.5, ha="center",
            va="bottom", color=LIGHT["soft"],
        )  # fmt: skip
    axes.set_xlabel(_RATE)
    _systems(axes, found)


def _many(axes: Any, found: Decode) -> None:
    every = sorted(found.together, key=lambda one: one.sessions)
    curve(axes, 2, [o.sessions for o in every], [o.tokens_per_second.median for o in every])
    for one in every:
        median, low, high = _parts(one.tokens_per_second)
        spot(axes, 2, one.sessions, median, up=(low, high))
    axes.set_xticks([one.sessions for one in every])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("conversations at once (N)")
    axes.set_ylabel("tokens per second")


def _dot(axes: Any, number: int, at: int, value: float, low: float, high: float) -> None:
    how, y = look(number), at + 0.22 * (2 * number - 1)
    axes.plot([low, high], [y, y], color=how.ink, linewidth=0.9)
    axes.plot([value], [y], how.marker, color=how.ink, markersize=4, zorder=4)
    text = f"{value:.2f}" if value < 10 else f"{value:.1f}"
    axes.annotate(
        text, (high, y), xytext=(4, 0), textcoords="offset points", fontsize=LABEL - 0.5,
        va="center_baseline", color=LIGHT["soft"], zorder=3,
        bbox={"pad": 0.4, "facecolor": LIGHT["paper"], "edgecolor": "none"},
    )  # fmt: skip


def _systems(axes: Any, found: Decode) -> None:
    names = [fit(visible(name), 70, LABEL) for name in found.systems]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    low, high = axes.get_xlim()
    axes.set_xlim(min(0.0, low), high + 0.12 * (high - min(0.0, low)))  # room for the numbers
