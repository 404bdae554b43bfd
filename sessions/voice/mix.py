"""Mix sound: speech at a set level, noise and a second talker behind it, two channels in a file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from duo.data.phrases import grammar
from duo.errors import BadInput
from duo.files import whole_file
from duo.terminal import printable
from sessions.voice.recogniser import RATE, Sound
from sessions.voice.voices import Spoken, Voice

#: Root mean square of speech while somebody speaks, as a share of full scale: -26 dB.
LEVEL = 0.05
#: Frames (seconds) quieter than the loudest by this factor are no speech.
_FRAME, _FLOOR = 0.02, 0.05
#: Seconds between what a second talker says.
_PAUSES = (0.5, 2.5)


class Pitched:
    """A voice that is raised or lowered, so that two speakers can be told apart.

    Its sound is played faster or slower than it was made: all frequencies change alike, as with a
    smaller or larger speaker.
    """

    def __init__(self, voice: Voice, factor: float) -> None:
        self.name = f"{voice.name}*{factor:g}"
        self.rate = round(voice.rate * factor)
        self._voice, self._factor = voice, factor

    def say(self, text: str, *, speed: float = 1.0) -> Spoken:
        """Say a clause; see `Voice.say`."""
        spoken = self._voice.say(text, speed=speed / self._factor)
        share = spoken.rate / self.rate
        words = (replace(w, start=w.start * share, end=w.end * share) for w in spoken.words)
        return replace(spoken, rate=self.rate, words=tuple(words))


def lower(voice: Voice) -> Voice:
    """Make of the user's voice one that can be the system's."""
    return Pitched(voice, 0.88)


def at_level(sound: Sound) -> Sound:
    """Scale speech so that its root mean square is `LEVEL` where somebody speaks.

    Silence stays silence, and nothing is clipped: what would be is scaled to full scale.
    """
    size = round(_FRAME * RATE)
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    loudness = np.sqrt((frames**2).mean(axis=1)) if len(frames) else np.zeros(1)
    loud = loudness[loudness > loudness.max() * _FLOOR]
    if not len(loud):
        return sound
    factor = LEVEL / float(np.sqrt((loud**2).mean()))
    scaled: Sound = sound * np.float32(min(factor, 1 / float(np.abs(sound).max())))
    return scaled


def placed(parts: Sequence[tuple[int, Sound]]) -> Sound:
    """Return one channel of sounds, each from its sample on; what overlaps is added."""
    channel = np.zeros(max((at + len(sound) for at, sound in parts), default=0), np.float32)
    for at, sound in parts:
        channel[at : at + len(sound)] += sound
    return channel


@dataclass(frozen=True)
class Behind:
    """What is heard behind the user, all of it drawn from `seed`.

    Attributes:
        noise: decibels by which the user's speech is louder than the noise; None for no noise. The
            noise is pink: as loud in every octave, which is near to what rooms and streets have.
        talker: decibels by which it is louder than a second talker, who tells stories with short
            pauses; None for none.
    """

    noise: float | None = None
    talker: float | None = None
    seed: int = 0


class Background:
    """Sound behind the user: any stretch of it, from the beginning of the conversation."""

    def __init__(self, behind: Behind, voice: Voice) -> None:
        """Let `voice` be the second talker's."""
        self._behind, self._voice = behind, voice
        self._random = random.Random(behind.seed)
        self._noise = np.random.default_rng(behind.seed)
        self._made = np.zeros(0, np.float32)  # from the beginning
        self._talk = np.zeros(0, np.float32)

    def between(self, first: int, last: int) -> Sound:
        """Return samples from `first` up to `last`."""
        while len(self._made) < last:
            block = np.zeros(10 * RATE, np.float32)
            if self._behind.noise is not None:
                block += _pink(self._noise, len(block)) * _share(self._behind.noise)
            if self._behind.talker is not None:
                block += self._said(len(block)) * _share(self._behind.talker)
            self._made = np.concatenate([self._made, block])
        return self._made[first:last]

    def _said(self, count: int) -> Sound:
        while len(self._talk) < count:
            pause = np.zeros(round(self._random.uniform(*_PAUSES) * RATE), np.float32)
            said = self._voice.say(grammar().draw("story", self._random)).sound()
            self._talk = np.concatenate([self._talk, pause, at_level(said)])
        said, self._talk = self._talk[:count], self._talk[count:]
        return said


def _share(decibels: float) -> np.float32:
    return np.float32(10 ** (-decibels / 20))


def _pink(draws: np.random.Generator, count: int) -> Sound:
    """Draw pink noise at `LEVEL`, from 50 Hz on."""
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    spectrum = np.fft.rfft(draws.standard_normal(count))
    spectrum *= (frequencies >= 50) / np.sqrt(np.maximum(frequencies, 50))
    noise = np.fft.irfft(spectrum, count)
    scaled: Sound = (noise * (LEVEL / np.sqrt((noise**2).mean()))).astype(np.float32)
    return scaled


def write_sound(path: Path, channels: Sequence[Sound]) -> None:
    """Write channels of sound, the shorter ones filled up with silence, as FLAC: 16 bits, no tags.

    Raises:
        BadInput: the file cannot be written.
    """
    import soundfile

    size = max(1, *map(len, channels))  # of no sound at all the file would be empty
    sound: NDArray[np.float32] = np.stack([np.pad(c, (0, size - len(c))) for c in channels], axis=1)
    with whole_file(path, "wb") as stream:
        soundfile.write(stream, np.clip(sound, -1, 1), RATE, format="FLAC", subtype="PCM_16")


def read_sound(path: Path) -> list[Sound]:
    """Read the channels of a sound file of any usual format.

    Raises:
        BadInput: it cannot be read.
    """
    import soundfile
    import soxr

    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        why = printable(str(error).rpartition(": ")[2])
        raise BadInput(f"is no sound that can be read: {why}", file=path) from None
    channels: NDArray[np.float32] = soxr.resample(sound, rate, RATE)
    return list(channels.T)
