"""Let raters withdraw, from any page."""

from __future__ import annotations

import streamlit as st

from sessions.study.app.look import heading, place, plain, press, words
from sessions.study.session import Session
from sessions.study.views import ConsentView, RatingView, StoppedView, View, WaitingView


def offer_to_withdraw(session: Session, view: View) -> None:
    """Show the button at the foot of a page, unless there is nothing to withdraw from."""
    if isinstance(view, ConsentView):
        return
    if isinstance(view, StoppedView | WaitingView) and not session.may_withdraw():
        return
    name = "wide" if isinstance(view, RatingView) else "text"
    with st.container(key=f"{name}-withdraw"):
        if st.button(words()("withdraw.open"), type="tertiary"):
            place().leaving = True
            st.rerun()


def withdrawal(session: Session) -> None:
    """Ask whether the rater wants to withdraw, and what becomes of the answers."""
    here, say = place(), words()
    setting = session.study.design.withdrawal

    def leave(erase: bool) -> None:
        session.withdraw(erase=erase)
        here.leaving, here.number = False, None

    with st.container(key="text-leaving"):
        heading(say("withdraw.title"))
        plain(say("withdraw.text"))
        if setting == "ask":
            plain(say("withdraw.ask"))
            press(say("withdraw.delete"), lambda: leave(True))
            press(say("withdraw.keep"), lambda: leave(False))
        else:
            plain(say(f"withdraw.{setting}_text"))
            press(say("withdraw.plain"), lambda: leave(setting == "delete"))
        if st.button(say("withdraw.stay"), type="primary"):
            here.leaving = False
            st.rerun()
