"""What a system hears of what somebody types: whole words, while the line is still being written.

A word counts once a blank, closing punctuation or Enter follows it; a word half typed waits, unless
the typist pauses. Writing systems without blanks are heard character by character. The typist may
change words that were heard already: then the whole utterance is heard anew, as a `Revision`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from duo.decoding.conversant import Heard, Revision
from duo.speech import blank_between

_CLOSING = frozenset('.,;:!?…)]}"”»')


@dataclass(frozen=True)
class Word:
    """A word with the blanks before it, and when its first and last key were struck."""

    text: str
    start: float
    end: float


class Ear:
    """Hears one utterance after another from an input line that may be edited.

    An utterance goes on, from one entered line to the next, until the system has decided about it
    (`decided`). What was typed but not heard by then opens the next one.

    The pieces heard of an utterance, joined as they are, with each `Revision` replacing all before
    it, are a beginning of its text, and after a pause the whole of it.
    """

    def __init__(self, pause: float) -> None:
        """`pause`: seconds without a key after which a word half typed is heard as it stands."""
        self._pause = pause
        self._entered = ""  # whole lines of this utterance
        self._line = ""
        self._text = ""  # the two joined
        self._times: list[float] = []  # when each character of the text was typed
        self.last_key = 0.0
        self._heard = ""

    @property
    def line(self) -> str:
        """What of the input line belongs to the utterance that is still open."""
        return self._line

    @property
    def heard(self) -> str:
        """All that was heard of the open utterance."""
        return self._heard

    @property
    def waiting(self) -> bool:
        """Whether what was heard is not yet what was typed."""
        return self._text.rstrip() != self._heard

    @property
    def unheard(self) -> str:
        """What was typed after what was heard."""
        return self._text[_common(self._text, self._heard) :]

    @property
    def span(self) -> tuple[float, float]:
        """When the first and the last key were struck of what was heard of the utterance."""
        times = self._times[: len(self._heard)] or [self.last_key]
        return times[0], times[-1]

    def typed(self, line: str, now: float) -> None:
        """The input line reads `line` now."""
        if line != self._line:
            self._line = line
            self._write(_joined(self._entered, line), now)

    def entered(self, now: float) -> None:
        """Enter was struck: the line is complete, and a new one begins."""
        self._entered, self._line = self._text.rstrip(), ""
        self._write(self._entered, now)

    def corrected(self, text: str, now: float) -> None:
        """The whole open utterance reads `text` now: how a recogniser changes its mind."""
        self._entered, self._line = text.strip(), ""
        self._write(self._entered, now)

    def hear(self, now: float) -> tuple[Heard, tuple[Word, ...]]:
        """What is newly heard, and its words; a revision and silence have none."""
        complete = self._text[: self._complete(now)].rstrip()
        before = len(self._heard)
        if self._text.startswith(self._heard):
            if len(complete) <= before:
                return "", ()
            self._heard = complete
            return complete[before:], self._words(before)
        self._heard = complete
        return Revision(complete), ()

    def decided(self) -> None:
        """The system has decided: the utterance ends with what was heard of it."""
        kept = _common(self._text, self._heard)
        if kept < len(self._entered):
            self._entered = self._entered[kept:].lstrip()
        else:
            # The part of the line that was heard goes; only the text knows how the two were joined.
            self._entered, self._line = "", self._text[kept:].lstrip()
        times = self._times
        self._text = _joined(self._entered, self._line)
        self._times = times[len(times) - len(self._text) :]
        self._heard = ""

    def _write(self, text: str, now: float) -> None:
        kept = _common(self._text, text)
        self._text = text
        self._times[kept:] = [now] * (len(text) - kept)
        self.last_key = now

    def _complete(self, now: float) -> int:
        """How many characters of the text are whole words."""
        if now - self.last_key > self._pause:
            return len(self._text)
        for end in range(len(self._text), len(self._entered), -1):
            if _ends_word(self._text[end - 1]):
                return end
        return len(self._entered)

    def _words(self, begin: int) -> tuple[Word, ...]:
        found = re.finditer(r"\s*(\S+)", self._heard[begin:])
        return tuple(
            Word(
                match[0],
                self._times[begin + match.start(1)],
                self._times[begin + match.end() - 1],
            )
            for match in found
        )


def _ends_word(character: str) -> bool:
    return character in _CLOSING or not blank_between(character, "a")


def _joined(before: str, line: str) -> str:
    """A further line of the same utterance."""
    line = line.lstrip()
    return before + blank_between(before, line) + line


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
