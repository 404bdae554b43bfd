"""Show the page that an address leads to: a rater's (`?t=`) or an administrator's (`?admin=`).

Streamlit runs this script for each view of a page.
"""

from __future__ import annotations

import logging
import os

import streamlit as st

from duo.errors import BadInput
from duo.terminal import printable
from sessions.study.app import VARIABLE, look
from sessions.study.app.administration import administration
from sessions.study.app.entrance import (
    comprehension,
    consent,
    finished,
    instructions,
    message,
    stopped,
    waiting,
)
from sessions.study.app.look import dress, place
from sessions.study.app.rating import hear, rating, said_before
from sessions.study.people import Refused
from sessions.study.session import Session, open_session
from sessions.study.status import open_admin
from sessions.study.store import VARIABLE as DATABASE
from sessions.study.views import (
    ComprehensionView,
    ConsentView,
    FinishedView,
    InstructionsView,
    RatingView,
    WaitingView,
)

#: The parameter that names a participant whatever the design's `panel` says.
_ANY_PANEL = "participant"

_log = logging.getLogger(__name__)


def show() -> None:
    """Run the page once. Whatever goes wrong is a clear page, and a line for the terminal."""
    st.set_page_config(page_title="Study", layout="wide", initial_sidebar_state="collapsed")
    dress()
    try:
        _show()
    except Refused as refusal:
        message("This page cannot be opened", str(refusal))
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
    st.set_page_config(page_title=study.design.title)
    token = st.query_params.get("admin")
    if token:
        administration(open_admin(study, token))
        return
    token = st.query_params.get("t")
    if not token:
        message(
            study.design.title,
            "To take part you need the link that was sent to you. Please open it again, all of it.",
        )
        return
    names, given = study.design.panel, st.query_params
    participant = given.get(names.participant) or given.get(_ANY_PANEL)
    panel = {"study": given.get(names.study or ""), "session": given.get(names.session or "")}
    _rater(open_session(study, token, participant, panel), participant or "")


def _rater(session: Session, participant: str) -> None:
    """Show where the rater is, as the database has it."""
    here = place()
    hear(session, here, said_before())
    view = session.view(here.number)
    if isinstance(view, RatingView):
        rating(session, view, here)
        return
    here.show_problem()
    if isinstance(view, ConsentView):
        consent(session)
    elif isinstance(view, InstructionsView):
        instructions(session)
    elif isinstance(view, ComprehensionView):
        comprehension(session, view)
    elif isinstance(view, FinishedView):
        finished(view, participant)
    elif isinstance(view, WaitingView):
        waiting(session, view)
    else:
        stopped(session, view, participant)


def _out_of_order() -> None:
    message(
        "The study cannot be shown just now",
        "Nothing that you answered is lost. Please try again in a few minutes, with the same link; "
        "if it does not help, tell the person who invited you.",
    )


if __name__ == "__main__":
    show()
