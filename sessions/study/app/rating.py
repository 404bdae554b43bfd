"""Show a page of the study: dialogues, and what the rater says about them.

One component draws all of it (`rating.js`). It keeps what was clicked until a message with it was
heard, so that no click is lost if Streamlit gives up a run, or the server is started again.

In a live study conversations come first, each in a frame: the page of `sessions.study.talking`,
opened by a ticket. It tells this page nothing: whether the conversation has ended is in the
database, where this page looks.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Literal

import streamlit as st
from pydantic import BaseModel, ValidationError

from sessions.study.app import asset, player_style
from sessions.study.app.look import Place, Ticket, heading, place, plain, topic_of, words
from sessions.study.people import Refused
from sessions.study.session import COMMENT_LIMIT, EVENTS, Session
from sessions.study.talks import TICKET_SECONDS
from sessions.study.views import LABELS, Answer, Mark, RatingView, TalkView, audible, drawn

_KEY = "page"
#: Seconds after which the page looks whether a conversation is over.
LOOK_AGAIN = 2
_HEIGHT = 260


class _Ranking(BaseModel):
    places: list[int]
    both_bad: bool
    strength: str = ""


class _Marked(BaseModel):
    label: str
    turn: int
    mark: str


class _Said(BaseModel):
    """A message of the browser about a page; it may be anything, and may come twice.

    Attributes:
        page, number: of the page that it is about; `nonce` is the form's.
        message: counts the browser's messages.
        answers: those that the browser does not know to be stored, by criterion.
        comment: if it was changed; `marks`: all that there are now, if they were changed.
        opened, replayed: labels of the dialogues with which that was done so far.
        go: the rater wants to leave the page.
    """

    page: int
    number: int
    nonce: str
    message: int
    answers: dict[str, _Ranking]
    comment: str | None
    marks: list[_Marked] | None = None
    opened: tuple[str, ...] = ()
    replayed: tuple[str, ...] = ()
    go: Literal["next", "back"] | None


def rating(session: Session, view: RatingView, here: Place) -> None:
    """Show a page."""
    problem, here.problem = here.problem, ""
    design, say = here.design or session.study.design, here.words
    own = session.study.design
    data = {
        "key": f"page {view.page} {say.language}",
        "words": {name: say.group(name) for name in ("rating", "player")},
        "page": view.page,
        "number": view.number,
        "total": view.total,
        "nonce": view.nonce,
        "heard": here.heard,
        "problem": problem,
        "submitted": view.submitted,
        "changed": view.changed,
        "comment": view.comment,
        "limit": COMMENT_LIMIT,
        "language": own.spoken or (own.languages[0] if len(own.languages) == 1 else ""),
        "dialogues": [drawn(one) for one in view.dialogues],
        "criteria": [one.model_dump() | {"title": one.shown} for one in design.criteria],
        "answers": {
            name: {"places": one.ranks, "both_bad": one.both_bad, "strength": one.strength}
            for name, one in view.answers.items()
        },
        "strength": design.strength.model_dump(),
        "kinds": design.marks.kinds,
        "topic": topic_of(design, view.topic),
        "marks": [
            {"label": LABELS[one.place], "turn": one.turn, "mark": one.mark} for one in view.marks
        ],
    }
    result = draw(data)
    event = result.get("event")
    if event in EVENTS:
        here.store(lambda: session.happened(view.page, event))
    _sounds(view)
    if hear(session, here, result.get("said")):
        st.rerun()


def draw(data: dict[str, Any]) -> Any:
    """Draw the page; return what the browser says: anything."""
    component = st.components.v2.component(
        "rating",
        html='<section class="timelines rating"></section>',
        css=player_style() + asset("rating.css"),
        js=asset("player.js").partition("export default")[0] + asset("rating.js"),
    )
    return component(key=_KEY, data=data, on_said_change=_nothing, on_event_change=_nothing)


def said_before() -> Any:
    """Return what the browser said with the click that led to this run."""
    state = st.session_state.get(_KEY)
    return state.get("said") if state is not None and hasattr(state, "get") else None


def hear(session: Session, here: Place, given: Any) -> bool:
    """Store what the browser says and was not heard yet; return whether there was anything."""
    try:
        said = _Said.model_validate(given)
    except ValidationError:
        return False
    if said.message <= here.heard:
        return False
    view = session.view(said.number)
    if isinstance(view, RatingView) and view.page == said.page:
        here.number = said.number
        stored = here.store(partial(_store, session, view, said, here))
        if stored and said.go == "back":
            here.number = view.number - 1
        elif stored and said.go == "next":
            here.number = view.number + 1 if view.number < view.last else None
    here.heard = said.message
    return True


def _store(session: Session, view: RatingView, said: _Said, here: Place) -> None:
    """Store what differs from what is stored, and submit the page when it is left.

    Looking at a page again is no revision. Going back submits only what was submitted before.
    """
    changed = view.changed
    for name, one in said.answers.items():
        answer = Answer.ranked(one.places, both_bad=one.both_bad, strength=one.strength)
        if answer != view.answers.get(name):
            session.draft(view.page, name, answer)
            changed = True
    if said.comment is not None and said.comment != view.comment:
        session.draft_comment(view.page, said.comment)
    if said.marks is not None:
        marks = [Mark(LABELS.index(one.label), one.turn, one.mark) for one in said.marks]
        if tuple(sorted(marks)) != view.marks:
            session.mark(view.page, marks)
            changed = True
    exposure = (view.page, said.opened, said.replayed)
    if exposure != here.exposure:  # after the answers, which the time until now led to
        session.exposed(*exposure)
        here.exposure = exposure
    leaves = said.go == "next" or (said.go == "back" and view.submitted)
    if leaves and (changed or not view.submitted):
        session.submit(view.page, nonce=said.nonce)


def _sounds(view: RatingView) -> None:
    """Show players of the dialogues' sound; the replay plays these, too."""
    with st.container(key="sounds"):
        for shown in view.dialogues:
            if audible(shown):
                plain(words()("rating.sound", label=shown.label), "soft small")
                st.audio(str(shown.audio))


def _nothing() -> None:
    """Do nothing; but without a callback the component has no such value."""


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
