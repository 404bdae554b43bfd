"""Hear the sound of another benchmark's samples: what is said in it, and both sides in one file.

Imported with the command line, so that what it needs is imported inside.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duo.words import Word
    from sessions.voice.recogniser import Decode


class SampleHearing:
    """Recognises files of sound, and puts them beside transcripts."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode

    def words(self, path: Path) -> tuple[Word, ...]:
        """Return the words that are said in the first channel of a file.

        Raises:
            BadInput: it is no sound.
        """
        from duo.words import words_of
        from sessions.voice.mix import read_sound
        from sessions.voice.recogniser import recognise

        return words_of(recognise(read_sound(path)[0], self._decode))

    def keep(self, user: Path, system: Path, target: Path) -> None:
        """Write the sound of both sides to one file, the user left.

        Raises:
            BadInput: one is no sound, or the file cannot be written.
        """
        from sessions.voice.mix import read_sound, write_sound

        write_sound(target, [read_sound(path)[0] for path in (user, system)])


def sample_hearing() -> SampleHearing:
    """Load what hears samples.

    Raises:
        BadInput: the extra [voice] is missing.
    """
    from sessions.voice.extras import need

    need("whisper", "sound")
    from sessions.voice.recogniser import whisper

    return SampleHearing(whisper())
