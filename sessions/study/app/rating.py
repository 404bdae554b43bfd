"""A page of the study: dialogues, and what the rater says about them."""

from __future__ import annotations

import streamlit as st

from sessions.study.app import questions as answers
from sessions.study.app.look import heading, plain, title
from sessions.study.app.questions import asked, keyboard
from sessions.study.app.state import arrive, go, press, store, visit, warn
from sessions.study.app.timeline import timeline
from sessions.study.player import audible
from sessions.study.session import COMMENT_LIMIT, Session, Unanswered
from sessions.study.views import RatingView

_MISSED, _KEYS = "missed", "keys"

#: What the browser may say of the replay.
_EVENTS = ("play", "pause", "seek", "focus", "blur")


def rating(session: Session, view: RatingView) -> None:
    """Show a page."""
    arrived = arrive(view.page)
    st.html(_head(view))
    left, right = st.columns([13, 8], gap="medium")
    with left, st.container(key="talk"):
        event = timeline(
            view.dialogues,
            key=f"talk {view.page}",
            language=session.study.design.language,
            keys=answers.keys(view) | {"n": f"next {view.page}"} if _keys() else None,
            arrived=arrived,
        )
        if event in _EVENTS:
            store(lambda: session.happened(view.page, event))
        _sounds(view)
    with right, st.container(key="answers"):
        heading("Your answers", 2)
        if _keys():
            keyboard(session, view)
        asked(view, missed=st.session_state.get(_MISSED) == view.page, keys=_keys())
        _comment(view)
        _onward(session, view)
        st.toggle("Keyboard shortcuts", value=True, key=_KEYS)


def catch_up(session: Session, view: RatingView) -> bool:
    """Store what the page's widgets say by now; whether there was anything."""
    found = answers.catch_up(session, view)
    key = _comment_key(view)
    now, known = st.session_state.get(key), st.session_state.get(f"known {key}")
    if isinstance(now, str) and known is not None and now != known:
        if now != view.comment:
            store(lambda: session.draft_comment(view.page, now))
            found = True
        st.session_state[f"known {key}"] = now
    return found


def _head(view: RatingView) -> str:
    """What this is, and how far the rater is."""
    which = "better" if len(view.dialogues) == 2 else "best"
    answered = len(view.criteria) - len(view.missing)
    kept = "Changed answers are kept. " if view.changed and view.submitted else ""
    done = (view.number - 1 + answered / len(view.criteria)) / max(view.total, 1)
    return (
        f'<div class="duo head"><h1 class="duo" tabindex="-1">Which conversation went {which}? '
        f"<span>Page {view.number} of {view.total}</span></h1>"
        f'<p class="duo soft">{kept}{answered} of {len(view.criteria)} questions on this page '
        'answered</p></div><div class="duo track" aria-hidden="true">'
        f'<i style="width: {100 * min(1.0, done):.1f}%"></i></div>'
    )


def _sounds(view: RatingView) -> None:
    """The dialogues' sound; the replay plays these, too."""
    with st.container(key="sounds"):
        for shown in view.dialogues:
            if audible(shown):
                plain(f"Sound of conversation {shown.label}", "soft small")
                st.audio(str(shown.audio))


def _comment(view: RatingView) -> None:
    key = _comment_key(view)
    if st.session_state.get(key) != view.comment:
        st.session_state[key] = view.comment
    st.session_state[f"known {key}"] = view.comment
    st.text_area("Comment (if you like)", key=key, max_chars=COMMENT_LIMIT, height=68)


def _comment_key(view: RatingView) -> str:
    return f"comment {view.page} {visit()}"


def _onward(session: Session, view: RatingView) -> None:
    back, on = st.columns(2)
    press(
        "Back",
        lambda: _back(session, view),
        key=f"back {view.page}",
        where=back,
        disabled=view.number == 1,
        width="stretch",
    )
    nonce = st.session_state.setdefault(f"nonce {view.page}", view.nonce)
    press(
        "Next",
        lambda: _submit(session, view, nonce),
        key=f"next {view.page}",
        where=on,
        type="primary",
        width="stretch",
    )


def _submit(session: Session, view: RatingView, nonce: str) -> None:
    """Submit the page and go on; a second click on it finds that done."""
    try:
        stored = store(lambda: _submit_changed(session, view, nonce))
    except Unanswered as error:
        names = ", ".join(title(name) for name in error.criteria)
        st.session_state[_MISSED] = view.page
        warn(f"Please answer also: {names}.")
        return
    if stored:
        st.session_state.pop(f"nonce {view.page}", None)
        st.session_state.pop(_MISSED, None)
        go(view.number + 1 if view.number < view.last else None)


def _back(session: Session, view: RatingView) -> None:
    """Go back; answers to a page that was submitted before, and changed now, are submitted."""
    nonce = st.session_state.get(f"nonce {view.page}", view.nonce)
    if not view.submitted or store(lambda: _submit_changed(session, view, nonce)):
        st.session_state.pop(f"nonce {view.page}", None)
        go(view.number - 1)


def _submit_changed(session: Session, view: RatingView, nonce: str) -> None:
    """Submit a page, unless all of it was submitted before: looking is not a revision."""
    now = session.view(view.number)
    if isinstance(now, RatingView) and now.page == view.page and now.submitted and not now.changed:
        return
    session.submit(view.page, nonce=nonce)


def _keys() -> bool:
    return bool(st.session_state.get(_KEYS, True))
