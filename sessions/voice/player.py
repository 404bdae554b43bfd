"""Play what a voice has said, piece by piece, and know what was heard of it.

Whoever sends the sound takes it a few hundredths of a second at a time. So it can be held in the
middle of a word and go on there, or be stopped, and what counts as said is what was taken.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from duo.words import Piece
from sessions.voice.recogniser import RATE, Sound
from sessions.voice.voices import Spoken


@dataclass
class _Clip:
    """A clause with how much of it was played; `cycle` is that of its text."""

    sound: Sound
    words: tuple[Piece, ...]
    cycle: int
    played: int = 0  # samples
    begun: list[float] = field(default_factory=list)  # when each word began that has begun
    said: int = 0  # words


@dataclass(frozen=True)
class Taken:
    """Sound to be heard now.

    Attributes:
        sound: None where there is nothing to play.
        words: that end in it, with times on the clock.
        ended: the answer is over with it.
    """

    sound: Sound | None = None
    words: tuple[Piece, ...] = ()
    ended: bool = False


class Player:
    """Plays clauses in order; `held` while it is paused."""

    def __init__(self) -> None:
        self.held = False
        self._clips: deque[_Clip | None] = deque()  # None: the answer ends here

    @property
    def seconds(self) -> float:
        """How much is left to play."""
        return sum(len(clip.sound) - clip.played for clip in self._clips if clip) / RATE

    @property
    def empty(self) -> bool:
        """Whether nothing is left, not even the end of an answer."""
        return not self._clips

    def add(self, spoken: Spoken, cycle: int) -> None:
        """Put a clause after all others."""
        self._clips.append(_Clip(spoken.sound(), spoken.words, cycle))

    def end(self) -> None:
        """Let the answer be over after what was added so far."""
        self._clips.append(None)

    def take(self, count: int, now: float) -> Taken:
        """Play `count` samples that are heard from `now` on; silence fills up the last ones."""
        if self.held or not self._clips:
            return Taken()
        parts, words, left, ended = list[Sound](), list[Piece](), count, False
        while self._clips and left and not ended:
            clip = self._clips[0]
            if clip is None:
                self._clips.popleft()
                ended = True
                continue
            part = clip.sound[clip.played : clip.played + left]
            at = now + (count - left) / RATE - clip.played / RATE  # when the clip would have begun
            clip.played += len(part)
            left -= len(part)
            parts.append(part)
            words += _words_played(clip, at)
            if clip.played >= len(clip.sound):
                self._clips.popleft()
        if self._clips and self._clips[0] is None:
            self._clips.popleft()
            ended = True
        sound = np.concatenate([*parts, np.zeros(left, np.float32)]) if parts else None
        return Taken(sound, tuple(words), ended)

    def hold(self) -> None:
        """Pause, in the middle of a word if need be."""
        self.held = True

    def go_on(self) -> None:
        """Go on where it was held: with the word that was not over."""
        if not self.held:
            return
        self.held = False
        clip = self._clips[0] if self._clips else None
        if clip is not None and len(clip.begun) > clip.said:
            del clip.begun[clip.said :]
            clip.played = min(clip.played, round(clip.words[clip.said].start * RATE))

    @property
    def unheard(self) -> str:
        """The text that was not played, from the first word that was not over."""
        clips = [clip for clip in self._clips if clip is not None]
        return "".join(word.text for clip in clips for word in clip.words[clip.said :])

    def stop(self) -> None:
        """Drop all that was not played."""
        self._clips.clear()
        self.held = False


def _words_played(clip: _Clip, at: float) -> list[Piece]:
    """List the words that have ended by now; `at` is when the clip began, without its pauses."""
    over, seconds = clip.played >= len(clip.sound), clip.played / RATE
    ended = list[Piece]()
    for number, word in enumerate(clip.words):
        if number == len(clip.begun) and (over or word.start < seconds):
            clip.begun.append(at + word.start)
        if number >= clip.said and (over or word.end <= seconds):
            begun = clip.begun[number]
            ended.append(Piece(begun, max(at + word.end, begun), word.text, clip.cycle))
            clip.said = number + 1
    return ended
