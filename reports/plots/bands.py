"""Bands of type: words in columns under the moment they were said, signs packed side by side.

A timeline is a stack of bands. Inside a band nothing overlaps: words stand in *cells*, columns that
begin where their first word was said and end where the next cell begins; signs that point at a
moment go to the first of a few levels that has room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from duo.speech import Word
from reports.plots.shown import stretches
from reports.plots.style import BODY
from reports.plots.typeset import ELLIPSIS, fit, width, wrap

#: A cell is at least so wide, and usually so wide (points).
NARROWEST, USUAL = 38.0, 92.0
#: Room between neighbours (points), and lines in a cell before the rest is left out.
GAP, MOST_LINES = 4.0, 9
_INSET = 2.0
_TALL = 4  # lines; a cell that would be taller may be wider than the speech lasted


@dataclass(frozen=True)
class Row:
    """A stretch of time on paper: the moments `start` to `end` from `left` to `right` points."""

    start: float
    end: float
    left: float
    right: float
    last: bool = False

    def x(self, moment: float) -> float:
        """Where a moment is; what lies outside is brought to the edge."""
        share = (moment - self.start) / (self.end - self.start)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def holds(self, moment: float) -> bool:
        """Whether a moment belongs to this row; the last row takes all that is left."""
        return self.start <= moment and (moment < self.end or self.last)

    def clip(self, start: float, end: float) -> tuple[float, float] | None:
        """The part of a stretch that lies in this row, as `(x, width)`; None if none does."""
        if not (self.holds(start) or (start < self.start < end)):
            return None
        return self.x(start), max(self.x(end) - self.x(start), 1.0)


@dataclass(frozen=True)
class Said:
    """Words of one speaker in one go, in one colour."""

    words: tuple[Word, ...]
    color: str = "ink"


@dataclass
class Cell:
    """A column of words.

    Attributes:
        x: where its lines begin, in points.
        speech: where the speech that it belongs to ends; lines end there too if they can.
        limit: where they must end.
        groups: colour and words of each speaker's turn; each begins a new line.
    """

    x: float
    speech: float
    limit: float
    groups: list[tuple[str, list[str]]] = field(default_factory=list)

    @cached_property
    def lines(self) -> list[tuple[str, str]]:
        """The words broken into lines `(text, color)`; what is too much ends in `…`."""
        room = self.limit - self.x
        longest = max(width(word.strip(), BODY) for _, words in self.groups for word in words)
        lines = self._broken(min(room, max(self.speech - self.x, longest)))
        if len(lines) > _TALL:
            lines = self._broken(room)
        if len(lines) > MOST_LINES:
            text, color = lines[MOST_LINES - 1]
            less = fit(text, room - width(ELLIPSIS, BODY), BODY).removesuffix(ELLIPSIS)
            lines = [*lines[: MOST_LINES - 1], (less + ELLIPSIS, color)]
        return lines

    @property
    def right(self) -> float:
        """Where the longest line ends."""
        return self.x + max((width(text, BODY) for text, _ in self.lines), default=0.0)

    def _broken(self, room: float) -> list[tuple[str, str]]:
        return [(line, color) for color, words in self.groups for line in wrap(words, room, BODY)]


def cells(said: Sequence[Said], row: Row, stops: Sequence[float] = ()) -> list[Cell]:
    """The cells of a row: each stretch of speech is divided into columns of about `USUAL` points.

    Args:
        said: what was said, in any order.
        row: where; only words that begin in it are taken.
        stops: x at which a cell must end, so that something else has room there. A cell that would
            become too narrow runs on instead.
    """
    made: list[Cell] = []
    column: tuple[int, float, int] | None = None
    for word, turn, (left, right) in _with_stretches(said, row):
        columns = max(1, round((right - left) / USUAL))
        x = row.x(word.start)
        here = turn, left, min(int((x - left) / (right - left) * columns), columns - 1)
        x = min(x, row.right - NARROWEST)
        if column is None or (here != column and x >= made[-1].x + NARROWEST):
            made.append(Cell(x + _INSET, right - _INSET, row.right))
        made[-1].speech = max(made[-1].speech, right - _INSET)
        if not made[-1].groups or column is None or column[0] != turn:
            made[-1].groups.append((said[turn].color, []))
        made[-1].groups[-1][1].append(" " * bool(word.blank) + word.text)
        column = here
    for cell, following in pairwise(made):
        cell.limit = following.x - GAP
    for cell in made:
        ends = [stop - GAP for stop in stops if cell.x + NARROWEST <= stop]
        cell.limit = min([cell.limit, *ends])
    return made


def _with_stretches(said: Sequence[Said], row: Row) -> list[tuple[Word, int, tuple[float, float]]]:
    """The words that begin in the row, in order: word, turn, and its stretch in points."""
    found = []
    for turn, part in enumerate(said):
        spans = stretches(part.words)
        for word in part.words:
            if row.holds(word.start):
                span = next(span for span in spans if span[0] <= word.start <= span[1])
                left, right = row.x(span[0]), row.x(span[1])
                found.append((word, turn, (left, max(right, left + 1.0))))
    return sorted(found, key=lambda item: item[0].start)


class Levels:
    """Places for things of some width: the first level where it touches nothing."""

    def __init__(self) -> None:
        self._taken: list[list[tuple[float, float]]] = []

    def __len__(self) -> int:
        return len(self._taken)

    def place(self, left: float, right: float) -> int:
        """The number of the level, from 0 at the top, that `left` to `right` now occupies."""
        for number, level in enumerate(self._taken):
            if all(right + GAP <= a or left >= b + GAP for a, b in level):
                level.append((left, right))
                return number
        self._taken.append([(left, right)])
        return len(self._taken) - 1
