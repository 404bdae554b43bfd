"""Which pictures each kind of result gives, and how a picture stands on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from duo.table import clean
from reports.builder.evidence import Evidence, Piece
from reports.plots.style import PHONE, inline_svg, svg_text

if TYPE_CHECKING:
    from reports.plots.chart import Chart

#: By kind of result, what draws it: `module:function` of this room, called with the result.
PRODUCERS: dict[str, tuple[str, ...]] = {
    "ratings": ("plots.preference:preference", "plots.ranking:ranking"),
    "benchmarks": ("builder.accuracy:accuracy",),
    "states": (
        "plots.confusion:confusion",
        "plots.decisions:decisions",
        "plots.calibration:calibration",
        "plots.premature:premature",
        "plots.separation:separation",
    ),
    "probe": ("plots.probe:probe",),
    "interaction": (
        "plots.latency:latency",
        "plots.takeover:takeover",
        "plots.trade_off:trade_off",
    ),
    "sweep": ("plots.sweep:sweep",),
    "training": ("plots.training:training_curves",),
    "decoding": ("plots.cost:decode_cost",),
    "transcripts": ("plots.mask:attention_mask",),
}
#: Width in points of a picture that two of stand side by side on a desk's screen.
_HALF_DESK = 350.0

#: Those that are told of the transcripts, too.
_WITH_TRANSCRIPTS = frozenset({"plots.latency:latency"})


@dataclass(frozen=True)
class Drawn:
    """A chart and the result that it shows."""

    chart: Chart
    piece: Piece[Any]


def drawn(kind: str, piece: Piece[Any], number: int, evidence: Evidence) -> list[Drawn]:
    """The charts of a result.

    Args:
        kind: of the result.
        piece: the result.
        number: which of its kind it is, from 1; from the second on, it is part of charts' names.
        evidence: all that there is.

    Raises:
        BadInput: the result is not as it should be.
    """
    charts = [
        chart
        for name in PRODUCERS.get(kind, ())
        for chart in _charts(_producer(name), name, piece, evidence)
    ]
    if number > 1:
        charts = [replace(chart, name=f"{chart.name}-{number}") for chart in charts]
    return [Drawn(chart, piece) for chart in charts]


def inline(chart: Chart) -> Markup:
    """A chart twice: for a desk's screen and for a phone's; the style sheet picks one."""
    return Markup("").join(
        inline_svg(
            svg_text(chart.draw(width)),
            prefix=f"{chart.name}-{name}",
            label=clean(f"{chart.title}. {chart.caption}"),
            css_class=f"figure chart {name}",
        )
        for name, width in (("wide", _HALF_DESK), ("narrow", PHONE))
    )


def _producer(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    produce: Callable[..., Any] = getattr(import_module(f"reports.{module}"), function)
    return produce


def _charts(
    produce: Callable[..., Any], name: str, piece: Piece[Any], evidence: Evidence
) -> list[Chart]:
    """What a producer makes of a result: nothing, one chart or several."""
    more = (evidence.transcripts,) if name in _WITH_TRANSCRIPTS else ()
    made = produce(piece.content, *more)
    if made is None:
        return []
    return list(made) if isinstance(made, list | tuple) else [made]
