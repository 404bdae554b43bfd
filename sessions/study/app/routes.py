"""Which page an address leads to: a rater's (`?t=`), an administrator's (`?admin=`), or a door."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import streamlit as st

from duo.errors import BadInput
from duo.terminal import printable
from sessions.study.admin import open_admin
from sessions.study.app.administration import administration
from sessions.study.app.doors import closed_door, door, finished
from sessions.study.app.entrance import comprehension, consent, instructions
from sessions.study.app.look import dress
from sessions.study.app.rating import catch_up, rating
from sessions.study.app.state import act, position, show_problem
from sessions.study.people import Refused
from sessions.study.serving import VARIABLE
from sessions.study.session import Session, open_session
from sessions.study.store import VARIABLE as DATABASE
from sessions.study.study import Study, open_study
from sessions.study.views import (
    ComprehensionView,
    ConsentView,
    DoorView,
    FinishedView,
    InstructionsView,
    RatingView,
)

#: Parameters by which panels name a participant in their links.
_PANEL_IDS = ("PROLIFIC_PID", "participant")

_log = logging.getLogger(__name__)


def show() -> None:
    """One run of the page. Whatever goes wrong is a clear page, and a line for the terminal."""
    st.set_page_config(page_title="Study", layout="wide", initial_sidebar_state="collapsed")
    dress()
    try:
        _show()
    except Refused as refusal:
        closed_door("This page cannot be opened", str(refusal))
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
    study = _opened(folder, os.environ.get(DATABASE, ""))
    st.set_page_config(page_title=study.design.title)
    token = st.query_params.get("admin")
    if token:
        administration(open_admin(study, token))
        return
    token = st.query_params.get("t")
    if not token:
        closed_door(
            study.design.title,
            "To take part you need the link that was sent to you. Please open it again, all of it.",
        )
        return
    panel = next((st.query_params[name] for name in _PANEL_IDS if name in st.query_params), None)
    _rater(open_session(study, token, panel))


def _rater(session: Session) -> None:
    """Where the rater is, as the database has it."""
    view = session.view(position())
    if isinstance(view, RatingView) and catch_up(session, view):
        view = session.view(position())
    if act():
        view = session.view(position())
    show_problem()
    if isinstance(view, RatingView):
        rating(session, view)
    elif isinstance(view, ConsentView):
        consent(session, view)
    elif isinstance(view, InstructionsView):
        instructions(session, view)
    elif isinstance(view, ComprehensionView):
        comprehension(session, view)
    elif isinstance(view, FinishedView):
        finished(view)
    elif isinstance(view, DoorView):
        door(session, view)


@st.cache_resource(show_spinner=False)
def _opened(folder: str, database: str) -> Study:
    """The study, once for all raters of this process."""
    return open_study(Path(folder))


def _out_of_order() -> None:
    closed_door(
        "The study cannot be shown just now",
        "Nothing that you answered is lost. Please try again in a few minutes, with the same link; "
        "if it does not help, tell the person who invited you.",
    )
