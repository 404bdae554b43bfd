"""Speak the user's side of a scenario, and let the system hear what a recogniser makes of it.

The words keep the times that the scenario gives them, as far as a voice can: each stretch between
two pauses is said faster or slower until it lasts as long, within `SPEEDS`; what lasts longer all
the same moves the rest. So a conversation can be compared with the same one in text.

The recogniser listens all the time, to the user and to what is behind. In simulated time it hands
its words on when it has heard so much sound as it needs for them; the time that it computes does
not count, unless a constant is set. It does not hear the system: the user wears headphones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from duo.words import DECIMALS, Piece, blank_between
from sessions.scenario import Hearing, Scenario, Utterance
from sessions.user import HeardPart, Said, ScriptedUser
from sessions.voice.mix import Background, at_level, placed
from sessions.voice.recogniser import RATE, Recognised, Sound, SpeechInput
from sessions.voice.voices import Voice

#: How much faster and slower than its natural pace a voice may speak.
SPEEDS = (0.55, 1.6)
#: Seconds of silence between words from which on it is a pause, which the voice makes too.
_PAUSE = 0.2
#: Seconds of sound that the recogniser is given at once.
_CHUNK = 0.1


@dataclass(frozen=True)
class SpokenUtterance:
    """An utterance as sound.

    Attributes:
        sound: from the first word's beginning on.
        hearings: its words as they are said, in seconds from there.
    """

    sound: Sound
    hearings: tuple[Hearing, ...]


def speak(scenario: Scenario, utterance: Utterance, voice: Voice) -> SpokenUtterance:
    """Say an utterance of a scenario, with its pauses, at its pace; revisions are not said."""
    planned = [one for one in scenario.hearings(utterance) if not one.restates]
    parts: list[tuple[int, Sound]] = []
    hearings: list[Hearing] = []
    late = 0.0
    for stretch in _stretches(planned):
        first, last = stretch[0].start, stretch[-1].end
        said = say_within(voice, "".join(word.text for word in stretch), last - first)
        lasts = len(said) / RATE or last - first
        share = lasts / (last - first)
        parts.append((round((first + late) * RATE), said))
        hearings += [
            replace(
                word,
                start=first + late + (word.start - first) * share,
                end=first + late + (word.end - first) * share,
            )
            for word in stretch
        ]
        late += lasts - (last - first)
    return SpokenUtterance(at_level(placed(parts)), tuple(hearings))


def say_within(voice: Voice, text: str, seconds: float) -> Sound:
    """Say a text so that it lasts so long, as nearly as `SPEEDS` allow; without silence around it.

    A text without a word is no sound.
    """
    natural = _said(voice, text, 1.0)
    if not len(natural):
        return natural
    slowest, fastest = SPEEDS
    return _said(voice, text, min(max(len(natural) / RATE / seconds, slowest), fastest))


def _said(voice: Voice, text: str, speed: float) -> Sound:
    said = voice.say(text, speed=speed)
    if not said.words:
        return np.zeros(0, np.float32)
    first, last = said.words[0].start, said.words[-1].end
    return said.sound()[round(first * RATE) : round(last * RATE)]


def _stretches(words: Sequence[Hearing]) -> list[list[Hearing]]:
    stretches: list[list[Hearing]] = []
    for word in words:
        if not stretches or word.start - stretches[-1][-1].end >= _PAUSE:
            stretches.append([])
        stretches[-1].append(word)
    return stretches


class SpeakingUser(ScriptedUser):
    """A scripted user who speaks, with what is heard behind."""

    def __init__(
        self,
        scenario: Scenario,
        spoken: Callable[[Utterance], SpokenUtterance],
        background: Background,
    ) -> None:
        super().__init__(scenario)
        self._speak, self._background = spoken, background
        self._voiced: list[tuple[int, Sound]] = []  # what is said, and from which sample on
        self._chunks: list[Sound] = []
        self._made_until = 0  # samples

    @property
    def sound(self) -> Sound:
        """All sound so far."""
        return np.concatenate([np.zeros(0, np.float32), *self._chunks])

    def next_sound(self, count: int) -> Sound:
        """Return the next samples of what can be heard, up to where `speak` has come."""
        first, last = self._made_until, self._made_until + count
        chunk = self._background.between(first, last).copy()
        for begin, sound in self._voiced:
            a, b = max(first, begin), min(last, begin + len(sound))
            if a < b:
                chunk[a - first : b - first] += sound[a - begin : b - begin]
        self._voiced = [one for one in self._voiced if one[0] + len(one[1]) > last]
        self._chunks.append(chunk)
        self._made_until = last
        return chunk

    def _hearings(self, utterance: Utterance) -> tuple[Hearing, ...]:
        return self._speak(utterance).hearings

    def _say(self, utterance: Utterance, start: float) -> Said:
        said = super()._say(utterance, start)
        self._voiced.append((round(said.start * RATE), self._speak(utterance).sound))
        return said


class SpokenUser(SpeakingUser):
    """A user who speaks and is heard by way of a recogniser."""

    recognised = True

    def __init__(
        self,
        scenario: Scenario,
        spoken: Callable[[Utterance], SpokenUtterance],
        background: Background,
        speech_input: SpeechInput,
        *,
        delay: float = 0.0,
    ) -> None:
        """Take `delay` seconds for every decoding of the recogniser."""
        super().__init__(scenario, spoken, background)
        self._input = speech_input
        self._delay = delay
        self._said: list[Said] = []
        self._stretch: list[tuple[str, Piece]] = []  # recognised of the present one, by utterance
        self._stretches = 0
        self._before: dict[str, str] = {}  # recognised of utterances in other stretches
        self._waiting: list[HeardPart] = []

    @property
    def speaking(self) -> bool:
        """Whether the recogniser hears somebody speak, or is still busy with what was said."""
        return self._input.speaking or bool(self._waiting)

    def heard_by(self, now: float, said: Sequence[tuple[Said, Hearing]]) -> list[HeardPart]:
        """Return what the recogniser has handed on since the last cycle."""
        until = round(now * RATE)
        while self._made_until < until:
            self._input.feed(self.next_sound(min(round(_CHUNK * RATE), until - self._made_until)))
            while self._input.due:
                at = self._made_until / RATE + self._delay
                self._take(self._input.decode(), round(at, DECIMALS))
        heard = [part for part in self._waiting if part.hearing.end <= now]
        self._waiting = self._waiting[len(heard) :]
        return heard

    def _say(self, utterance: Utterance, start: float) -> Said:
        said = super()._say(utterance, start)
        self._said.append(said)
        return said

    @property
    def _name(self) -> str:
        return f"stretch {self._stretches}"

    def _take(self, found: Recognised, at: float) -> None:
        """Note what a decoding found, and which utterances it is of."""
        words = [(self._utterance_of(word), word) for word in found.words]
        if found.revision is None:
            self._stretch += words
            for utterance, word in words:
                hearing = Hearing(word.text, min(round(word.start, DECIMALS), at), at)
                self._waiting.append(HeardPart(self._name, utterance, hearing))
        else:
            before, self._stretch = self._stretch, words
            restated = tuple(
                (name, self._text(name))
                for name in dict.fromkeys(name for name, _ in [*before, *words])
                if _text_of(name, before) != _text_of(name, words)
            )
            last, _ = [*before, *words][-1]
            hearing = Hearing(found.revision, at, at, restates=True)
            self._waiting.append(HeardPart(self._name, last, hearing, restated))
        if found.final:
            for name in {name for name, _ in self._stretch}:
                self._before[name] = self._text(name)
            self._stretch, self._stretches = [], self._stretches + 1

    def _text(self, utterance: str) -> str:
        """Return all that is recognised of an utterance."""
        before, now = self._before.get(utterance, ""), _text_of(utterance, self._stretch)
        return before + blank_between(before, now) + now

    def _utterance_of(self, word: Piece) -> str:
        """Find the utterance that is nearest to a word in time; "" before the first."""
        middle = (word.start + word.end) / 2

        def distance(said: Said) -> float:
            return max(said.start - middle, middle - said.spoken_until, 0.0)

        return min(self._said, key=distance).utterance.id if self._said else ""


def _text_of(utterance: str, words: Sequence[tuple[str, Piece]]) -> str:
    return "".join(word.text for name, word in words if name == utterance).strip()
