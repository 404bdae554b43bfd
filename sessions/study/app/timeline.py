"""The replayable timelines of `sessions.study.player` as an element of a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import streamlit as st

from sessions.study.player import drawn, script, style
from sessions.study.views import Shown

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
    draw = st.components.v2.component("timelines", html=_HTML, css=style(), js=script())
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


def _class(key: str) -> str:
    """The class by which Streamlit marks the element with a key."""
    return "st-key-" + re.sub(r"[^a-zA-Z0-9_-]", "-", key.strip())


def _nothing() -> None:
    """The value says it; but without a callback the component has no such value."""
