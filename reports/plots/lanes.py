"""Lay out one conversation in one row of a timeline: the person above, the assistant below.

From top to bottom: corrections by the recogniser, the user's words, what was expected and decided,
the system's words, notes. Words stand in boxes that hold them whole. A box begins where its words
were said and is as wide as they lasted, or as wide as they need; its thick edge says exactly when
they were said. Where boxes would meet, one of them moves to another level.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from duo.escape import clean
from duo.palette import USER, UTTERANCES
from duo.speech import Answer, Conversation, Decision, Utterance
from duo.words import Word, bridge_breaths
from reports.plots.scene import Dot, Line, Rect, Scene, Stroke
from reports.plots.style import BODY, LABEL
from reports.plots.typeset import ASCENT, fit, fit_end, width, wrap

#: Speech that pauses for no longer than this many seconds is drawn in one box.
BREATH = 0.4

#: Room between neighbours, and from one level of labels to the next (points).
GAP, LEVEL = 4.0, 1.55 * LABEL

_LEADING = 1.24 * BODY  # from baseline to baseline of words
_PAD, _INSET = 2.2, 2.6  # in a box: above and below its words, and beside them
_BAR = 2.0  # width of a box's thick edge
_USUAL = 92.0  # points that a column of words takes in a long box
_TALL, _TALLEST = 4, 9  # lines of a box that is as wide as its words lasted; of one that is wider
_STEP = 6.0  # points by which a box is widened
_PILL_PAD = 3.0
_EXPECTED_AT_MOST, _TAG_AT_MOST, _NAME_AT_MOST = 120.0, 240.0, 56.0  # points

#: By look: fill, edge and ink of a box, and whether its edge is dashed.
LOOKS = {
    "query": ("query-tint", "query", "ink", False),
    "remark": ("remark-tint", "remark", "ink", True),
    "unlabelled": ("grid", "soft", "ink", False),
    "speech": ("speech-tint", "speech", "ink", False),
    "forgotten": ("paper", "speech", "soft", True),
}


@dataclass(frozen=True)
class Row:
    """A stretch of time on paper: the moments `start` to `end` from `left` to `right` points."""

    start: float
    end: float
    left: float
    right: float
    last: bool = False

    def x(self, moment: float) -> float:
        """Return where a moment is; what lies outside is brought to the edge."""
        share = (moment - self.start) / (self.end - self.start)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def holds(self, moment: float) -> bool:
        """Say whether a moment belongs to this row; the last row takes all that is left."""
        return self.start <= moment and (moment < self.end or self.last)

    def clip(self, start: float, end: float) -> tuple[float, float] | None:
        """Return the part of a stretch that lies in this row, as `(x, width)`; None for none."""
        if not (self.holds(start) or (start < self.start < end)):
            return None
        return self.x(start), max(self.x(end) - self.x(start), 1.0)


@dataclass
class Levels:
    """Places for things of some width: the first level where one touches nothing."""

    gap: float = GAP
    _taken: list[list[tuple[float, float]]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._taken)

    def place(self, left: float, right: float) -> int:
        """Return the number of the level, from 0, that `left` to `right` now occupies."""
        for number, level in enumerate(self._taken):
            if all(right + self.gap <= a or left >= b + self.gap for a, b in level):
                level.append((left, right))
                return number
        self._taken.append([(left, right)])
        return len(self._taken) - 1


@dataclass(frozen=True)
class Part:
    """Uninterrupted speech in a row: from where to where, and the words that begin there."""

    left: float
    right: float
    words: tuple[Word, ...]
    look: str
    tag: str = ""


@dataclass(frozen=True)
class Box:
    """A part's words in lines.

    Attributes:
        part: whose words they are.
        x, width: of the box.
        columns: where the lines of each column begin, and the lines.
        tag: lines of type above it, and where they begin.
    """

    part: Part
    x: float
    width: float
    columns: list[tuple[float, list[str]]]
    tag: list[str]
    tag_x: float

    @property
    def height(self) -> float:
        """Return the height of the box without its tag."""
        return max(len(lines) for _, lines in self.columns) * _LEADING + 2 * _PAD

    @property
    def right(self) -> float:
        """Return where the box ends."""
        return self.x + self.width

    @property
    def span(self) -> tuple[float, float]:
        """Return the room that box and tag need from side to side."""
        wide = max((width(line, LABEL) + GAP for line in self.tag), default=0.0)
        return min(self.x, self.tag_x), max(self.right, self.tag_x + wide)


def stretches(words: Iterable[Word]) -> list[tuple[float, float]]:
    """Return stretches of speech, breaths bridged, as they are drawn."""
    return bridge_breaths(((word.start, word.end) for word in words), BREATH)


def name_width(name: str) -> float:
    """Return the points that a speaker's name takes at the left of a row."""
    return width(_name(name), LABEL, "bold")


def _name(name: str) -> str:
    return fit(clean(name), _NAME_AT_MOST, LABEL, "bold")


def decision_text(decision: Decision) -> str:
    """Return a decision in a word or two: what was done, and by what it was decided."""
    token = {"respond": "<1>", "ignore": "<2>"}[decision.action]
    grounds = {"state": token, "patience": "silence:", "revision": "taken back:"}
    return f"{grounds.get(decision.by, '')} {decision.action}".strip()


@dataclass
class Lanes:
    """One conversation to be drawn in one row; `signs` collects what the legend must explain."""

    scene: Scene
    talk: Conversation
    row: Row
    signs: set[str]

    def put(self, top: float) -> float:
        """Add everything to the scene from `top` on; return the y where it ends."""
        revisions = [(one.at, f"corrected to: {one.text}", "soft") for one in self.talk.revisions]
        top = self._labels(revisions, top)
        said = [part for one in self.talk.utterances for part in self._of_utterance(one)]
        top = self._words(said, top, USER, "query", above=True)
        strip, top = top, self._decisions(top)
        for overlap in self.talk.overlaps:
            if span := self.row.clip(*overlap):
                self.signs.add("overlap")
                box = span[0], strip, span[1], top - strip
                self.scene.add(Rect(*box, edge="overlap", hatch=True))
        answers = (*self.talk.answers, *self.talk.wordless)
        said = [part for answer in answers for part in self._of_answer(answer)]
        lane, top = top, self._words(said, top, self.talk.system, "speech", above=False)
        for answer in answers:
            self._ending(answer, lane)
        notes = [(note.at, note.text, "soft") for note in self.talk.notes]
        notes += [(a.ended, "cut", "cut") for a in answers if a.ending == "cut"]
        return self._labels(notes, top)

    def _of_utterance(self, said: Utterance) -> list[Part]:
        look = {"query": "query", "non_query": "remark", None: "unlabelled"}[said.label]
        kind = UTTERANCES[said.label]
        names = [
            kind,
            *(name for name in said.category.split("\n") if name not in (said.label, kind)),
        ]
        tag = " · ".join(clean(name).replace("_", " ") for name in names if name)
        return self._parts(said.shown, look, tag)

    def _of_answer(self, answer: Answer) -> list[Part]:
        """Part what stays in the system's memory from what it dropped from it."""
        until = float("inf") if answer.forgotten is None else answer.forgotten
        written = self.talk.written(answer)
        kept = [word for word in written if word.start < until]
        lost = [word for word in written if word.start >= until]
        return [*self._parts(kept, "speech"), *self._parts(lost, "forgotten")]

    def _parts(self, words: Sequence[Word], look: str, tag: str = "") -> list[Part]:
        parts = []
        for start, end in stretches(words):
            own = tuple(
                word for word in words if start <= word.start <= end and self.row.holds(word.start)
            )
            span = self.row.clip(start, end)
            if span is None and own:  # a word of no length, at the very beginning of the row
                span = self.row.x(end), 1.0
            if span is not None:
                begins = self.row.holds(start)
                parts.append(Part(span[0], sum(span), own, look, tag if begins else ""))
                tag = "" if begins else tag
        return parts

    def _words(self, parts: list[Part], top: float, name: str, ink: str, *, above: bool) -> float:
        """Add a speaker's lane; its thick edges are at the bottom if `above`, else at the top."""
        parts.sort(key=lambda part: part.left)
        spoken = [part for part in parts if part.words]
        levels = Levels(gap=0.0)
        placed: dict[int, list[Box]] = defaultdict(list)
        for part in spoken:
            following = [other.left for other in spoken if other.left > part.left]
            box = fitted(part, self.row, stop=min(following, default=None))
            placed[levels.place(*box.span)].append(box)
        waits = [] if above else self._waits(placed[0])
        least = (1 + bool(waits)) * _LEADING + 2 * _PAD
        sizes = [
            (
                max([len(box.tag) for box in placed[level]] + [0]) * LEVEL,
                max([box.height for box in placed[level]] + [least if not level else 0.0]),
            )
            for level in range(max(len(levels), 1))
        ]
        bottom = top + sum(map(sum, sizes)) + GAP * (len(sizes) - 1)
        edge = y = bottom if above else top
        for level, (tag, height) in enumerate(sizes):
            y = y - height if above else y + tag
            if not level:
                at = self.row.left - GAP - name_width(name), y + _PAD + ASCENT * BODY
                self.scene.add(Line(*at, _name(name), LABEL, ink, "bold"))
            for box in placed[level]:
                self._box(box, y, height, edge)
            y = y - tag - GAP if above else y + height + GAP
        for left, right, text in waits:
            self._wait(left, right, text, top)
        for part in parts:
            line = (part.left, edge), (part.right, edge)
            self.scene.add(Stroke(line, LOOKS[part.look][1], _BAR))
        self.scene.add(Stroke(((self.row.left, bottom), (self.row.right, bottom)), "rule", layer=0))
        return bottom

    def _box(self, box: Box, top: float, height: float, edge: float) -> None:
        fill, outline, ink, dashed = LOOKS[box.part.look]
        self.signs.add(box.part.look)
        if box.width > box.part.right - box.part.left + 1 or box.x < box.part.left - 1:
            self.signs.add("exact")
        if not top - 1 <= edge <= top + height + 1:
            x = max(box.part.left, box.x)
            self.scene.add(Stroke(((x, edge), (x, top)), outline, 0.6, layer=0))
        self.scene.add(Rect(box.x, top, box.width, height, fill, outline, 2.0, dashed))
        for x, lines in box.columns:
            for number, text in enumerate(lines):
                baseline = top + _PAD + ASCENT * BODY + number * _LEADING
                self.scene.add(Line(x, baseline, text, BODY, ink))
        for number, text in enumerate(reversed(box.tag)):
            y = top - 3 - number * LEVEL
            self.scene.add(Line(box.tag_x, y, text, LABEL, outline, ground=True))

    def _waits(self, boxes: Iterable[Box]) -> list[tuple[float, float, str]]:
        """Find the silences between boxes that have room for an arrow with their length."""
        found = []
        for start, end in self.talk.waits:
            if span := self.row.clip(start, end):
                right = sum(span)
                left = max([span[0], *(box.right for box in boxes if box.x < right - 1)])
                text = f"{end - start:.1f} s"
                if right - left - width(text, LABEL) >= 2 * GAP:
                    found.append((left, right, text))
        return found

    def _wait(self, left: float, right: float, text: str, top: float) -> None:
        self.signs.add("wait")
        y = top + _PAD + ASCENT * BODY + 0.5 * LABEL
        x = (left + right - width(text, LABEL)) / 2
        self.scene.add(
            Line(x, y - 0.4 * LABEL, text, LABEL, "soft", ground=True),
            Stroke(((left + 1, y), (right - 1, y)), "soft", arrow=True),
        )

    def _ending(self, answer: Answer, top: float) -> None:
        if not self.row.holds(answer.ended) or answer.ending == "open":
            return
        self.signs.add(answer.ending)
        x = self.row.x(answer.ended)
        if answer.ending == "cut":
            self.scene.add(Stroke(((x, top - 3), (x, top + _PAD)), "cut", 1.8, layer=3))
        else:
            self.scene.add(Dot(x, top, 3.2, "speech", sign="s"))

    def _labels(self, labels: Iterable[tuple[float, str, str]], top: float) -> float:
        """Add a band of labels `(moment, text, color)`, packed on levels."""
        levels = Levels()
        for at, text, color in sorted(one for one in labels if self.row.holds(one[0])):
            text = fit(clean(text), min(_TAG_AT_MOST, self.row.right - self.row.left), LABEL)
            x = min(self.row.x(at), self.row.right - width(text, LABEL))
            y = top + levels.place(x, x + width(text, LABEL)) * LEVEL
            self.scene.add(Line(x, y + LABEL, text, LABEL, color, ground=True))
        return top + len(levels) * LEVEL

    def _decisions(self, top: float) -> float:
        levels = Levels()
        for decision in self.talk.decisions:
            if self.row.holds(decision.at):
                self._decision(decision, top, levels)
        for fork in self.talk.forks:
            if self.row.holds(fork):
                self.signs.add("fork")
                self.scene.add(Dot(self.row.x(fork), top, 3.4, "soft", filled=False))
        return top + max(len(levels), 1) * 1.3 * LEVEL + 2 * _PAD

    def _decision(self, decision: Decision, top: float, levels: Levels) -> None:
        """Add a pill that hangs from its moment, and the words that were expected before it."""
        text = decision_text(decision)
        wide = width(text, LABEL, "bold") + 2 * _PILL_PAD
        moment = self.row.x(decision.at)
        x = max(min(moment, self.row.right - wide), self.row.left)
        room = min(_EXPECTED_AT_MOST, x - self.row.left - GAP)
        expected = fit_end(clean(decision.expected), room, LABEL) if room > 2 * LABEL else ""
        begin = x - width(expected, LABEL) - (GAP if expected else 0.0)
        y = top + 2 * _PAD + levels.place(begin, x + wide) * 1.3 * LEVEL
        baseline = y + 0.5 * LEVEL + 0.36 * LABEL
        if expected:
            self.signs.add("expected")
            self.scene.add(
                Line(begin, baseline, expected, LABEL, "faint", italic=True, ground=True)
            )
        by_token = decision.by == "state"
        self.signs.add(f"<{decision.action}>" if by_token else decision.by)
        fill, ink = (decision.action, "on-mark") if by_token else ("paper", decision.action)
        self.scene.add(
            Stroke(((moment, top), (moment, y)), decision.action, layer=1),
            Rect(x, y, wide, LEVEL, fill, decision.action, 3.0, decision.by == "patience", layer=3),
            Line(x + _PILL_PAD, baseline, text, LABEL, ink, "bold"),
        )


def fitted(part: Part, row: Row, *, stop: float | None) -> Box:
    """Fit a box around a part's words.

    In a box as wide as the words lasted they stand in columns, under the moments at which they were
    said. Where that has no room for them they stand in one column, which is as wide as it must:
    to the next box of the speaker's at `stop`, if that is enough.
    """
    said, whole = part.right - part.left, row.right - row.left
    for count in range(max(1, round(said / _USUAL)), 0, -1):
        if columns := _columns(part, row, count):
            return _tagged(part, row, part.left, said, columns, stop)
    pieces = _pieces(part.words)
    longest = max(width(piece.strip(), BODY) for piece in pieces)
    near = (row.right if stop is None else stop) - part.left
    wide, lines = whole, wrap(pieces, whole - 2 * _INSET, BODY)
    for tall, limit in ((_TALL, near), (_TALLEST, near), (_TALLEST, whole)):
        widths = [max(said, longest + 2 * _INSET)]
        while widths[-1] + _STEP <= limit:
            widths.append(widths[-1] + _STEP)
        tries = ((one, wrap(pieces, one - 2 * _INSET, BODY)) for one in widths if one <= limit)
        found = next((one for one in tries if len(one[1]) <= tall), None)
        if found:
            wide, lines = found
            break
    x = max(min(part.left, row.right - wide), row.left)
    return _tagged(part, row, x, wide, [(x + _INSET, lines)], stop)


def _columns(part: Part, row: Row, count: int) -> list[tuple[float, list[str]]]:
    """Put the words into this many columns; none if one of them has no room."""
    said = part.right - part.left
    groups: dict[int, list[Word]] = defaultdict(list)
    for word in part.words:
        groups[min(int((row.x(word.start) - part.left) / said * count), count - 1)].append(word)
    columns = []
    for number, words in groups.items():
        pieces = _pieces(words)
        room = said / count - (2 * _INSET if number == count - 1 else _INSET + GAP)
        lines = wrap(pieces, room, BODY)
        if len(lines) > _TALL or any(width(piece.strip(), BODY) > room for piece in pieces):
            return []
        columns.append((part.left + number * said / count + _INSET, lines))
    return columns


def _pieces(words: Iterable[Word]) -> list[str]:
    return [(" " if word.blank else "") + clean(word.text) for word in words]


def _tagged(
    part: Part,
    row: Row,
    x: float,
    wide: float,
    columns: list[tuple[float, list[str]]],
    stop: float | None,
) -> Box:
    """Make a box with its tag, which may be wider where nothing follows."""
    room = row.right - row.left if stop is None else stop - x - GAP
    pieces = re.findall(r" ?[^ ]+", part.tag)
    lines = wrap(pieces, min(max(wide, room), _TAG_AT_MOST), LABEL)
    tag_x = min([x, *(row.right - width(line, LABEL) for line in lines)])
    return Box(part, x, wide, columns, lines, tag_x)
