"""Hear sound as frames: whisper's encoder, a projector, and the embedded model; no words.

Whisper's encoder is not causal. So it runs on the sound so far at the end of every cycle, and of
what it gives the last cycle's part is kept: frames are only ever appended, and a projector is
trained on just what a conversation will give it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from duo.data.filters import normalised
from duo.data.sample import UserTurn, read_samples
from duo.decoding.conversant import Frames
from duo.files import sha256
from duo.frames import SHARD, Projector, Utterance, write_utterances
from duo.runs import claim
from duo.terminal import progress
from sessions.voice.extras import need
from sessions.voice.mix import Background, Behind, at_level
from sessions.voice.recogniser import RATE, Detector, Sound, load_whisper, whisper
from sessions.voice.voices import Voice, load_voice

#: States a second of whisper's encoder, and seconds that it hears at once.
STATES, _LONGEST = 50, 30
#: Of one that is said: words at most, and seconds.
_WORDS, _SECONDS = 12, 6.0
#: What is drawn: pace, pitch, and decibels of the speech over the noise.
_PACES, _PITCHES, _NOISES = (0.85, 1.25), (0.92, 1.08), (5.0, 30.0)


class SoundStates:
    """Whisper's encoder (tiny.en), given a cycle of sound at a time."""

    def __init__(self) -> None:
        """Load it.

        Raises:
            BadInput: the extra [voice] is missing.
        """
        self._whisper = load_whisper()
        self.reset()

    def reset(self) -> None:
        """Forget the sound so far: an utterance begins."""
        self._sound = np.zeros(0, np.float32)

    def add(self, sound: Sound) -> NDArray[np.float16]:
        """Hear a cycle of sound; return its states, `[STATES * seconds, 384]`.

        Sound longer ago than the encoder hears is forgotten.
        """
        self._sound = np.concatenate([self._sound, sound])[-_LONGEST * RATE :]
        # Not padded to thirty seconds, which would all be computed in every cycle.
        mels = self._whisper.feature_extractor(self._sound, padding=0)
        found = self._whisper.encode(mels)
        last = len(sound) * STATES // RATE
        return np.array(found)[0, -last:].astype(np.float16)


def states_of(encoder: SoundStates, sound: Sound) -> NDArray[np.float16]:
    """Give whole seconds of sound to the encoder as a conversation does: one by one."""
    encoder.reset()
    return np.concatenate([encoder.add(second) for second in sound.reshape(-1, RATE)])


def say_all(data: Path, out: Path, *, count: int, test: int, takes: int, seed: int) -> None:
    """Say turns of users, and keep what the encoder makes of their sound; go on if it was stopped.

    No text is said for both parts. The recogniser is asked about those of validation, too.

    Args:
        data: folder with `train.jsonl` and `validation.jsonl`; see `duo.data.sample`.
        out: for the utterances, in `train` and `validation`; see `duo.frames`.
        count, test: texts of the two, of each five two to answer, two to ignore, one broken off.
        takes: of each text to learn from: in pitch, noise and beginning within a cycle they differ.
        seed: of all that is drawn.

    Raises:
        BadInput: the extra [voice] is missing; bad samples; a folder with other utterances.
    """
    need("whisper", "piper")
    files = {name: data / f"{name}.jsonl" for name in ("train", "validation")}
    turns = {name: list(_turns(file)) for name, file in files.items()}
    facts = {name: sha256(file) for name, file in files.items()}
    for name, texts in (("train", count), ("validation", test)):
        learned = name == "train"
        claim(out / name, {**facts, "takes": takes if learned else 1, "seed": seed})
        [others] = (those for other, those in turns.items() if other != name)
        chosen = list(islice(_drawn(turns[name], others, seed), texts))
        _say(chosen, out / name, takes if learned else 1, seed, recognise=not learned)


def _say(turns: list[UserTurn], out: Path, takes: int, seed: int, *, recognise: bool) -> None:
    encoder, voice = SoundStates(), load_voice("piper")
    decode = whisper() if recognise else None
    with progress(f"saying {out.name}", len(turns)) as bar:
        for start in range(0, len(turns), SHARD):
            path = out / f"{start:05}.safetensors"
            chosen = turns[start : start + SHARD]
            if not path.is_file():
                said = []
                for number, turn in enumerate(chosen, start):
                    draw = random.Random(f"{seed} {number}")
                    plain = voice.say(turn.content, speed=draw.uniform(*_PACES)).sound()
                    for _ in range(takes if 0 < len(plain) <= _SECONDS * RATE else 0):
                        sound, noise = _taken(plain, voice, draw)
                        words = "".join(p.text for p in decode(sound, "")) if decode else None
                        states = states_of(encoder, sound)
                        said.append(
                            Utterance(states, turn.content, turn.state, turn.kind, noise, words)
                        )
                write_utterances(path, said)
            bar.advance(len(chosen))


def _drawn(turns: list[UserTurn], others: list[UserTurn], seed: int) -> Iterator[UserTurn]:
    """Draw turns of different texts, none of `others`, in fives: 2 `<1>`, 2 `<2>`, 1 broken off."""
    seen = {normalised(turn.content) for turn in others}
    by_state: dict[str | None, list[UserTurn]] = {"<1>": [], "<2>": [], None: []}
    for turn in turns:
        text = normalised(turn.content)
        if text and text not in seen and len(text.split()) <= _WORDS:
            seen.add(text)
            by_state[turn.state].append(turn)
    for part in by_state.values():
        random.Random(seed).shuffle(part)
    for state in cycle(("<1>", "<2>", "<1>", "<2>", None)):
        if not by_state[state]:
            return
        yield by_state[state].pop()


def _turns(samples: Path) -> Iterator[UserTurn]:
    for sample in read_samples(samples):
        yield from (turn for turn in sample.messages if isinstance(turn, UserTurn))


def _taken(plain: Sound, voice: Voice, draw: random.Random) -> tuple[Sound, float | None]:
    """Change the pitch, begin within the first second, add noise in four of five."""
    import soxr

    pitched = soxr.resample(plain, round(RATE * draw.uniform(*_PITCHES)), RATE)
    sound = np.concatenate([np.zeros(draw.randrange(RATE), np.float32), at_level(pitched)])
    sound = np.pad(sound, (0, -len(sound) % RATE))
    noise = draw.uniform(*_NOISES) if draw.random() < 0.8 else None
    behind = Background(Behind(noise=noise, seed=draw.randrange(2**31)), voice)
    return sound + behind.between(0, len(sound)), noise


class FrameHearing:
    """Hears a user cycle by cycle, for a system that takes `Frames`."""

    def __init__(self, projector: Projector, encoder: SoundStates | None = None) -> None:
        """Load the encoder and what finds speech.

        Raises:
            BadInput: the extra [voice] is missing.
        """
        self._encoder, self._projector = encoder or SoundStates(), projector
        self._detector = Detector()
        self._speaking = False
        self._states = np.zeros((0, projector.shape.sound), np.float16)

    def hear(self, sound: Sound) -> Frames | str:
        """Return the frames of a cycle's sound, or "" where nobody speaks.

        The cycle in which speech begins is the first one of an utterance, from its beginning.
        """
        import torch

        edges = self._detector.feed(sound)
        if not (self._speaking or edges):
            return ""
        if not self._speaking:
            self._encoder.reset()
            self._states = self._states[:0]
        for edge in edges:
            self._speaking = edge.kind == "onset"
        new = self._encoder.add(sound)
        self._states = np.concatenate([self._states, new])
        with torch.inference_mode():  # causal, so the earlier frames are those that were given
            found = self._projector(torch.from_numpy(self._states).float()[None])[0]
        return Frames(found[-(len(new) // self._projector.shape.stack) :])
