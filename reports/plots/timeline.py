"""A conversation over time, the user above and the system below (the paper's Figure 3).

Words stand where they were spoken. What a look at the picture should tell: who spoke when, where
both did, how long the user waited, what each utterance was taken for and by what (a state token, or
silence alone), which answer was cut short and what of it was forgotten. Conversations that several
systems held can be drawn under one another on one time axis, line by line, as in a score.

`compose` lays out, `reports.plots.scene.paint` draws; `draw` does both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING

from duo.speech import Conversation
from duo.table import clean
from duo.transcript import Transcript
from reports.plots.bands import GAP, Row
from reports.plots.legend import legend
from reports.plots.scene import Line, Scene, Stroke, paint
from reports.plots.shown import read_shown
from reports.plots.staff import LEVEL, Staff, name_width
from reports.plots.style import BODY, DESK, HEADING, LABEL
from reports.plots.typeset import Weight, fit
from reports.plots.typeset import width as text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARGIN = 6.0

#: A second is at least so wide (points), and a row not shorter than this without need (seconds).
_SECOND, _SHORT_ROW = 42.0, 8
_TICK = 60.0  # points between labelled moments, at least


def draw(transcript: Transcript, *, width: float = DESK) -> Figure:
    """The timeline of one transcript as a figure `width` points wide."""
    header = transcript.header
    heading = f"{header.scenario} · {header.system}"
    caption = f"{header.model} · {header.clock} clock · cycles of {header.cycle_seconds:g} s"
    lanes = [read_shown(transcript)]
    return paint(compose(lanes, width=width, heading=clean(heading), caption=clean(caption)))


def compose(
    lanes: Sequence[Conversation], *, width: float = DESK, heading: str = "", caption: str = ""
) -> Scene:
    """Lay out what systems made of the same scenario, under one another on one time axis.

    Args:
        lanes: a conversation with each system, from top to bottom.
        width: of the picture, in points; its height follows from what is said.
        heading: a title above; "" for none.
        caption: a smaller line below the title; "" for none.
    """
    scene = Scene(width)
    top = _MARGIN
    for text, size, ink, weight in _titles(heading, caption):
        line = fit(text, width - 2 * _MARGIN, size, weight)
        scene.add(Line(_MARGIN, top + size, line, size, ink, weight))
        top += 1.6 * size
    gutter = max(name_width(name) for name in ("user", *(part.system for part in lanes)))
    signs: set[str] = set()
    skipped = 0.0
    for row in _rows(lanes, left=_MARGIN + gutter + GAP, right=width - _MARGIN):
        if all(_is_silent(part, row) for part in lanes):
            skipped += row.end - row.start
            continue
        if skipped:
            note = f"{skipped:g} s of silence left out"
            scene.add(Line(row.left, top + LABEL, note, LABEL, "faint", italic=True))
            top, skipped = top + LEVEL, 0.0
        top = _row(scene, lanes, row, top, signs) + 1.3 * BODY
    scene.height = legend(scene, signs, left=_MARGIN, right=width - _MARGIN, top=top) + _MARGIN
    return scene


def _titles(heading: str, caption: str) -> Iterator[tuple[str, float, str, Weight]]:
    if heading:
        yield heading, HEADING, "ink", "bold"
    if caption:
        yield caption, LABEL, "soft", "normal"


def _rows(lanes: Sequence[Conversation], left: float, right: float) -> list[Row]:
    """Rows of equal length, so many that a second is wide enough for what is said in it."""
    seconds = max([part.seconds for part in lanes] + [1.0])
    longest = max(int((right - left) / _SECOND), 1)
    count = ceil(seconds / longest)
    length = max(ceil(seconds / count), min(_SHORT_ROW, longest))
    return [Row(n * length, (n + 1) * length, left, right, n == count - 1) for n in range(count)]


def _is_silent(lanes: Conversation, row: Row) -> bool:
    words = [word for utterance in lanes.utterances for word in utterance.shown]
    words += [word for answer in (*lanes.answers, *lanes.wordless) for word in answer.shown]
    spans = [(word.start, word.end) for word in words]
    answers = (*lanes.answers, *lanes.wordless)
    moments = [*lanes.forks, *(answer.ended for answer in answers)]
    moments += [decision.at for decision in lanes.decisions]
    moments += [remark.at for remark in (*lanes.revisions, *lanes.notes)]
    return not (any(row.clip(*span) for span in spans) or any(row.holds(at) for at in moments))


def _row(
    scene: Scene, lanes: Sequence[Conversation], row: Row, top: float, signs: set[str]
) -> float:
    """One line of the score; the y where it ends."""
    second = (row.right - row.left) / (row.end - row.start)
    step = next((n for n in (1, 2, 5, 10) if n * second >= _TICK), 30)
    moments = range(int(row.start), int(row.end) + 1)
    labelled = [moment for moment in moments if moment % step == 0]
    for moment in labelled:
        text = f"{moment} s"
        x = min(row.x(moment), row.right - text_width(text, LABEL))
        scene.add(Line(x, top + LABEL, text, LABEL, "faint"))
    axis = top = top + LEVEL
    for part in lanes:
        if row.start < part.seconds or len(lanes) == 1:
            top = Staff(scene, part, row, signs).put(top) + BODY
    for moment in moments:
        ends = (row.x(moment), axis), (row.x(moment), top - BODY)
        scene.add(Stroke(ends, "rule" if moment in labelled else "grid", 0.5, layer=0))
    return top - BODY
