"""Show a conversation of a live study: its topic, and a frame in which the participant talks.

The frame is the page of `sessions.study.talking`, opened by a ticket. It tells this page nothing:
whether the conversation has ended is in the database, where this page looks.
"""

from __future__ import annotations

import time

import streamlit as st

from sessions.study.app.look import Ticket, heading, place, plain, topic_of, words
from sessions.study.people import Refused
from sessions.study.session import Session
from sessions.study.talks import TICKET_SECONDS
from sessions.study.views import TalkView

#: Seconds after which the page looks whether the conversation is over.
LOOK_AGAIN = 2
_HEIGHT = 260


def talking(session: Session, view: TalkView) -> None:
    """Show the topic, and let the participant begin the conversation that is due."""
    here, say = place(), words()
    design = here.design or session.study.design
    topic = topic_of(design, view.topic)
    assert topic is not None
    assert design.live is not None
    with st.container(key="text-talk"):
        where = {name: getattr(view, name) for name in ("number", "total", "first", "last")}
        plain(say("talk.of", **where), "soft")
        heading(say("talk.title", label=view.label))
        heading(say("talk.topic", title=topic["title"]), 2)
        plain(topic["text"])
        ticket = here.ticket
        if ticket is not None and _is_for(ticket, view):
            st.iframe(f"{session.study.talk_address}/{ticket.token}/", height=_HEIGHT)
        elif not view.attempts_left:
            plain(say("talk.goes_on"))
        else:
            if view.begun:
                plain(say("talk.broken_off"), "open")
            plain(say("talk.how", minutes=f"{design.live.seconds / 60:.3g}"))
            if st.button(say("talk.again" if view.begun else "talk.open"), type="primary"):
                here.store(lambda: _open(session, view))
                st.rerun()
    _look_again(session, view)


def _open(session: Session, view: TalkView) -> None:
    ends = time.monotonic() + TICKET_SECONDS
    token = session.ticket(view.page)
    place().ticket = Ticket(token, view.page, view.label, view.begun, ends)


def _is_for(ticket: Ticket, view: TalkView) -> bool:
    """Tell whether a ticket's conversation may still begin, or goes on."""
    same = (ticket.page, ticket.label) == (view.page, view.label)
    fresh = view.begun == ticket.begun and time.monotonic() < ticket.ends
    return same and (fresh or (view.begun == ticket.begun + 1 and view.goes_on))


@st.fragment(run_every=LOOK_AGAIN)
def _look_again(session: Session, before: TalkView) -> None:
    """Show the participant's page again once it has something else to show."""
    here = place()
    try:
        now = session.view(here.number)
    except Refused:
        st.rerun()
    if not isinstance(now, TalkView) or _shown(here.ticket, now) != _shown(here.ticket, before):
        st.rerun()


def _shown(ticket: Ticket | None, view: TalkView) -> tuple[object, ...]:
    """Return what of a view decides what the page shows."""
    framed = ticket is not None and _is_for(ticket, view)
    return (view.page, view.label, framed, *(() if framed else (view.begun, view.goes_on)))
