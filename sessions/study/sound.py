"""Make the sound of a study's dialogues so that it tells no more than what was said, and how.

Every sound is written anew: the same format and rate, no tags, a name that says nothing, and each
speaker as loud as everywhere else in the study, the user on the left and the assistant on the
right. With `one-voice` all systems, and all users, speak with the same two voices, from the words
that the page shows; so raters judge what is said and when, not whose voice is nicer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
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


def check_sound(recordings: Sequence[SystemDialogue], sound_of: SoundOf) -> None:
    """Make sure that there is sound of all dialogues or of none, and that it can be made.

    Raises:
        BadInput: a sound is missing: it would tell the systems apart; or a package is.
    """
    if sound_of == "none":
        return
    from sessions.voice.extras import need

    if sound_of == "one-voice":
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


def channels(recording: SystemDialogue, sound_of: SoundOf, *, asking: bool = False) -> list[Sound]:
    """Return the user's and the assistant's sound of a dialogue; nothing if there is none.

    Args:
        asking: the assistant says what no system has said: the page shows it, and our voice
            says it.

    Raises:
        BadInput: the file is no sound.
    """
    if sound_of == "none" or (sound_of == "recorded" and recording.audio is None):
        return []
    said = recording.shown
    if sound_of == "one-voice":
        return [_spoken(said, "user"), _spoken(said, "assistant")]
    from sessions.voice.extras import lacking
    from sessions.voice.mix import at_level, read_sound

    assert recording.audio is not None
    found = [at_level(channel) for channel in read_sound(recording.audio)[:2]]
    if not asking:
        return found
    if lacking("piper") or not _is_english(recording):
        return []
    return [found[0] if len(found) == 2 else _spoken(said, "user"), _spoken(said, "assistant")]


def _spoken(dialogue: Dialogue, who: Who) -> Sound:
    """Let a voice say what the page shows of a speaker; a dash is where somebody breaks off."""
    from sessions.voice.studio import say_parts

    parts = [
        ([_plain(word) for word in part.words], part.end if part.text[-1:] == "—" else None)
        for part in dialogue.of(who)
    ]
    return say_parts(parts, _voice(who))


@cache
def _voice(who: Who) -> Voice:
    from sessions.voice.mix import lower
    from sessions.voice.voices import load_voice

    return load_voice("piper") if who == "user" else lower(_voice("user"))


def _is_english(recording: SystemDialogue) -> bool:
    return recording.language[:2] in ("", "en")


def _plain(word: Word) -> spoken.Word:
    return spoken.Word(word.start, word.end, word.text.strip(), " " if word.text[:1] == " " else "")
