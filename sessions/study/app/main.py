"""Show the page that an address leads to: a rater's (`?t=`) or an administrator's (`?admin=`).

Streamlit runs this script for each view of a page.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import streamlit as st

from duo.errors import BadInput
from duo.terminal import printable
from sessions.study.app import VARIABLE, look
from sessions.study.app.admin import administration
from sessions.study.app.entrance import around, message, offer_to_withdraw, withdrawal
from sessions.study.app.look import Place, dress, place, press, watch, words
from sessions.study.app.rating import hear, rating, said_before, talking
from sessions.study.design import Design
from sessions.study.people import Refused
from sessions.study.session import Session, open_session
from sessions.study.status import open_admin
from sessions.study.store import VARIABLE as DATABASE
from sessions.study.study import Study
from sessions.study.views import RatingView, TalkView
from sessions.study.wording import LANGUAGES, closest, words_in, words_of_design

#: The parameter that names a participant whatever the design's `panel` says.
_ANY_PANEL = "participant"

_log = logging.getLogger(__name__)


def show() -> None:
    """Run the page once. Whatever goes wrong is a clear page, and a line for the terminal."""
    here = place()
    if here.design is None:
        here.words = words_in(closest(LANGUAGES, st.context.locale, "en"))
    title = here.words("page.title")
    st.set_page_config(page_title=title, layout="wide", initial_sidebar_state="collapsed")
    dress()
    with _explaining():
        _show()
    watch()


@contextmanager
def _explaining() -> Iterator[None]:
    """Make a clear page, and a line for the terminal, of whatever goes wrong."""
    try:
        yield
    except Refused as error:
        message(words()("page.refused"), look.refusal(error))
    except BadInput as error:
        _log.error("%s", printable(str(error)))
        _out_of_order()
    except Exception:
        _log.exception("a page failed")
        _out_of_order()


def _show() -> None:
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        raise BadInput("is not set: start the pages with `duo study serve`", field=VARIABLE)
    study = look.opened(folder, os.environ.get(DATABASE, ""))
    token = st.query_params.get("admin")
    if token:
        st.set_page_config(page_title=study.design.title)
        administration(open_admin(study, token))
        return
    design = _speak(study, None)
    token = st.query_params.get("t")
    if not token:
        message(design.title, words()("page.no_link"))
        return
    names, given = study.design.panel, st.query_params
    participant = given.get(names.participant) or given.get(_ANY_PANEL)
    panel = {"study": given.get(names.study or ""), "session": given.get(names.session or "")}
    session = open_session(study, token, participant, panel)
    _speak(study, session)
    _choose_language(session)
    _rater(session, participant or "")


def _speak(study: Study, session: Session | None) -> Design:
    """Use the rater's language: the one chosen, or the browser's, or the first of the design."""
    here, languages = place(), study.design.languages
    chosen = session.language if session and len(languages) > 1 else None
    if not chosen:
        chosen = closest(languages, st.context.locale, languages[0])
        if session and len(languages) > 1:
            session.speak(chosen)
    here.words = words_of_design(study.design, chosen)
    here.design = study.design.in_language(chosen)
    st.set_page_config(page_title=here.design.title)
    return here.design


def _choose_language(session: Session) -> None:
    """Let the rater choose a language, where there are several."""
    design, now = session.study.design, words()
    if len(design.languages) < 2:
        return
    names = {one: words_of_design(design, one)("language.name") for one in design.languages}
    with st.container(key="languages", horizontal=True, horizontal_alignment="right"):
        for language, name in names.items():
            same = language == now.language
            kind = "secondary" if same else "tertiary"
            key = f"language {language}"
            press(name, partial(session.speak, language), type=kind, key=key, disabled=same)


def _rater(session: Session, participant: str) -> None:
    """Show where the rater is, as the database has it."""
    here = place()
    hear(session, here, said_before())
    view = session.view(here.number)
    if here.leaving:
        withdrawal(session)
        return
    if isinstance(view, RatingView):
        _work(session, here, [view])
    elif isinstance(view, TalkView):
        here.show_problem()
        talking(session, view)
    else:
        here.show_problem()
        around(session, view, participant)
    offer_to_withdraw(session, view)


@st.fragment
def _work(session: Session, here: Place, given: list[RatingView]) -> None:
    """Show a page to rate, `given` if all runs; what is clicked on it runs this alone."""
    with _explaining():
        if not given:
            hear(session, here, said_before())
        view = given.pop() if given else session.view(here.number)
        if not isinstance(view, RatingView):
            st.rerun()
        rating(session, view, here)


def _out_of_order() -> None:
    message(words()("page.broken"), words()("page.broken_text"))


if __name__ == "__main__":
    show()
