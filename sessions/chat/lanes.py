"""Lay a live conversation out in rows of text: what was heard beside what was said just then.

Time runs downwards and both lanes share it: a row holds the words of one stretch of time. It ends
when one of its two cells is full, where speech has a line end, and after a silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from rich.cells import get_character_cell_size

from duo.decoding.conversant import LIMIT
from duo.terminal import printable
from duo.transcript import TranscriptEvent
from duo.words import blank_between, cut
from sessions.chat.live import common_start
from sessions.show import ANSWER_END, CUT

Lane = Literal["you", "system"]
Look = Literal["you", "speech", "ghost", "gone", "respond", "ignore", "mark", "note"]

#: Seconds without a word in either lane after which a new row begins.
_SILENCE = 2.0
_STATE_TOKEN = {"respond": "<1>", "ignore": "<2>"}
_BADGES: tuple[Look, ...] = ("respond", "ignore")
_DECISION = {"respond": "answering", "ignore": "ignored"}


@dataclass
class Cell:
    """The text of one lane in one row, character by character with its look."""

    characters: list[tuple[str, Look]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(character for character, _ in self.characters)

    @property
    def width(self) -> int:
        """In columns of the terminal."""
        return columns(self.text)

    def runs(self) -> Iterator[tuple[str, Look]]:
        """Split the text into stretches of one look."""
        for look, run in groupby(self.characters, key=lambda character: character[1]):
            yield "".join(character for character, _ in run), look


@dataclass
class Row:
    """One stretch of time; `start` and `end` in seconds of the conversation."""

    start: float
    end: float
    you: Cell = field(default_factory=Cell)
    system: Cell = field(default_factory=Cell)

    def cell(self, lane: Lane) -> Cell:
        return self.you if lane == "you" else self.system


class Lanes:
    """Lay events out in rows; `widths` are the columns of each lane."""

    def __init__(self, widths: Mapping[Lane, int]) -> None:
        self._widths = {lane: max(width, 2) for lane, width in widths.items()}
        self._rows: list[Row] = []
        self._fresh: set[Lane] = set()  # lanes whose next word begins a row
        self._utterance = ""  # all that was heard of the one that is open
        self._ghost, self._ghost_at = "", 0.0

    def expect(self, text: str, at: float) -> None:
        """Show text after what was heard, until more is heard: it may be heard next."""
        self._ghost, self._ghost_at = text, at

    def rows(self) -> list[Row]:
        """Return all rows; after what was heard stand the words that are expected next."""
        if not self._ghost:
            return self._rows
        expected = Lanes(self._widths)
        expected._fresh = {*self._fresh}
        expected._rows = [
            Row(row.start, row.end, Cell([*row.you.characters]), Cell([*row.system.characters]))
            for row in self._rows[-1:]
        ]
        expected._put("you", self._ghost, "ghost", self._ghost_at)
        return [*self._rows[:-1], *expected._rows]

    def add(self, event: TranscriptEvent) -> None:
        """Lay out one event more. Costs and the ends of utterances are not shown."""
        at, text = event.start, event.text
        match event.kind:
            case "word":
                self._heard(self._utterance + text, text, at)
            case "revision":
                # That it was heard stays true: what no longer holds is struck, not removed.
                old, new = cut(self._utterance), cut(text)
                kept = common_start(old, new)
                self._strike("you", "you", "".join(old[kept:]))
                self._heard(text, "".join(new[kept:]), at)
            case "predicted":
                self.expect(text, self._rows[-1].end if self._rows else at)
            case "respond" | "ignore":
                self._heard("", "", at)
                made_by = _STATE_TOKEN[event.kind] if event.by == "state" else f"{event.by}:"
                badge = f" {made_by} {_DECISION[event.kind]} "
                self._put("you", " ", "you", at)
                self._put("you", badge, event.kind, at, whole=True)
                self._fresh.add("you")
            case "speech":
                for number, line in enumerate(text.split("\n")):
                    if number:
                        self._fresh.add("system")
                    self._put("system", line, "speech", at)
            case "answer_end":
                limit = " at the limit" if event.by == LIMIT else ""
                self._end(f" {ANSWER_END}{limit}", "mark", at)
            case "cut":
                self._strike("system", "speech", text)
                self._end(f" {CUT} cut", "mark", at)
            case "note":
                self._fresh.add("system")
                self._end(text, "note", at)

    def _heard(self, utterance: str, fresh: str, at: float) -> None:
        self._ghost = ""
        self._utterance = utterance
        self._put("you", fresh, "you", at)

    def _end(self, text: str, look: Look, at: float) -> None:
        """Put the last thing of an answer."""
        self._put("system", text, look, at)
        self._fresh.add("system")

    def _strike(self, lane: Lane, look: Look, text: str) -> None:
        """Mark the latest text of this look in the lane as gone."""
        left = len("".join(_visible(text).split()))
        for row in reversed(self._rows):
            cell = row.cell(lane)
            for place in reversed(range(len(cell.characters))):
                if not left:
                    return
                character, present = cell.characters[place]
                if present == look:
                    cell.characters[place] = (character, "gone")
                    left -= not character.isspace()

    def _put(self, lane: Lane, text: str, look: Look, at: float, *, whole: bool = False) -> None:
        """Append text to a lane; unless `whole`, it is broken at the ends of words."""
        text = _visible(text)
        if not text or (text.isspace() and (not self._rows or lane in self._fresh)):
            return
        if not self._rows or at - self._rows[-1].end > _SILENCE:
            self._begin_row(at)
        if lane in self._fresh and self._rows[-1].cell(lane).characters:
            self._begin_row(at)
        for unit in [text] if whole else _units(text):
            self._place(lane, unit, look, at)
            self._fresh.discard(lane)
        self._rows[-1].end = max(self._rows[-1].end, at)

    def _begin_row(self, at: float) -> Row:
        # A word is known only after the cycle in which it was typed, so it may come late.
        at = max(at, self._rows[-1].start) if self._rows else at
        self._rows.append(Row(at, at))
        return self._rows[-1]

    def _place(self, lane: Lane, unit: str, look: Look, at: float) -> None:
        """Append what must stay together, in a new row if it does not fit."""
        cell, limit = self._rows[-1].cell(lane), self._widths[lane]
        if cell.characters and cell.width + columns(unit) > limit:
            cell = self._begin_row(at).cell(lane)
        placed: list[tuple[str, Look]] = [(character, look) for character in unit]
        if not cell.characters:
            if not unit[0].isspace():
                placed = [*self._begun(lane, unit), *placed]
            while placed and placed[0][0].isspace() and placed[0][1] not in _BADGES:
                placed = placed[1:]
        for character, of in placed:
            if cell.characters and cell.width + columns(character) > limit:  # longer than a row
                cell = self._begin_row(at).cell(lane)
            cell.characters.append((character, of))

    def _begun(self, lane: Lane, rest: str) -> list[tuple[str, Look]]:
        """Take the beginning of the word that `rest` goes on out of the row before."""
        if lane in self._fresh or len(self._rows) < 2:
            return []
        before = self._rows[-2].cell(lane)
        if not before.text.strip() or not blank_between(before.text, rest):
            return []
        begun = len(before.text.rstrip()) - len(before.text.rpartition(" ")[0])
        if before.text.endswith(" ") or begun >= len(before.characters):
            return []
        taken = before.characters[-begun:]
        del before.characters[-begun:]
        return taken


def _visible(text: str) -> str:
    """Put text on one line, in which only the blank is white space."""
    return printable(text.translate(dict.fromkeys(map(ord, "\t\r\n"), " ")))


def columns(text: str) -> int:
    """Count the columns of the terminal that a text takes."""
    return sum(map(get_character_cell_size, text))


def _units(text: str) -> list[str]:
    """Divide a text into what a row must not break: words with the blanks before them."""
    units: list[str] = []
    for before, character in zip(" " + text, text, strict=False):
        if character.isspace():
            begins = not before.isspace()
        else:
            begins = not before.isspace() and not blank_between(before, character)
        if begins or not units:
            units.append("")
        units[-1] += character
    return units
