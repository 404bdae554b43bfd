"""Pages with nothing to rate on them: the end, and why one cannot go on."""

from __future__ import annotations

import streamlit as st

from sessions.study.app.look import heading, plain
from sessions.study.app.state import go, press, store
from sessions.study.session import Session
from sessions.study.views import DoorView, FinishedView


def closed_door(title: str, message: str) -> None:
    """A page that only says something."""
    with st.container(key="text-door"):
        heading(title)
        plain(message)


def door(session: Session, view: DoorView) -> None:
    """The rater cannot go on now."""
    with st.container(key="text-door"):
        heading(view.title)
        plain(view.message)
        if view.reason == "declined":
            press(
                "Show me the consent page again",
                lambda: store(session.reconsider),
                key="reconsider",
            )


def finished(view: FinishedView) -> None:
    """All is rated: thanks, and the completion code."""
    with st.container(key="text-door"):
        heading("Thank you: that was all")
        plain("Your answers are stored. You can close this page now.")
        if view.code:
            heading("Your completion code", 2)
            plain("Copy it to where you came from, so that they know you finished.", "soft")
            st.code(view.code, language=None)
        if view.return_url:
            st.link_button("Back to your panel", view.return_url, type="primary")
        if view.last:
            press("Look at my answers again", lambda: go(view.last), key="look again")
