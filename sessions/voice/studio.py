"""Give a recording its sound: the user's voice and what is behind it, and the system's voice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from duo.decoding.conversant import CycleResult, Heard
from duo.errors import BadInput
from duo.reading import conversation_of
from duo.speech import Conversation
from duo.terminal import progress
from duo.transcript import Header, Transcript
from duo.words import Word, joined
from sessions.play import Recording, play
from sessions.scenario import START_RULES, Scenario, Utterance
from sessions.voice.extras import need
from sessions.voice.mix import Background, Behind, Pitched, at_level, lower, placed, write_sound
from sessions.voice.recogniser import RATE, Decode, Sound, SpeechInput, whisper
from sessions.voice.recognition import WordErrors, errors_of
from sessions.voice.spoken import SpeakingUser, SpokenUser, SpokenUtterance, say_within, speak
from sessions.voice.voices import NAMES, Voice, load_voice

#: How much higher the second talker's voice is than the user's.
_TALKER = 1.2
#: A silence of this length (seconds) parts clauses; so does a mark at a word's end.
_GAP = 0.3
_MARKS = (*".,;:!?…。！？：；，、",)
#: Seconds in which a voice falls silent that is cut short.
_FADE = 0.05


@dataclass(frozen=True)
class SpeechSettings:
    """How scenarios are spoken and heard.

    Attributes:
        voices: of the user, one for each scenario, drawn by the seed: names of `load_voice`.
        noise, talker: see `Behind`.
        delay: seconds that the recogniser computes for every decoding.
    """

    voices: tuple[str, ...] = ("piper",)
    noise: float | None = None
    talker: float | None = None
    delay: float = 0.0


@dataclass
class Studio:
    """Makes spoken users, and the sound of what they and a system said."""

    settings: SpeechSettings
    seed: int = 0
    _voices: dict[str, Voice] = field(default_factory=dict)
    _spoken: dict[str, dict[str, SpokenUtterance]] = field(default_factory=dict)

    def check(self, scenarios: Iterable[Scenario]) -> None:
        """Make sure that scenarios can be spoken here, before anything is loaded.

        Raises:
            BadInput: something is not installed, a voice is silent, or a scenario is not English.
        """
        if "none" in self.settings.voices:
            raise BadInput("a user who speaks has a voice", field="voice")
        need("whisper", "sound", *(v if v in NAMES else "piper" for v in self.settings.voices))
        for scenario in scenarios:
            if not scenario.language.startswith("en"):
                said = f"{scenario.name} is in {scenario.language!r}"
                raise BadInput(f"{said}: voice and recogniser are English", field="scenario")

    def user(self, scenario: Scenario) -> SpokenUser:
        """Make a user who speaks a scenario, from its beginning, and is heard by a recogniser."""
        speech = SpeechInput(self.decode)
        return SpokenUser(*self._parts(scenario), speech, delay=self.settings.delay)

    def speaker(self, scenario: Scenario, seconds: float) -> SpeakingUser:
        """Make a user who only speaks; all sound is made before, for so many seconds."""
        scenario, spoken, background = self._parts(scenario)
        for utterance in scenario.utterances:
            spoken(utterance)
        background.between(0, round(seconds * RATE))
        return SpeakingUser(scenario, spoken, background)

    def _parts(
        self, scenario: Scenario
    ) -> tuple[Scenario, Callable[[Utterance], SpokenUtterance], Background]:
        draws = random.Random(f"{self.seed} {scenario.sha256}")
        voice = self._voice(draws.choice(self.settings.voices))
        behind = Behind(self.settings.noise, self.settings.talker, draws.getrandbits(32))
        spoken = self._speaking(scenario, voice)
        return scenario, spoken, Background(behind, Pitched(voice, _TALKER))

    @property
    def system_voice(self) -> Voice:
        """The voice of systems that have none."""
        return lower(self._voice(self.settings.voices[0]))

    def write(self, path: Path, user: SpeakingUser, recording: Recording) -> None:
        """Write the user's and the system's sound, left and right."""
        system = recording.system_sound
        if system is None:
            system = system_channel(conversation_of(recording.transcript), self.system_voice)
        write_sound(path, [user.sound, system])

    def _voice(self, name: str) -> Voice:
        if name not in self._voices:
            self._voices[name] = load_voice(name)
        return self._voices[name]

    def _speaking(self, scenario: Scenario, voice: Voice) -> Callable[[Utterance], SpokenUtterance]:
        """Say each utterance once, however many systems hear it."""
        said = self._spoken.setdefault(scenario.sha256, {})

        def spoken(utterance: Utterance) -> SpokenUtterance:
            if utterance.id not in said:
                said[utterance.id] = speak(scenario, utterance, voice)
            return said[utterance.id]

        return spoken

    @cached_property
    def decode(self) -> Decode:
        return whisper()


class _Listens:
    """A system that never speaks."""

    name, cycle_seconds = "listens", 1.0

    def reset(self) -> None:
        """Have nothing to forget."""

    def cycle(self, heard: Heard) -> CycleResult:
        return CycleResult()


def hear(studio: Studio, scenarios: Sequence[Scenario]) -> Iterator[Transcript]:
    """Speak the utterances of scenarios one after the other, a second apart, to the recogniser.

    Raises:
        BadInput: one cannot be spoken; before anything is.
    """
    studio.check(scenarios)
    with progress("listening", len(scenarios)) as bar:
        for scenario in scenarios:
            first, *others = (_at_once(utterance) for utterance in scenario.utterances)
            first = first.model_copy(update={"at": 1.0, "after_previous": None})
            alone = scenario.model_copy(update={"utterances": (first, *others)})
            header = Header(
                system="listens", model="none", scenario=scenario.name, cycle_seconds=1.0
            )
            transcript = play(alone, _Listens(), header, user=studio.user(alone)).transcript
            bar.advance()
            if not bar.on_terminal:
                found = WordErrors.together(errors for _, errors in errors_of(transcript))
                bar.print(f"{scenario.name}: {found.wrong} of {found.words} words misheard")
            yield transcript


def _at_once(utterance: Utterance) -> Utterance:
    rules: dict[str, float | None] = dict.fromkeys(START_RULES)
    return utterance.model_copy(update={**rules, "after_previous": 1.0, "label": "non_query"})


def system_channel(conversation: Conversation, voice: Voice) -> Sound:
    """Let a voice say the system's words at their times.

    Each clause begins with its first word, or when the one before is over, and is said as fast as
    it was spoken, if the voice can. An answer that was given up is cut off at that moment.
    """
    return say_parts(
        [
            (answer.words, answer.ended if answer.ending == "cut" else None)
            for answer in conversation.answers
        ],
        voice,
    )


def say_parts(parts: Iterable[tuple[Sequence[Word], float | None]], voice: Voice) -> Sound:
    """Let a voice say words at their times: of each part, and when it is cut off, if it is."""
    return placed(
        [
            (round(start * RATE), sound)
            for words, until in parts
            for start, sound in _said(words, voice, until)
        ]
    )


def _said(words: Sequence[Word], voice: Voice, until: float | None) -> list[tuple[float, Sound]]:
    parts: list[tuple[float, Sound]] = []
    free = 0.0
    for clause in _clauses(words):
        start, end = max(clause[0].start, free), clause[-1].end
        if until is not None and start >= until:
            break
        seconds = max(end - start, 0.1)
        sound = at_level(say_within(voice, joined(clause), seconds))
        if until is not None:
            sound = _cut_off(sound, until - start)
        parts.append((start, sound))
        free = start + len(sound) / RATE
    return parts


def _clauses(words: Iterable[Word]) -> list[list[Word]]:
    clauses: list[list[Word]] = []
    for word in words:
        last = clauses[-1][-1] if clauses else None
        if last is None or last.text.endswith(_MARKS) or word.start - last.end >= _GAP:
            clauses.append([])
        clauses[-1].append(word)
    return clauses


def _cut_off(sound: Sound, seconds: float) -> Sound:
    count = round(seconds * RATE)
    if len(sound) <= count:
        return sound
    kept = sound[:count].copy()
    fade = min(round(_FADE * RATE), count)
    kept[count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return kept
