"""Draw a transcript in the terminal: the two lanes over time, row by row.

           2s─────────────────3s━━━━━━━━━━━━4s─────────────
                              backchannel <2>
    person                    Mm-hm.              <2>
    duo    Simmer it for ten  minutes until it is  thick.

Time runs from left to right and is elastic: it takes the room that the words need, and long silence
takes little. What stands below each other happened at the same time. The axis is dotted where
nobody speaks, thin where one does, thick where both do.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from duo.palette import ASSISTANT, PERSON, UTTERANCES
from duo.palette import CUT as RED
from duo.palette import USER as PERSON_NAME
from duo.reading import conversation_of
from duo.speech import Remark
from duo.terminal import printable
from duo.transcript import Header, Transcript
from duo.words import Word, length

CAPTION, USER, AHEAD, SYSTEM = LANES = ("caption", "user", "ahead", "system")

ANSWER_END, CUT, REVISION, WRONG, NEW_LINE = "■", "✂", "↺", "✗", "↵"

#: Columns that a second takes at least, and the longest silence (seconds) that is drawn in full.
_SCALE, _LONGEST_SILENCE = 8, 2.5
_NOBODY, _ONE, _BOTH = "┄", "─", "━"
_GUTTER = 12
_LEGEND = (
    f"<1> answers, <2> ignores, {WRONG} not what the caption wants; {ANSWER_END} answer complete, "
    f"{CUT} given up; {REVISION} heard again; {_BOTH * 2} both speak"
)


@dataclass(frozen=True)
class Piece:
    """A piece of text on a lane.

    Attributes:
        start, end: seconds.
        glued: it follows the piece before it on its lane without a blank.
        speech: somebody speaks it; else it is a mark or a caption.
    """

    lane: str
    start: float
    end: float
    text: str
    style: str
    glued: bool = False
    speech: bool = False

    @property
    def width(self) -> int:
        """Columns of a terminal."""
        return cell_len(self.text)


def pieces(transcript: Transcript) -> list[Piece]:
    found = conversation_of(transcript)
    shown: list[Piece] = []
    labels = {utterance.name: utterance.label for utterance in found.utterances}
    for utterance in found.utterances:
        shown += _words(utterance.shown, USER, _STYLES[utterance.label])
        if utterance.category or utterance.label:
            wanted = {"query": "<1>", "non_query": "<2>", None: ""}[utterance.label]
            category = utterance.category if utterance.category != utterance.label else ""
            names = (harmless(category or UTTERANCES[utterance.label]).replace("_", " "), wanted)
            text = " ".join(name for name in names if name)
            shown.append(_mark(CAPTION, utterance.start, text, "dim"))
    for answer in (*found.answers, *found.wordless):
        shown += _words(found.written(answer), SYSTEM, ASSISTANT)
        if answer.ending != "open":
            text, style = (CUT, RED) if answer.ending == "cut" else (ANSWER_END, ASSISTANT)
            text += " at the limit" if answer.limited else ""
            shown.append(_mark(SYSTEM, answer.ended, text, f"bold {style}"))
    for decision in found.decisions:
        state, right = ("1", "query") if decision.action == "respond" else ("2", "non_query")
        why = "" if decision.by in ("state", "") else f":{harmless(decision.by)}"
        wrong = labels.get(decision.utterance) not in (right, None)
        text = f"<{state}{why}>{WRONG if wrong else ''}"
        style = f"bold {RED} reverse" if wrong else "bold reverse"
        shown.append(_mark(USER, decision.at, text, style))
    for event in transcript.of("predicted"):
        if text := harmless(event.text).strip():
            shown.append(_mark(AHEAD, event.start, text, "dim italic"))
    shown += [_mark(USER, revision.at, REVISION, "bold magenta") for revision in found.revisions]
    # Of what happens at one moment speech stands first, then what became of it.
    return sorted(shown, key=lambda piece: (piece.start, not piece.speech))


_STYLES = {"query": f"bold {PERSON}", "non_query": f"italic {PERSON}", None: PERSON}


def _mark(lane: str, at: float, text: str, style: str) -> Piece:
    return Piece(lane, at, at, text, style)


def _words(words: Sequence[Word], lane: str, style: str) -> Iterator[Piece]:
    for number, word in enumerate(words):
        breaks = words[number + 1 : number + 2] and words[number + 1].blank == "\n"
        text = harmless(word.text) + (NEW_LINE if breaks else "")
        glued = number > 0 and not word.blank
        yield Piece(lane, word.start, word.end, text, style, glued, speech=True)


def remarks(transcript: Transcript) -> list[Remark]:
    """List what is too long for a lane: notes, revisions and forgotten speech, by time."""
    before = {
        "note": "",
        "revision": f"{REVISION} heard again: ",
        "cut": f"{CUT} said and given up: ",
    }
    return [
        Remark(event.start, f"{before[event.kind]}{text}")
        for event in transcript.of("note", "revision", "cut")
        if (text := harmless(event.text).strip()) or event.kind != "cut"
    ]


def harmless(text: str) -> str:
    """Make one line of text that a terminal shows and does not act on."""
    text = re.sub(r"[^\S\n]*\n\s*", f"{NEW_LINE} ", text)
    return printable(re.sub(r"\s", " ", text))


def fitting(piece: Piece, width: int) -> Iterator[Piece]:
    """Divide the piece into parts of at most `width` columns; nearly always it fits."""
    while piece.width > width:
        head = set_cell_size(piece.text, width)
        head = head if piece.text.startswith(head) else head[:-1]
        yield replace(piece, text=head)
        piece = replace(piece, text=piece.text[len(head) :], glued=True)
    yield piece


@dataclass(frozen=True)
class Row:
    """A stretch of time that fits the width.

    Attributes:
        placed: pieces with their columns.
        moments: times, ascending, with `columns`: where time is on the row.
        until: when the next row begins, or all is over.
    """

    placed: tuple[tuple[int, Piece], ...]
    moments: tuple[float, ...]
    columns: tuple[float, ...]
    until: float

    def column(self, moment: float) -> int:
        """Find the column of a moment: between known ones in proportion."""
        after = bisect_right(self.moments, moment)
        if after == 0:
            return round(self.columns[0])
        if after == len(self.moments):
            return round(self.columns[-1])
        begin, end = self.moments[after - 1 : after + 1]
        left, right = self.columns[after - 1 : after + 1]
        return round(left + (right - left) * (moment - begin) / (end - begin))


def rows(shown: Iterable[Piece], width: int) -> list[Row]:
    """Lay pieces out, given by start: as many on a row as fit, none torn, lanes aligned in time."""
    waiting = deque(part for piece in shown for part in fitting(piece, width))
    done: list[Row] = []
    while waiting:
        done.append(_row(waiting, width))
    return done


def _row(waiting: deque[Piece], width: int) -> Row:
    """Take from `waiting` what fits on one row."""
    free = dict.fromkeys(LANES, 0)  # where each lane's next piece can begin
    placed: list[tuple[int, Piece]] = []
    axis = _Axis(waiting[0].start)
    while waiting:
        piece = waiting[0]
        axis.pass_ends(piece.start)
        gap = 0 if piece.glued or free[piece.lane] == 0 else 1
        column = max(axis.at(piece.start), free[piece.lane] + gap)
        if placed and round(column) + piece.width > width:
            break
        axis.mark(piece.start, column)
        axis.ends.append(piece.end)
        placed.append((round(column), waiting.popleft()))
        free[piece.lane] = round(column) + piece.width
    until = waiting[0].start if waiting else max(piece.end for _, piece in placed)
    axis.pass_ends(until)
    axis.mark(until, max(axis.at(until), *free.values()))
    columns = tuple(min(column, float(width)) for column in axis.columns)
    return Row(tuple(placed), tuple(axis.moments), columns, until)


class _Axis:
    """The time axis of a row, so far: at least in proportion, but long silence is shortened."""

    def __init__(self, start: float) -> None:
        self.moments, self.columns = [start], [0.0]
        self.ends: list[float] = []  # of pieces that may be still ahead

    def at(self, moment: float) -> float:
        """Find the column of a moment after all that are known, if no text needs more room."""
        seconds = min(moment - self.moments[-1], _LONGEST_SILENCE)
        return self.columns[-1] + _SCALE * seconds

    def mark(self, moment: float, column: float) -> None:
        """Fix a moment's column; of several things at one moment the first counts."""
        if moment > self.moments[-1]:
            self.moments.append(moment)
            self.columns.append(column)

    def pass_ends(self, moment: float) -> None:
        """Go on to a moment: what ends before it is a moment too."""
        for end in sorted(self.ends):
            if end < moment:
                self.mark(end, self.at(end))
        self.ends = [end for end in self.ends if end >= moment]


def drawing(transcript: Transcript, width: int) -> list[Text]:
    """Draw the transcript, line by line, none wider than `width` columns."""
    system = harmless(transcript.header.system)
    names = {CAPTION: "", USER: PERSON_NAME, AHEAD: "ahead", SYSTEM: system}
    gutter = min(_GUTTER, max(map(cell_len, names.values())) + 2)
    lines = [*_title(transcript, width), Text()]
    left = remarks(transcript)
    shown = pieces(transcript)
    laid_out = rows(shown, width - gutter)
    for number, row in enumerate(laid_out):
        lines.append(Text(" " * gutter) + _axis(row, shown))
        used = {piece.lane for _, piece in row.placed} | {USER, SYSTEM}
        for lane in LANES:
            if lane in used:
                name = set_cell_size(names[lane], gutter - 1) + " "
                lines.append(Text(name, "dim") + _lane(row, lane))
        last = number == len(laid_out) - 1
        for remark in [note for note in left if last or note.at < row.until]:
            lines += _remark(remark, gutter, width)
            left.remove(remark)
        lines.append(Text())
    lines += [line for remark in left for line in _remark(remark, gutter, width)]
    return [*lines, *_wrapped(_LEGEND, width)]


def print_transcript(
    transcript: Transcript, *, width: int | None = None, console: Console | None = None
) -> None:
    """Draw a transcript; as wide as the terminal, or 80 columns where there is none."""
    console = console or Console(width=width, highlight=False)
    for line in drawing(transcript, console.width):
        console.print(line, soft_wrap=True)


def _lane(row: Row, lane: str) -> Text:
    line = Text()
    for column, piece in row.placed:
        if piece.lane == lane:
            line.append(" " * (column - line.cell_len))
            line.append(piece.text, piece.style)
    return line


def _axis(row: Row, shown: Iterable[Piece]) -> Text:
    """Draw the time axis: seconds where there is room, and how many speak."""
    speakers = [0] * max(round(row.columns[-1]), 1)
    for lane in (USER, SYSTEM):
        spoken: set[int] = set()
        for piece in shown:
            if piece.lane == lane and piece.speech and piece.start < row.until:
                spoken.update(range(row.column(piece.start), row.column(piece.end)))
        for column in spoken:
            speakers[column] += 1
    line = Text("".join((_NOBODY, _ONE, _BOTH)[count] for count in speakers), "dim")
    for column, count in enumerate(speakers):
        if count > 1:
            line.stylize("bold not dim", column, column + 1)
    return _with_seconds(line, row)


def _with_seconds(line: Text, row: Row) -> Text:
    free = 0
    for second in range(int(row.moments[0]), int(row.until) + 1):
        label = f"{second}s"
        column = row.column(second)
        inside = row.moments[0] <= second or column == 0
        if inside and free <= column and column + len(label) <= len(line):
            line = line[:column] + Text(label, "bold") + line[column + len(label) :]
            free = column + len(label) + 2
    return line


def _title(transcript: Transcript, width: int) -> list[Text]:
    header: Header = transcript.header
    found = conversation_of(transcript)
    facts = (
        f"system {header.system}",
        f"model {header.models}",
        f"seed {header.seed}",
        f"{header.clock} clock",
        f"{transcript.seconds:g} s",
        f"{found.forward_passes} forward passes",
        f"{len(found.answers)} answer{'s' * (len(found.answers) != 1)}",
        f"both speak {length(found.overlaps):.2f} s",
    )
    return [
        *_wrapped(harmless(header.scenario), width, "bold"),
        *_wrapped(harmless(" · ".join(facts)), width),
    ]


def _remark(remark: Remark, gutter: int, width: int) -> list[Text]:
    return _wrapped(f"{remark.at:.1f}s {remark.text}", width, indent=" " * gutter)


def _wrapped(text: str, width: int, style: str = "dim", indent: str = "") -> list[Text]:
    """Break a line of text where it is too wide."""
    lines = Text(text, style).wrap(Console(), width - len(indent))
    return [Text(indent) + line for line in lines]
