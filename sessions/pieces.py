"""What a transcript shows on each of its lanes: short pieces of text at moments.

Speech is cut into words, which are never torn apart in a drawing, and whatever a terminal would act
on is written as an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from duo.speech import cut
from duo.terminal import printable
from duo.transcript import Transcript, TranscriptEvent

CAPTION, USER, AHEAD, SYSTEM = LANES = ("caption", "user", "ahead", "system")

ANSWER_END, CUT, REVISION, WRONG, NEW_LINE = "■", "✂", "↺", "✗", "↵"

#: A silence of more than so many seconds parts two words, even if no blank does.
_BREAK = 1.0


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


@dataclass(frozen=True)
class Remark:
    """A line under the lanes."""

    at: float
    text: str


def pieces(transcript: Transcript) -> list[Piece]:
    """All pieces, by start."""
    labels = {event.utterance: event.label for event in transcript.of("utterance")}
    found: list[Piece] = []
    for event in transcript.events:
        found += _marks(event, labels.get(event.utterance))
    found += _words(transcript.of("speech", "answer_end", "cut"), SYSTEM, "green")
    for utterance in dict.fromkeys(event.utterance for event in transcript.of("word")):
        words = (event for event in transcript.of("word") if event.utterance == utterance)
        style = {"query": "bold cyan", "non_query": "yellow", None: "cyan"}[labels.get(utterance)]
        found += _words(words, USER, style)
    return sorted(found, key=lambda piece: piece.start)


def remarks(transcript: Transcript) -> list[Remark]:
    """What is too long for a lane: notes, revisions and forgotten speech, by time."""
    found = []
    for event in transcript.events:
        text = harmless(event.text).strip()
        if event.kind == "note":
            found.append(Remark(event.start, text))
        elif event.kind == "revision":
            found.append(Remark(event.start, f"{REVISION} heard anew: {text}"))
        elif event.kind == "cut" and text:
            found.append(Remark(event.start, f"{CUT} said and given up: {text}"))
    return found


def harmless(text: str) -> str:
    """One line of text that a terminal shows and does not act on."""
    text = re.sub(r"[^\S\n]*\n\s*", f"{NEW_LINE} ", text)
    return printable(re.sub(r"\s", " ", text))


def _marks(event: TranscriptEvent, label: str | None) -> Iterator[Piece]:
    """The pieces of an event that is not speech."""

    def mark(lane: str, text: str, style: str) -> Piece:
        return Piece(lane, event.start, event.start, text, style)

    if event.kind in ("respond", "ignore"):
        state, right = ("1", "query") if event.kind == "respond" else ("2", "non_query")
        why = "" if event.by in ("state", "") else f":{harmless(event.by)}"
        wrong = label not in (right, None)
        style = "bold red reverse" if wrong else "bold reverse"
        yield mark(USER, f"<{state}{why}>{WRONG if wrong else ''}", style)
    elif event.kind == "utterance" and (event.category or event.label):
        wanted = {"query": " <1>", "non_query": " <2>", None: ""}[event.label]
        yield mark(CAPTION, harmless(event.category).replace("_", " ") + wanted, "dim")
    elif event.kind == "predicted" and event.text.strip():
        yield mark(AHEAD, harmless(event.text).strip(), "dim italic")
    elif event.kind == "revision":
        yield mark(USER, REVISION, "bold magenta")
    elif event.kind == "answer_end":
        yield mark(SYSTEM, ANSWER_END, "bold green")
    elif event.kind == "cut":
        yield mark(SYSTEM, CUT, "bold red")


def _words(events: Iterable[TranscriptEvent], lane: str, style: str) -> list[Piece]:
    """Spoken text as words: one that comes in several events is put together again."""
    words: list[Piece] = []
    for characters in _runs(events):
        begin = 0
        for word in cut("".join(character.text for character in characters)):
            end = begin + len(word)
            glued = begin > 0 and not word.startswith(" ")
            start, stop = characters[begin].start, characters[end - 1].end
            words.append(Piece(lane, start, stop, word.strip(), style, glued, speech=True))
            begin = end
    return words


class _Character(NamedTuple):
    text: str
    start: float
    end: float


def _runs(events: Iterable[TranscriptEvent]) -> Iterator[list[_Character]]:
    """What is spoken without a break, character by character, with single blanks between words."""
    run: list[_Character] = []
    for event in events:
        if event.kind not in ("speech", "word") or (run and event.start - run[-1].end > _BREAK):
            yield from _trimmed(run)
            run = []
        if event.kind in ("speech", "word"):
            text = harmless(event.text)
            share = (event.end - event.start) / max(len(text), 1)
            for number, character in enumerate(text):
                if character != " " or (run and run[-1].text != " "):
                    start = event.start + number * share
                    run.append(_Character(character, start, start + share))
    yield from _trimmed(run)


def _trimmed(run: list[_Character]) -> Iterator[list[_Character]]:
    if run and run[-1].text == " ":
        run = run[:-1]
    if run:
        yield run


def fitting(piece: Piece, width: int) -> Iterator[Piece]:
    """The piece in parts of at most `width` columns: nearly always itself."""
    while piece.width > width:
        head = set_cell_size(piece.text, width)
        head = head if piece.text.startswith(head) else head[:-1]
        yield replace(piece, text=head)
        piece = replace(piece, text=piece.text[len(head) :], glued=True)
    yield piece
