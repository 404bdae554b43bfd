"""A whole conversation in one line a speaker: who spoke when, without the words.

Drawn for several systems under one another on one time axis, it shows at a glance what differs: who
waits, who talks on, who stops.
"""

from __future__ import annotations

from collections.abc import Sequence

from duo.speech import Conversation
from reports.plots.bands import GAP, Row
from reports.plots.scene import Dot, Line, Rect, Scene, Stroke
from reports.plots.shown import stretches
from reports.plots.staff import LEVEL, name_width
from reports.plots.style import DESK, LABEL
from reports.plots.typeset import width as text_width

_MARGIN, _USER, _SYSTEM, _BETWEEN = 6.0, 6.0, 9.0, 9.0  # points
_TICK = 40.0  # points between labelled moments, at least
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)  # seconds


def overview(lanes: Sequence[Conversation], *, width: float = DESK) -> Scene:
    """Lay out what systems made of the same scenario, `width` points wide."""
    scene = Scene(width)
    gutter = max((name_width(part.system) for part in lanes), default=0.0)
    seconds = max([part.seconds for part in lanes] + [1.0])
    row = Row(0.0, seconds, _MARGIN + gutter + GAP, width - _MARGIN, last=True)
    top = _MARGIN + LEVEL
    for part in lanes:
        top = _part(scene, part, row, top) + _BETWEEN
    per_second = (row.right - row.left) / seconds
    step = next((n for n in _STEPS if n * per_second >= _TICK), 3600)
    for moment in range(0, int(seconds) + 1, step):
        text = f"{moment} s"
        x = row.x(moment)
        left = min(x, row.right - text_width(text, LABEL))
        scene.add(
            Line(left, _MARGIN + LABEL, text, LABEL, "faint"),
            Stroke(((x, _MARGIN + LEVEL), (x, top - _BETWEEN + 2)), "grid", layer=0),
        )
    scene.height = top - _BETWEEN + _MARGIN
    return scene


def _part(scene: Scene, lanes: Conversation, row: Row, top: float) -> float:
    system = top + _USER + 1.5
    bottom = system + _SYSTEM
    name_left = row.left - GAP - name_width(lanes.system)
    scene.add(Line(name_left, system + 0.75 * LABEL, lanes.system, LABEL, "speech", "bold"))
    for utterance in lanes.utterances:
        remark = utterance.label == "non_query"
        role = "remark" if remark else "query"
        for start, end in stretches(utterance.shown):
            x, wide = row.x(start), max(row.x(end) - row.x(start), 1.0)
            scene.add(Rect(x, top, wide, _USER, f"{role}-tint", role, 1.0, dashed=remark))
    said = [word for answer in (*lanes.answers, *lanes.wordless) for word in answer.shown]
    for start, end in stretches(said):
        x, wide = row.x(start), max(row.x(end) - row.x(start), 1.0)
        scene.add(Rect(x, system, wide, _SYSTEM, "speech-tint", "speech", 1.0))
    for start, end in lanes.waits:
        middle = system + _SYSTEM / 2
        scene.add(Stroke(((row.x(start), middle), (row.x(end), middle)), "faint", 0.7))
    for answer in lanes.answers:
        if answer.ending == "cut":
            x = row.x(answer.ended)
            scene.add(Stroke(((x, system - 2), (x, bottom + 2)), "cut", 1.8))
    for decision in lanes.decisions:
        filled = decision.by == "state"
        scene.add(Dot(row.x(decision.at), top + _USER + 0.75, 4.0, decision.action, filled))
    return bottom
