"""Make the sound of a study's dialogues so that it tells no more than what was said, and how.

Every sound is written anew: the same format and rate, no tags, a name that says nothing, and each
speaker as loud as everywhere else in the study, the user on the left and the assistant on the
right. With `one-voice` all systems, and all users, speak with the same two voices, from the words
that the page shows; so raters judge what is said and when, not whose voice is nicer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from duo import words as spoken
from duo.errors import BadInput
from sessions.study.blinding import Dialogue, Who, Word

if TYPE_CHECKING:
    from sessions.study.materials import SystemDialogue
    from sessions.voice.recogniser import Sound
    from sessions.voice.voices import Voice

#: What raters hear: what was recorded, everything in the same two voices, or nothing.
SoundOf = Literal["recorded", "one-voice", "none"]
SOUNDS: tuple[SoundOf, ...] = ("recorded", "one-voice", "none")


@dataclass
class StudySound:
    """Makes the sound of one study."""

    sound_of: SoundOf = "recorded"
    _voices: dict[Who, Voice] = field(default_factory=dict)

    def check(self, recordings: Sequence[SystemDialogue]) -> None:
        """Make sure that there is sound of all dialogues or of none, and that it can be made.

        Raises:
            BadInput: a sound is missing: it would tell the systems apart; or a package is.
        """
        if self.sound_of == "none":
            return
        from sessions.voice.extras import need

        if self.sound_of == "one-voice":
            need("piper", "sound")
            for one in recordings:
                if not _is_english(one):
                    raise BadInput(f"the voice speaks no {one.language!r}", file=one.source)
            return
        heard = [one for one in recordings if one.audio is not None]
        if heard:
            need("sound")
        for one in recordings:
            if heard and one.audio is None:
                said = f"has no sound, while {heard[0].source} has: raters would notice"
                raise BadInput(f"{said}; leave it all out with --sound none", file=one.source)

    def channels(self, recording: SystemDialogue, *, asking: bool = False) -> list[Sound]:
        """Return the user's and the assistant's sound of a dialogue; nothing if there is none.

        Args:
            asking: the assistant says what no system has said: the page shows it, and our voice
                says it.

        Raises:
            BadInput: the file is no sound.
        """
        if self.sound_of == "none" or (self.sound_of == "recorded" and recording.audio is None):
            return []
        said = recording.shown
        if self.sound_of == "one-voice":
            return [self._spoken(said, "user"), self._spoken(said, "assistant")]
        assert recording.audio is not None
        channels = _levelled(recording.audio)
        if not asking:
            return channels
        if not (self._can_speak and _is_english(recording)):
            return []
        user = channels[0] if len(channels) == 2 else self._spoken(said, "user")
        return [user, self._spoken(said, "assistant")]

    @cached_property
    def _can_speak(self) -> bool:
        from sessions.voice.extras import lacking

        return not lacking("piper")

    def _spoken(self, dialogue: Dialogue, who: Who) -> Sound:
        """Let a voice say what the page shows of a speaker; a dash is where somebody breaks off."""
        from sessions.voice.studio import say_parts

        parts = [
            ([_plain(word) for word in part.words], part.end if part.text[-1:] == "—" else None)
            for part in dialogue.of(who)
        ]
        return say_parts(parts, self._voice(who))

    def _voice(self, who: Who) -> Voice:
        if who not in self._voices:
            from sessions.voice.mix import lower
            from sessions.voice.voices import load_voice

            voice = load_voice("piper")
            self._voices |= {"user": voice, "assistant": lower(voice)}
        return self._voices[who]


def _is_english(recording: SystemDialogue) -> bool:
    return recording.language[:2] in ("", "en")


def _plain(word: Word) -> spoken.Word:
    return spoken.Word(word.start, word.end, word.text.strip(), " " if word.text[:1] == " " else "")


def _levelled(path: Path) -> list[Sound]:
    """Read a sound file: its first two channels, or the one that it has, at the usual level.

    Raises:
        BadInput: it cannot be read.
    """
    from sessions.voice.mix import at_level, read_sound

    return [at_level(channel) for channel in read_sound(path)[:2]]
