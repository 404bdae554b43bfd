"""Draw a conversation over time, the person above, the assistant below (the paper's Figure 3).

Words stand where they were spoken. What a look at the picture should tell: who spoke when, where
both did, how long the person waited, what each utterance was taken for and by what (a state token,
or silence alone), which answer was cut short and what of it was forgotten. Conversations of several
systems can be drawn under one another on one time axis, line by line, as in a score.

`compose` lays out, `reports.plots.scene.paint` draws; `draw` does both.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, inf
from typing import TYPE_CHECKING, Any

from duo.escape import clean
from duo.palette import USER
from duo.reading import conversation_of
from duo.speech import Conversation
from duo.transcript import Transcript
from reports.plots.chart import Chart, Nothing, make_chart
from reports.plots.lanes import GAP, LEVEL, LOOKS, Lanes, Row, name_width, stretches
from reports.plots.scene import Dot, Item, Line, Rect, Scene, Stroke, moved, paint
from reports.plots.style import BODY, DESK, HEADING, LABEL
from reports.plots.typeset import Weight, fit
from reports.plots.typeset import width as text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Height in points of a paper's page of text.
PAGE = 640.0

_MARGIN = 6.0
#: Points that a second takes: the first is comfortable, the others are for what a page must hold.
_SECONDS = (42.0, 34.0, 27.0, 21.0, 17.0)
_SHORT_ROW = 8  # seconds; a row is not shorter without need
_TICK = 60.0  # points between labelled moments, at least
_OVERVIEW = 6.0, 9.0, 9.0, 40.0  # points: the user's bar, the system's, between systems, ticks
_SWATCH = 13.0
_MIDDLE = 0.5 + LABEL / 2
_ACROSS = (0.0, _MIDDLE), (_SWATCH, _MIDDLE)


def _box(fill: str | None, edge: str, *, radius: float = 3, **more: bool) -> Rect:
    return Rect(0, 0.5, _SWATCH, LABEL, fill, edge, radius, **more)


def _speech(look: str) -> Rect:
    fill, edge, _, dashed = LOOKS[look]
    return _box(fill, edge, radius=2, dashed=dashed)


#: Signs in the order in which they are explained: what each means, and a swatch of it at (0, 0).
_SIGNS: dict[str, tuple[str, Item]] = {
    "query": ("person: question", _speech("query")),
    "remark": ("person: remark", _speech("remark")),
    "unlabelled": (USER, _speech("unlabelled")),
    "speech": ("assistant", _speech("speech")),
    "forgotten": ("spoken, then forgotten", _speech("forgotten")),
    "exact": ("when it was said, where the box is wider", Stroke(_ACROSS, "ink", 2.0)),
    "overlap": ("both speak", _box(None, "overlap", radius=0, hatch=True)),
    "wait": ("the person waits", Stroke(_ACROSS, "soft", arrow=True)),
    "fork": ("begins to listen", Dot(_SWATCH / 2, _MIDDLE, 3.4, "soft", filled=False)),
    "expected": ("words expected next", Line(0, LABEL, "abc", LABEL, "faint", italic=True)),
    "<respond>": ("the model says: a question, answer", _box("respond", "respond")),
    "<ignore>": ("the model says: a remark, go on", _box("ignore", "ignore")),
    "patience": ("decided by silence alone", _box("paper", "respond", dashed=True)),
    "revision": ("nothing was said after all", _box("paper", "respond")),
    "complete": ("answer complete", Dot(_SWATCH / 2, _MIDDLE, 3.2, "speech", sign="s")),
    "cut": ("answer cut short", Stroke(((_SWATCH / 2, 0), (_SWATCH / 2, LABEL + 1)), "cut", 1.8)),
}


def timeline(transcript: Transcript, start: float = 0.0, end: float | None = None) -> Chart:
    """Draw both channels over time, predicted words in grey, states marked.

    Raises:
        Nothing: there is nothing between the seconds `start` and `end`.
    """
    header, talk = transcript.header, conversation_of(transcript)
    until = min(inf if end is None else end, talk.seconds)
    if start >= until and (start or end is not None):
        raise Nothing(f"there is nothing between {start:g} and {until:g} s", field="--from")
    whole = not start and end is None
    labelled = sum(utterance.label is not None for utterance in talk.utterances)
    name = f"timeline-{transcript.header.stem}" + ("" if whole else f"-{start:g}-{until:g}s")
    return make_chart(
        name,
        clean(f"{header.scenario}, {header.system}"),
        [
            f"Scenario {header.scenario} with {header.system} ({header.models}): the person above, "
            f"the assistant below, on a {header.clock} clock with cycles of "
            f"{header.cycle_seconds:g} s.",
            f"{len(talk.utterances)} utterances ({labelled} labelled), {len(talk.answers)} "
            f"answers, {len(talk.decisions)} decisions, {len(talk.forks)} forks.",
            "" if whole else f"Shown are the seconds {start:g} to {until:g} of {talk.seconds:g}.",
        ],
        ("channel", "what", "start (s)", "end (s)", "text", "of", "note"),
        [row for row in _rows_of(talk) if start <= row[2] and (end is None or row[2] < until)],
        lambda _, width: draw(transcript, width=width, tall=PAGE, start=start, end=end),
    )


def draw(
    transcript: Transcript,
    *,
    width: float = DESK,
    tall: float = inf,
    start: float = 0.0,
    end: float | None = None,
) -> Figure:
    """Draw one transcript; for a figure no higher than `tall` points seconds are made narrower."""
    header, talk = transcript.header, conversation_of(transcript)
    heading = f"{header.scenario} · {header.system}"
    caption = f"{header.models} · {header.clock} clock · cycles of {header.cycle_seconds:g} s"
    scenes = []
    for second in _SECONDS:
        scenes.append(
            compose(
                [talk], width=width, heading=heading, caption=caption, second=second,
                start=start, end=end,
            )
        )  # fmt: skip
        if scenes[-1].height <= tall:
            break
    return paint(min(scenes, key=lambda scene: scene.height))


def compose(
    talks: Sequence[Conversation],
    *,
    width: float = DESK,
    heading: str = "",
    caption: str = "",
    second: float = _SECONDS[0],
    start: float = 0.0,
    end: float | None = None,
) -> Scene:
    """Lay out what systems made of the same scenario, under one another on one time axis.

    Args:
        talks: a conversation with each system, from top to bottom.
        width: of the picture, in points; its height follows from what is said.
        heading, caption: a title above, and a smaller line below it; "" for none.
        second: points that a second takes at least.
        start, end: seconds to draw, if not all.
    """
    scene = Scene(width)
    top = _MARGIN
    titles: tuple[tuple[str, float, str, Weight], ...] = (
        (heading, HEADING, "ink", "bold"),
        (caption, LABEL, "soft", "normal"),
    )
    for text, size, ink, weight in titles:
        if text:
            line = fit(clean(text), width - 2 * _MARGIN, size, weight)
            scene.add(Line(_MARGIN, top + size, line, size, ink, weight))
            top += 1.6 * size
    left = _MARGIN + GAP + max(name_width(name) for name in (USER, *(t.system for t in talks)))
    signs: set[str] = set()
    skipped = 0.0
    for row in _rows(talks, left, width - _MARGIN, second, start, end):
        if all(_is_silent(talk, row) for talk in talks):
            skipped += row.end - row.start
            continue
        if skipped:
            note = f"{skipped:g} s of silence left out"
            scene.add(Line(row.left, top + LABEL, note, LABEL, "faint", italic=True))
            top, skipped = top + LEVEL, 0.0
        top = _row(scene, talks, row, top, signs) + 1.3 * BODY
    scene.height = _legend(scene, signs, top) + _MARGIN
    return scene


def _rows(
    talks: Sequence[Conversation],
    left: float,
    right: float,
    second: float,
    start: float,
    end: float | None,
) -> list[Row]:
    """Make rows of equal length, short enough that a second takes `second` points or more."""
    until = max([talk.seconds for talk in talks] + [start + 1.0])
    seconds = min(until, inf if end is None else end) - start
    longest = max(int((right - left) / second), 1)
    count = ceil(seconds / longest)
    length = max(ceil(seconds / count), min(_SHORT_ROW, longest))
    return [
        Row(start + n * length, start + (n + 1) * length, left, right,
            last=end is None and n == count - 1)
        for n in range(count)
    ]  # fmt: skip


def _is_silent(talk: Conversation, row: Row) -> bool:
    spans = [*talk.user_speech, *talk.system_speech]
    moments = [*talk.forks, *(a.ended for a in (*talk.answers, *talk.wordless))]
    moments += [decision.at for decision in talk.decisions]
    moments += [remark.at for remark in (*talk.revisions, *talk.notes)]
    moments += [u.start for u in talk.utterances]
    return not (any(row.clip(*span) for span in spans) or any(row.holds(at) for at in moments))


def _row(
    scene: Scene, talks: Sequence[Conversation], row: Row, top: float, signs: set[str]
) -> float:
    """Add one line of the score; the y where it ends."""
    second = (row.right - row.left) / (row.end - row.start)
    step = next((n for n in (1, 2, 5, 10) if n * second >= _TICK), 30)
    moments = range(ceil(row.start), floor(row.end) + 1)
    labelled = [moment for moment in moments if moment % step == 0]
    _ticks(scene, row, labelled, top + LABEL)
    axis = top = top + LEVEL
    for talk in talks:
        if row.start < talk.seconds or len(talks) == 1:
            top = Lanes(scene, talk, row, signs).put(top) + BODY
    for moment in moments:
        ends = (row.x(moment), axis), (row.x(moment), top - BODY)
        scene.add(Stroke(ends, "rule" if moment in labelled else "grid", 0.5, layer=0))
    return top - BODY


def _ticks(scene: Scene, row: Row, moments: Sequence[int], baseline: float) -> None:
    for moment in moments:
        text = f"{moment} s"
        x = min(row.x(moment), row.right - text_width(text, LABEL))
        scene.add(Line(x, baseline, text, LABEL, "faint"))


def telling_part(talk: Conversation, seconds: float = 15.0) -> tuple[float, float]:
    """Choose the `seconds` in which the person most often speaks into an answer: from, until.

    The whole conversation if it is no longer.
    """
    within = talk.overlaps
    moments = [
        u.start for u in talk.utterances if any(a < u.end and u.start < b for a, b in within)
    ]
    starts = [max(0.0, floor(moment) - seconds / 3) for moment in moments] or [0.0]
    start = max(starts, key=lambda s: (sum(s < m < s + 0.8 * seconds for m in moments), -s))
    start = float(floor(max(0.0, min(start, talk.seconds - seconds))))
    return start, min(start + seconds, talk.seconds)


def overview(talks: Sequence[Conversation], *, width: float = DESK) -> Scene:
    """Lay out who spoke when, without the words: a line a speaker, systems under one another."""
    user, system, between, tick = _OVERVIEW
    scene = Scene(width)
    gutter = max((name_width(talk.system) for talk in talks), default=0.0)
    seconds = max([talk.seconds for talk in talks] + [1.0])
    row = Row(0.0, seconds, _MARGIN + gutter + GAP, width - _MARGIN, last=True)
    top = _MARGIN + LEVEL
    for talk in talks:
        _glance(scene, talk, row, top)
        top += user + 1.5 + system + between
    second = (row.right - row.left) / seconds
    step = next((n for n in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if n * second >= tick), 3600)
    moments = range(0, int(seconds) + 1, step)
    _ticks(scene, row, moments, _MARGIN + LABEL)
    for moment in moments:
        ends = (row.x(moment), _MARGIN + LEVEL), (row.x(moment), top - between + 2)
        scene.add(Stroke(ends, "grid", layer=0))
    scene.height = top - between + _MARGIN
    return scene


def _glance(scene: Scene, talk: Conversation, row: Row, top: float) -> None:
    """Add one conversation of an overview."""
    user, height, *_ = _OVERVIEW
    system = top + user + 1.5
    name = fit(clean(talk.system), row.left - GAP - _MARGIN, LABEL, "bold")
    x = row.left - GAP - name_width(talk.system)
    scene.add(Line(x, system + 0.75 * LABEL, name, LABEL, "speech", "bold"))
    answers = (*talk.answers, *talk.wordless)
    spoken = [
        (top, user, "remark" if one.label == "non_query" else "query", span)
        for one in talk.utterances
        for span in stretches(one.shown)
    ]
    said = [word for answer in answers for word in answer.shown]
    spoken += [(system, height, "speech", span) for span in stretches(said)]
    for y, tall, role, (start, end) in spoken:
        x, wide = row.x(start), max(row.x(end) - row.x(start), 1.0)
        scene.add(Rect(x, y, wide, tall, f"{role}-tint", role, 1.0, dashed=role == "remark"))
    for start, end in talk.waits:
        middle = system + height / 2
        line = (row.x(start), middle), (row.x(end), middle)
        scene.add(Stroke(line, "faint", 0.7, layer=0))
    for answer in answers:
        if answer.ending == "cut":
            x = row.x(answer.ended)
            scene.add(Stroke(((x, system - 2), (x, system + height + 2)), "cut", 1.8))
    for decision in talk.decisions:
        filled = decision.by == "state"
        scene.add(Dot(row.x(decision.at), top + user + 0.75, 4.0, decision.action, filled))


def _legend(scene: Scene, signs: set[str], top: float) -> float:
    """Explain the signs that occur, as many to a line as fit; the y where it ends."""
    x, y = _MARGIN, top
    for sign, (meaning, swatch) in _SIGNS.items():
        if sign not in signs:
            continue
        wide = _SWATCH + 4 + text_width(meaning, LABEL)
        if x > _MARGIN and x + wide > scene.width - _MARGIN:
            x, y = _MARGIN, y + 1.75 * LABEL
        scene.add(moved(swatch, x, y))
        scene.add(Line(x + _SWATCH + 4, y + LABEL, meaning, LABEL, "soft"))
        x += wide + 10
    return y + 1.75 * LABEL


def _rows_of(talk: Conversation) -> list[tuple[Any, ...]]:
    """List what is drawn, in order of time."""
    rows: list[tuple[Any, ...]] = []
    for utterance in talk.utterances:
        note = " ".join(part for part in (utterance.label, utterance.category) if part)
        rows += [
            ("input", "word", word.start, word.end, word.text, utterance.name, note)
            for word in utterance.shown
        ]
    for number, answer in enumerate((*talk.answers, *talk.wordless), start=1):
        for word in answer.shown:
            forgotten = answer.forgotten is not None and word.start >= answer.forgotten
            note = "forgotten" if forgotten else answer.ending
            rows.append(
                ("output", "word", word.start, word.end, word.text, f"answer {number}", note)
            )
    rows += [("input", one.action, one.at, one.at, one.expected, "", one.by)
             for one in talk.decisions]  # fmt: skip
    rows += [("input", "fork", at, at, "", "", "") for at in talk.forks]
    rows += [("input", "revision", one.at, one.at, one.text, "", "") for one in talk.revisions]
    return sorted(rows, key=lambda row: (row[2], row[0], row[3]))
