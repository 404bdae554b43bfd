"""The legend of a timeline: the signs that occur in it, and no others."""

from __future__ import annotations

from reports.plots.scene import Dot, Line, Rect, Scene, Stroke
from reports.plots.style import LABEL
from reports.plots.typeset import width

_SWATCH, _LEADING = 13.0, 1.75 * LABEL

#: Sign and what it means, in the order in which they are explained.
_MEANINGS = {
    "query": "user: query",
    "remark": "user: non-query",
    "unlabelled": "user",
    "speech": "system speaks",
    "forgotten": "spoken, then forgotten",
    "overlap": "both speak",
    "wait": "the user waits",
    "fork": "begins to listen",
    "expected": "words expected next",
    "<respond>": "the model says: a query, answer",
    "<ignore>": "the model says: not a query, go on",
    "patience": "decided by silence alone",
    "slice": "decided in a time slice",
    "revision": "nothing was said after all",
    "complete": "answer complete",
    "cut": "answer cut short",
}


def legend(scene: Scene, signs: set[str], *, left: float, right: float, top: float) -> float:
    """Add the legend for these signs, as many to a line as fit; the y where it ends."""
    x, y = left, top
    for sign, meaning in _MEANINGS.items():
        if sign not in signs:
            continue
        wide = _SWATCH + 4 + width(meaning, LABEL)
        if x > left and x + wide > right:
            x, y = left, y + _LEADING
        scene.add(*_swatch(sign, x, y))
        scene.add(Line(x + _SWATCH + 4, y + LABEL, meaning, LABEL, "soft"))
        x += wide + 10
    return y + _LEADING


def _swatch(sign: str, x: float, y: float) -> list[Rect | Stroke | Dot | Line]:
    box = x, y + 0.5, _SWATCH, LABEL
    middle = y + 0.5 + LABEL / 2
    match sign:
        case "query":
            return [Rect(*box, "query-tint", "query", 2)]
        case "remark":
            return [Rect(*box, "remark-tint", "remark", 2, dashed=True)]
        case "unlabelled":
            return [Rect(*box, "grid", "soft", 2)]
        case "speech":
            return [Rect(*box, "speech-tint", "speech", 2)]
        case "forgotten":
            return [
                Rect(*box, "speech-tint", "speech", 2),
                Rect(*box, edge="forgotten", hatch="forgotten"),
            ]
        case "overlap":
            return [Rect(*box, hatch="overlap", edge="overlap")]
        case "wait":
            return [Stroke(((x, middle), (x + _SWATCH, middle)), "soft", arrow=True)]
        case "fork":
            return [Dot(x + _SWATCH / 2, middle, 3.4, "soft", filled=False)]
        case "expected":
            return [Line(x, y + LABEL, "abc", LABEL, "faint", italic=True)]
        case "complete":
            return [Dot(x + _SWATCH / 2, middle, 3.2, "speech", sign="s")]
        case "cut":
            return [Stroke(((x + _SWATCH / 2, y), (x + _SWATCH / 2, y + LABEL + 1)), "cut", 1.8)]
        case "<respond>" | "<ignore>":
            return [Rect(*box, sign[1:-1], sign[1:-1], 3)]
        case "patience":
            return [Rect(*box, "paper", "respond", 3, dashed=True)]
        case "slice" | "revision":
            return [Rect(*box, "paper", "respond", 3)]
        case _:
            raise ValueError(f"no such sign: {sign}")
