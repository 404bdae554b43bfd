"""One conversation in one row of a timeline: five bands from top to bottom.

What the utterances are; the user's words; what was expected and decided; the system's words; what
else there is to say. Each method adds one band to the scene and gives the y where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duo.speech import Answer, Conversation, Decision, Utterance
from reports.plots.bands import GAP, Cell, Levels, Row, Said, cells
from reports.plots.scene import Dot, Line, Rect, Scene, Stroke
from reports.plots.shown import stretches
from reports.plots.style import BODY, LABEL
from reports.plots.typeset import ASCENT, fit, fit_end, width

#: From one level of labels to the next (points).
LEVEL = 1.55 * LABEL

_LEADING = 1.24 * BODY  # from baseline to baseline of words
_PAD = 2.2  # above and below the words of a lane
_PILL_PAD = 3.0
_EXPECTED_AT_MOST, _TAG_AT_MOST, _NAME_AT_MOST = 120.0, 240.0, 56.0  # points


def name_width(name: str) -> float:
    """Points that a speaker's name takes at the left of a row."""
    return width(fit(name, _NAME_AT_MOST, LABEL, "bold"), LABEL, "bold")


@dataclass
class Staff:
    """What one conversation needs to be drawn in one row; `signs` collects those that occur."""

    scene: Scene
    lanes: Conversation
    row: Row
    signs: set[str]

    def put(self, top: float) -> float:
        """Add all bands to the scene from `top` on; the y where they end."""
        utterances = self.lanes.utterances
        answers = sorted([*self.lanes.answers, *self.lanes.wordless], key=lambda one: one.start)
        top = self._tags(top)
        columns = cells([Said(utterance.shown) for utterance in utterances], self.row)
        user_top, top = top, self._words(columns, top, "user", "query")
        for utterance in utterances:
            self._utterance(utterance, user_top, top)
        strip, top = top, self._decisions(top)
        for overlap in self.lanes.overlaps:
            if span := self.row.clip(*overlap):
                self.signs.add("overlap")
                box = span[0], strip, span[1], top - strip
                self.scene.add(Rect(*box, edge="overlap", hatch="overlap"))
        said = [part for answer in answers for part in _kept_and_forgotten(answer)]
        columns = cells(said, self.row, [self.row.x(start) for start, _ in self.lanes.waits])
        self._waits(columns, top)
        system_top, top = top, self._words(columns, top, self.lanes.system, "speech")
        for answer in answers:
            self._answer(answer, system_top, top)
        return self._notes(top)

    def _words(self, columns: Sequence[Cell], top: float, name: str, color: str) -> float:
        tallest = max([len(column.lines) for column in columns] + [1])
        bottom = top + tallest * _LEADING + 2 * _PAD
        for column in columns:
            for number, (text, ink) in enumerate(column.lines):
                baseline = top + _PAD + ASCENT * BODY + number * _LEADING
                self.scene.add(Line(column.x, baseline, text, BODY, ink))
        left = self.row.left - GAP - name_width(name)
        label = fit(name, _NAME_AT_MOST, LABEL, "bold")
        self.scene.add(
            Line(left, top + _PAD + ASCENT * BODY, label, LABEL, color, "bold"),
            Stroke(((self.row.left, bottom), (self.row.right, bottom)), "rule", layer=0),
        )
        return bottom

    def _tags(self, top: float) -> float:
        """What the utterances are, and what the recogniser changed its mind to."""
        tags = []
        for utterance in self.lanes.utterances:
            if self.row.holds(utterance.start) and utterance.label:
                label = utterance.label.replace("_", "-")
                text = " · ".join([label, *utterance.category.replace("_", " ").split("\n")])
                role = "query" if label == "query" else "remark"
                tags.append((utterance.start, text.removesuffix(" · "), role))
        for revision in self.lanes.revisions:
            if self.row.holds(revision.at):
                tags.append((revision.at, f"heard anew: {revision.text}", "soft"))
        return self._pack(sorted(tags), top, rising=True)

    def _notes(self, top: float) -> float:
        """Where answers were given up, and what the system had to say about itself."""
        notes = [(note.at, note.text, "soft") for note in self.lanes.notes]
        notes += [(a.ended, "cut", "cut") for a in self.lanes.answers if a.ending == "cut"]
        return self._pack(sorted(note for note in notes if self.row.holds(note[0])), top)

    def _pack(
        self, tags: list[tuple[float, str, str]], top: float, *, rising: bool = False
    ) -> float:
        """Add labels `(moment, text, color)`, the first level lowest if `rising`."""
        levels = Levels()
        placed = []
        for at, text, color in tags:
            text = fit(text, min(_TAG_AT_MOST, self.row.right - self.row.left), LABEL)
            x = min(self.row.x(at), self.row.right - width(text, LABEL))
            placed.append((x, levels.place(x, x + width(text, LABEL)), text, color))
        bottom = top + len(levels) * LEVEL
        for x, level, text, color in placed:
            y = bottom - (level + 1) * LEVEL if rising else top + level * LEVEL
            self.scene.add(Line(x, y + LABEL, text, LABEL, color))
        return bottom

    def _utterance(self, utterance: Utterance, top: float, bottom: float) -> None:
        kind = {"query": "query", "non_query": "remark", None: "unlabelled"}[utterance.label]
        edge, fill = ("soft", "grid") if kind == "unlabelled" else (kind, f"{kind}-tint")
        for stretch in stretches(utterance.shown):
            if span := self.row.clip(*stretch):
                self.signs.add(kind)
                self.scene.add(
                    Rect(span[0], top, span[1], bottom - top, fill, edge, 2.0, kind == "remark")
                )

    def _answer(self, answer: Answer, top: float, bottom: float) -> None:
        for stretch in stretches(answer.shown):
            if span := self.row.clip(*stretch):
                self.signs.add("speech")
                box = span[0], top, span[1], bottom - top
                self.scene.add(Rect(*box, "speech-tint", "speech", 2.0))
        for stretch in _forgotten(answer):
            if span := self.row.clip(*stretch):
                self.signs.add("forgotten")
                box = span[0], top, span[1], bottom - top
                self.scene.add(Rect(*box, edge="forgotten", hatch="forgotten"))
        if self.row.holds(answer.ended) and answer.ending != "open":
            self.signs.add(answer.ending)
            x = self.row.x(answer.ended)
            if answer.ending == "cut":
                self.scene.add(Stroke(((x, top - 2), (x, bottom + 2)), "cut", 1.8))
            else:
                self.scene.add(Dot(x, bottom, 3.2, "speech", sign="s"))

    def _waits(self, columns: Sequence[Cell], top: float) -> None:
        """Silences that the user waited through, where words leave room for an arrow."""
        middle = top + _PAD + ASCENT * BODY + 0.5 * LABEL
        for start, end in self.lanes.waits:
            if self.row.clip(start, end) is None:
                continue
            text = f"{end - start:.1f} s"
            left = self.row.x(start)
            words = [column.x - 2 for column in columns if column.right > left]
            right = min([self.row.x(end), *words])
            if (room := right - left - width(text, LABEL)) < 2 * GAP:
                continue
            self.signs.add("wait")
            self.scene.add(
                Line(left + room / 2, middle - 0.4 * LABEL, text, LABEL, "soft"),
                Stroke(((left + 1, middle), (right - 1, middle)), "soft", arrow=True),
            )

    def _decisions(self, top: float) -> float:
        levels = Levels()
        for decision in self.lanes.decisions:
            if self.row.holds(decision.at):
                self._decision(decision, top, levels)
        for fork in self.lanes.forks:
            if self.row.holds(fork):
                self.signs.add("fork")
                self.scene.add(Dot(self.row.x(fork), top, 3.4, "soft", filled=False))
        return top + max(len(levels), 1) * 1.3 * LEVEL + 2 * _PAD

    def _decision(self, decision: Decision, top: float, levels: Levels) -> None:
        text = pill_text(decision)
        wide = width(text, LABEL, "bold") + 2 * _PILL_PAD
        x = max(min(self.row.x(decision.at), self.row.right - wide), self.row.left)
        room = min(_EXPECTED_AT_MOST, x - self.row.left - GAP)
        expected = fit_end(decision.expected, room, LABEL) if room > 2 * LABEL else ""
        begin = x - width(expected, LABEL) - (GAP if expected else 0.0)
        y = top + _PAD + levels.place(begin, x + wide) * 1.3 * LEVEL
        baseline = y + 0.5 * LEVEL + 0.36 * LABEL
        if expected:
            self.signs.add("expected")
            ground = Rect(begin - 1, y, width(expected, LABEL) + 2, LEVEL, "paper", layer=2)
            self.scene.add(ground, Line(begin, baseline, expected, LABEL, "faint", italic=True))
        moment = self.row.x(decision.at)
        by_token = decision.by == "state"
        self.signs.add(f"<{decision.action}>" if by_token else decision.by)
        fill, ink = (decision.action, "on-mark") if by_token else ("paper", decision.action)
        self.scene.add(
            Stroke(((moment, top), (moment, y)), decision.action),
            Rect(x, y, wide, LEVEL, fill, decision.action, 3.0, decision.by == "patience", layer=3),
            Line(x + _PILL_PAD, baseline, text, LABEL, ink, "bold"),
        )


def pill_text(decision: Decision) -> str:
    """A decision in a word or two: what was done, and by what it was decided."""
    token = {"respond": "<1>", "ignore": "<2>"}[decision.action]
    grounds = {"state": token, "patience": "silence:", "slice": "slice:", "revision": "taken back:"}
    return f"{grounds.get(decision.by, '')} {decision.action}".strip()


def _kept_and_forgotten(answer: Answer) -> list[Said]:
    """The words that stay in the system's memory, and those that it gave up."""
    until = float("inf") if answer.forgotten is None else answer.forgotten
    kept = tuple(word for word in answer.shown if word.start < until)
    lost = tuple(word for word in answer.shown if word.start >= until)
    return [Said(words, ink) for words, ink in ((kept, "ink"), (lost, "soft")) if words]


def _forgotten(answer: Answer) -> list[tuple[float, float]]:
    if answer.forgotten is None:
        return []
    return stretches(word for word in answer.shown if word.start >= answer.forgotten)
