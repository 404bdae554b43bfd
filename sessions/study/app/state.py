"""What a page keeps while it is open: clicks to act on, where its reader is, what went wrong.

None of it is needed: after a reload it is empty, and the database says where the rater is.

Streamlit gives up a run as soon as the reader clicks on: at any command, and in callbacks at any
use of the session's state, with whatever stood behind it undone. So callbacks here only append to
a list, which nothing can interrupt; the next run acts on it first, and takes nothing off before it
is done. All actions may be done twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from duo.terminal import printable
from sessions.study.people import Refused
from sessions.study.session import Unanswered

_NUMBER, _PAGE, _VISIT = "page number", "page", "visit"
_PROBLEM, _CLICKS = "problem", "clicks"

#: Keys of the buttons that stand for single keys of the keyboard begin so.
TYPED = "key "

_log = logging.getLogger(__name__)


@dataclass
class _Clicks:
    """Clicks, by the button's key, that wait to be acted on; `heard`: of which a callback knew."""

    waiting: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)

    def hear(self, key: str, action: Callable[[], object]) -> None:
        self.heard.add(key)
        self.waiting.append((key, action))


def press(
    label: str,
    action: Callable[[], object],
    *,
    key: str,
    where: DeltaGenerator | None = None,
    **look: Any,
) -> None:
    """A button, whose action is done at the beginning of the next run by `act`.

    After a restart of the server the browser goes on with a new session, in which the first click
    has no callback yet: that is known by the button's value.
    """
    clicks = _clicks()
    button = (where or st).button
    clicked = button(label, key=key, on_click=clicks.hear, args=(key, action), **look)
    if clicked and key not in clicks.heard:
        clicks.hear(key, action)
        st.rerun()
    clicks.heard.discard(key)


def submit(label: str, action: Callable[[], object]) -> None:
    """The button of a form, like `press`."""
    hear = _clicks().hear
    st.form_submit_button(label, type="primary", on_click=hear, args=(label, action))


def act() -> bool:
    """Do what was clicked since the last run; whether there was anything."""
    waiting = _clicks().waiting
    if not waiting:
        return False
    typed = {key for key, _ in waiting if key.startswith(TYPED)}
    if len(typed) > 1:  # in one message of the browser, which does not say which came first
        warn("That was too quick to follow. Please press the key again.")
        waiting[:] = [one for one in waiting if one[0] not in typed]
    while waiting:
        waiting[0][1]()
        waiting.pop(0)
    return True


def position() -> int | None:
    """The number of the page that the rater went back to; None for where they are."""
    number = st.session_state.get(_NUMBER)
    return number if isinstance(number, int) else None


def go(number: int | None) -> None:
    """Show the page of this number next; None for where the rater is."""
    st.session_state[_NUMBER] = number


def arrive(page: int) -> bool:
    """The page with this id is drawn now; whether the reader comes to it from another one."""
    last = st.session_state.get(_PAGE)
    if last == page:
        return False
    st.session_state[_VISIT] = visit() + 1
    st.session_state[_PAGE] = page
    return last is not None


def visit() -> int:
    """How many pages the reader came to; 0 in the first run of a session.

    It belongs into the keys of fields. A field that is drawn again under its old key may be empty
    in the browser while the server thinks that it is not, if a run was given up in between.
    """
    number = st.session_state.get(_VISIT, 0)
    return number if isinstance(number, int) else 0


def store(action: Callable[[], object]) -> bool:
    """Do what a click asks for; whether that worked. If not, the page says so.

    Raises:
        Unanswered: the action was a submission, and answers are missing.
    """
    try:
        action()
    except Unanswered:
        raise
    except Refused as refusal:
        warn(str(refusal))
    except Exception as error:
        _log.error("a click was not stored: %s", printable(f"{type(error).__name__}: {error}"))
        warn("Your last click could not be stored. Please look at your answers and click again.")
    else:
        return True
    return False


def warn(text: str) -> None:
    """Say something at the top of the page."""
    st.session_state[_PROBLEM] = text


def show_problem() -> None:
    """What went wrong with the click that led to this run."""
    problem = st.session_state.get(_PROBLEM)
    with st.container(key="problem"):  # always there: what follows keeps its place, and the focus
        if problem:
            st.warning(problem)
            st.session_state.pop(_PROBLEM, None)


def _clicks() -> _Clicks:
    clicks: _Clicks = st.session_state.setdefault(_CLICKS, _Clicks())
    return clicks
