"""Turn what a recogniser commits into what a system hears, cycle by cycle.

An utterance of the system's goes on until it has decided about it, whatever the segments of the
recogniser are. While somebody speaks whose words have not come yet, a cycle brings what was heard
before once more, as a `Revision`: the utterance is not over, and this is no silence.
"""

from __future__ import annotations

from dataclasses import replace

from duo.decoding.conversant import Heard, Revision
from duo.words import Piece, blank_between
from sessions.voice.recogniser import Recognised, timed


class SpokenWords:
    """What is heard of somebody who speaks; while `speaking`, words may still come."""

    def __init__(self) -> None:
        self.speaking = False
        self.changed_at = 0.0
        self.heard = ""
        self._earlier = ""  # segments of the open utterance before the present one
        self._segment: list[str] = []  # words of the present one that belong to the utterance
        self._taken = 0  # words at its beginning that an utterance before took
        self._heard_words = 0  # words of `_segment` that were heard
        self._fresh: list[Piece] = []  # words that were not heard yet
        self._span: tuple[float, float] | None = None
        self._over = True  # the segment

    @property
    def span(self) -> tuple[float, float]:
        """When what was heard was said."""
        return self._span or (self.changed_at, self.changed_at)

    @property
    def waiting(self) -> bool:
        """Whether something is there that was not heard yet."""
        return self._text != self.heard

    def add(self, result: Recognised, at: float) -> None:
        """Take what a decoding has added, at this time."""
        self.changed_at = at
        if self._over:
            self._earlier, self._segment = self._text, []
            self._taken = self._heard_words = 0
        self._over = result.final
        words = list(result.words)
        if result.revision is not None:
            words = words[self._taken :]
            self._segment, self._fresh = [], []
        if words and not self._segment:
            first = words[0].text.lstrip()
            words[0] = replace(words[0], text=blank_between(self._earlier, first) + first)
        self._segment += [word.text for word in words]
        self._fresh += words

    def hear(self, now: float) -> tuple[Heard, tuple[Piece, ...]]:
        """Return what is newly heard, and its words; a revision has none."""
        before, text = self.heard, self._text
        words, self._fresh = tuple(self._fresh), []
        self.heard, self._heard_words = text, len(self._segment)
        if text == before:
            return Revision(before) if self.speaking and before else "", ()
        revised = not text.startswith(before)
        if not revised and "".join(word.text for word in words) != text[len(before) :]:
            # The last decoding has changed the segment, but nothing that was heard of it.
            words = timed(text[len(before) :], self.span[1], max(self.changed_at, self.span[1]))
        if words:
            start = words[0].start if self._span is None else self._span[0]
            self._span = start, max(words[-1].end, start)
        return (Revision(text), ()) if revised else (text[len(before) :], words)

    def decided(self) -> None:
        """End the utterance with what was heard of it; what came since opens the next one."""
        self._taken += self._heard_words
        self._segment = self._segment[self._heard_words :]
        # A segment may have ended, and the next begun, since it was heard.
        before, known = self.heard, self._earlier.startswith(self.heard)
        self._earlier = self._earlier[len(before) :].lstrip() if known else ""
        self.heard, self._heard_words = "", 0
        self._span = None
        if self._segment and not self._earlier:
            self._segment[0] = self._segment[0].lstrip()
        if self._fresh:
            self._fresh[0] = replace(self._fresh[0], text=self._fresh[0].text.lstrip())

    @property
    def _text(self) -> str:
        return self._earlier + "".join(self._segment)
