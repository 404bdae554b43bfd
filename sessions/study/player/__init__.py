"""Dialogues as two-lane timelines that can be replayed: a script, its style, and their data.

Both the raters' pages and the report show them. The data are numbers and plain texts; the script,
the style and the element they go to are constant, and the script makes text nodes of the texts, so
that nothing in them can become an element.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from duo.words import bridge_breaths
from sessions.study.blinding import Utterance
from sessions.study.views import Shown

#: Speech that pauses for no longer than this many seconds is drawn as one piece.
BREATH = 0.4


@cache
def script() -> str:
    """A JavaScript module whose default export draws into a component; see `player.js`."""
    return files(__package__).joinpath("player.js").read_text(encoding="utf-8")


@cache
def functions() -> str:
    """Return the functions of `player.js` without its export, for a script that uses them."""
    return script().partition("export default")[0]


@cache
def style() -> str:
    """Its style sheet."""
    return files(__package__).joinpath("player.css").read_text(encoding="utf-8")


def drawn(shown: Shown) -> dict[str, Any]:
    """A dialogue as the script reads it; times in seconds."""
    dialogue = shown.dialogue
    utterances = dialogue.utterances
    return {
        "label": shown.label,
        "sound": audible(shown),
        "seconds": dialogue.seconds,
        "both": [list(span) for span in dialogue.overlaps],
        "utterances": [
            {
                "who": one.who,
                "in": any(
                    other.start < one.start < other.end
                    for other in utterances
                    if other.who != one.who
                ),
                "start": one.start,
                "end": one.end,
                "bars": bars(one),
                "words": [[word.start, word.end, word.text] for word in one.words],
            }
            for one in utterances
        ],
    }


def audible(shown: Shown) -> bool:
    """Whether there is sound of it to be played."""
    return shown.audio is not None and shown.audio.is_file()


def bars(utterance: Utterance) -> list[list[float]]:
    """Stretches of an utterance as they are drawn, `[start, end]`."""
    words = ((word.start, word.end) for word in utterance.words)
    return [list(span) for span in bridge_breaths(words, BREATH)]
