"""Dialogues as two-lane timelines that can be replayed: what `timeline.js` is given to draw.

The data are numbers and plain texts. The script, the style and the element they go to are constant;
the script makes text nodes of the texts, so nothing in them can become an element.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    keys: bool = False,
    arrived: bool = False,
) -> str:
    """Draw dialogues on one time axis.

    Args:
        shown: from left to right.
        key: of the element; another key is another element, drawn anew.
        language: of the texts, as in HTML.
        keys: whether the key P plays and pauses.
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
            "keys": keys,
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


def bars(utterance: Utterance) -> list[list[float]]:
    """Stretches of an utterance without a pause longer than `BREATH`, `[start, end]`."""
    found: list[list[float]] = []
    for word in utterance.words:
        if found and word.start - found[-1][1] <= BREATH:
            found[-1][1] = max(found[-1][1], word.end)
        else:
            found.append([word.start, word.end])
    return found


@cache
def _file(kind: str) -> str:
    return Path(__file__).with_name(f"timeline.{kind}").read_text(encoding="utf-8")


def _nothing() -> None:
    """The value says it; but without a callback the component has no such value."""
