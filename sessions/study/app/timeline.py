"""Dialogues as two-lane timelines that can be replayed: what `timeline.js` is given to draw.

The data are numbers and plain texts. The script, the style and the element they go to are constant;
the script makes text nodes of the texts, so nothing in them can become an element.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from sessions.study.blinding import Utterance
from sessions.study.views import Shown

#: Speech that pauses for no longer than this many seconds is drawn as one piece.
BREATH = 0.4

_HTML = '<section class="timelines"></section>'


def timeline(
    shown: Sequence[Shown],
    *,
    key: str,
    language: str,
    keys: Mapping[str, str] | None = None,
    arrived: bool = False,
) -> str:
    """Draw dialogues on one time axis.

    Args:
        shown: from left to right.
        key: of the element; another key is another element, drawn anew.
        language: of the texts, as in HTML.
        keys: which key presses which button, by the button's key; P plays and pauses, too. None:
            keys do nothing. Streamlit's own shortcuts rest while a choice has the focus.
        arrived: the reader comes from another page: scroll to the top.

    Returns:
        What the reader just did ("play", "pause" ...), or "". It comes from the browser: anything.
    """
    draw = st.components.v2.component("timelines", html=_HTML, css=_file("css"), js=_file("js"))
    result = draw(
        key=key,
        data={
            "key": key,
            "language": language,
            "keys": None if keys is None else {k: _class(name) for k, name in keys.items()},
            "arrived": arrived,
            "dialogues": [drawn(one) for one in shown],
        },
        on_event_change=_nothing,
    )
    event = result.get("event")
    return event if isinstance(event, str) else ""


def drawn(shown: Shown) -> dict[str, Any]:
    """A dialogue as the script reads it; times in seconds."""
    dialogue = shown.dialogue
    return {
        "label": shown.label,
        "sound": audible(shown),
        "seconds": dialogue.seconds,
        "utterances": [
            {
                "who": one.who,
                "start": one.start,
                "end": one.end,
                "bars": bars(one),
                "words": [[word.start, word.end, word.text] for word in one.words],
            }
            for one in dialogue.utterances
        ],
    }


def audible(shown: Shown) -> bool:
    """Whether there is sound of it to be played."""
    return shown.audio is not None and shown.audio.is_file()


def bars(utterance: Utterance) -> list[list[float]]:
    """Stretches of an utterance without a pause longer than `BREATH`, `[start, end]`."""
    found: list[list[float]] = []
    for word in utterance.words:
        if found and word.start - found[-1][1] <= BREATH:
            found[-1][1] = max(found[-1][1], word.end)
        else:
            found.append([word.start, word.end])
    return found


def _class(key: str) -> str:
    """The class by which Streamlit marks the element with a key."""
    return "st-key-" + re.sub(r"[^a-zA-Z0-9_-]", "-", key.strip())


@cache
def _file(kind: str) -> str:
    return Path(__file__).with_name(f"timeline.{kind}").read_text(encoding="utf-8")


def _nothing() -> None:
    """The value says it; but without a callback the component has no such value."""
