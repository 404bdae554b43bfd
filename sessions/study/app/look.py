"""Show texts and buttons on the pages, and keep what a page knows while it is open."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from duo.terminal import printable
from sessions.study.app import asset
from sessions.study.design import Design
from sessions.study.people import Refused
from sessions.study.session import Unanswered, Unmarked, Unseen
from sessions.study.study import Study, open_study
from sessions.study.wording import Words, words_in

#: The texts about a server that cannot be reached.
_AWAY = ("away", "away_text", "back")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ticket:
    """Lets a browser begin the conversation `label` of a page until `ends` (by `time.monotonic`).

    `begun` counts the attempts before this one.
    """

    token: str
    page: int
    label: str
    begun: int
    ends: float


@dataclass
class Place:
    """Where a rater's browser is. None of it is needed: after a reload the database says it.

    It is one object of the session's state, because Streamlit gives up a run at any use of that
    state if the reader clicks on meanwhile.

    Attributes:
        number: of the page that the rater went back to; None for where they are.
        heard: number of the last message of the rating page that was acted on.
        problem: what went wrong with the last click.
        exposure: the last that was stored: page, labels opened, labels replayed.
        ticket: of the conversation that was opened, in a live study.
        leaving: the rater is asked whether to withdraw.
        words: what the pages say, in the rater's language; `design` is the study's in it.
    """

    number: int | None = None
    heard: int = 0
    problem: str = ""
    exposure: tuple[int, tuple[str, ...], tuple[str, ...]] = (0, (), ())
    ticket: Ticket | None = None
    leaving: bool = False
    words: Words = field(default_factory=lambda: words_in("en"))
    design: Design | None = None

    def store(self, action: Callable[[], object]) -> bool:
        """Do what a click asks for; return whether that worked. If not, the page says so."""
        self.problem = ""
        try:
            action()
        except Exception as error:
            self.problem = self._said_of(error)
        return not self.problem

    def _said_of(self, error: Exception) -> str:
        """Say in words what went wrong with a click."""
        words = self.words
        if isinstance(error, Unanswered) and self.design is not None:
            shown = {one.name: one.shown for one in self.design.criteria}
            asked = {one.name: one.ask for one in (*self.design.before, *self.design.after)}
            names = ", ".join((shown | asked)[name] for name in error.missing)
            if error.missing[0] in shown:
                return words("rating.missing", questions=names)
            return words("questionnaire.missing", questions=names)
        if isinstance(error, Unseen):
            key = {"opened": "rating.look_first", "replayed": "rating.play_first"}[error.needed]
            labels = words("rating.and").join(error.labels)
            return words(key, labels=labels, count=len(error.labels))
        if isinstance(error, Unmarked):
            return words("rating.mark_more", count=error.least)
        if isinstance(error, Refused):
            return refusal(error)
        _log.error("a click was not stored: %s", printable(f"{type(error).__name__}: {error}"))
        return words("page.not_stored")

    def show_problem(self) -> None:
        """Say what went wrong with the click that led to this run."""
        if self.problem:
            st.html(f'<p class="duo problem" role="alert">{escape(self.problem)}</p>')
            self.problem = ""


def place() -> Place:
    """Return the place of this browser."""
    kept: Place = st.session_state.setdefault("place", Place())
    return kept


def words() -> Words:
    """Return what the pages say in the language of this browser."""
    return place().words


def topic_of(design: Design, name: str) -> dict[str, str] | None:
    """Return a topic of a live study by its name, in the design's language; None for ""."""
    topics = design.live.topics if design.live else ()
    return next((one.model_dump() for one in topics if one.name == name), None)


def refusal(error: Refused) -> str:
    """Return what a rater is told who may not do something."""
    return words()(f"refused.{error.reason}", detail=error.detail)


@st.cache_resource(show_spinner=False)
def opened(folder: str, database: str) -> Study:
    """Open the study, once for all raters of this process and what `DUO_DATABASE_URL` says."""
    return open_study(Path(folder))


def press(label: str, action: Callable[[], object], **look: Any) -> None:
    """Show a button that does something in the database; the page is then shown again."""
    if st.button(label, **look):
        place().store(action)
        st.rerun()


def dress() -> None:
    """Add our style sheet: constant, and nothing of it comes from outside."""
    st.html(f"<style>{asset('look.css')}</style>")


def watch() -> None:
    """Let the page say in our words when the server cannot be reached, and run whole after that."""
    say = words()
    component = st.components.v2.component(
        "away", html="<section></section>", css=asset("away.css"), js=asset("away.js")
    )
    with st.container(key="away"):
        said = {name: say(f"page.{name}") for name in _AWAY}
        component(key="watch", data=said, on_back_change=lambda: None)


def heading(text: str, level: int = 1) -> None:
    st.html(f'<h{level} class="duo">{escape(text)}</h{level}>')


def plain(text: str, kind: str = "") -> None:
    """Show a paragraph, as it is."""
    st.html(f'<p class="duo {escape(kind)}">{escape(text)}</p>')


def authored(text: str) -> None:
    """Show a text of the design in which Markdown counts; never HTML, and a dollar is a dollar."""
    st.markdown(text.replace("$", r"\$"))


def literally(text: str) -> str:
    r"""Escape a text for labels, which Streamlit reads as Markdown.

    >>> literally("*a* [b](c)")
    '\\*a\\* \\[b\\]\\(c\\)'
    """
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+-.!|<>$~:&" else sign for sign in text)
