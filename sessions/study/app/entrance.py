"""Show the pages around the rating: consent, instructions, comprehension check, and the end."""

from __future__ import annotations

import math
from html import escape
from urllib.parse import quote

import streamlit as st

from sessions.study.app import asset
from sessions.study.app.look import authored, heading, literally, place, plain, press, title
from sessions.study.people import Refused
from sessions.study.session import Session
from sessions.study.views import (
    ComprehensionView,
    FinishedView,
    StoppedView,
    WaitingView,
    drawn,
    example_dialogues,
)

#: Seconds after which a waiting rater's page looks again.
LOOK_AGAIN = 20

_CHECKED = "checked"

#: How the questions about two dialogues are answered, and about more.
_PAIRS = (
    "Choose A or B, whichever did better; Tie if both did equally well; Both bad if neither did "
    "acceptably. You can click, or use the keys that are named beside the questions."
)
_RANKS = (
    "Give each conversation a place, 1st for the best; those that did equally well get the same "
    "place. Tick All bad, too, if none of them did acceptably."
)
_CHECKS_ARE_PAIRS = (
    " Some pages show only two conversations: there you choose the better one, Tie, or Both bad."
)

#: Headings of what people should know before they consent.
_ABOUT = {
    "who": "Who does this study",
    "contact": "Contact",
    "purpose": "Purpose",
    "duration": "Duration",
    "pay": "Pay",
    "data": "Your data",
    "withdrawal": "How to withdraw",
}

#: What must be done with each dialogue, by the design's setting.
_NEEDED = {
    "opened": "Look at each conversation before you go on to the next page.",
    "replayed": "Play each conversation to the end before you go on to the next page.",
}


def consent(session: Session) -> None:
    """Ask for consent."""
    design = session.study.design
    with st.container(key="text"):
        heading(design.title)
        authored(design.consent)
        said = [(name, text) for name, text in design.about if text is not None]
        if said:
            rows = "".join(
                f"<dt><b>{_ABOUT[name]}</b></dt><dd>{escape(text)}</dd>" for name, text in said
            )
            st.html(f'<dl class="duo">{rows}</dl>')
        yes, no = st.columns(2)
        with yes:
            press(
                "I agree and take part",
                lambda: session.consent(True),
                type="primary",
                width="stretch",
            )
        with no:
            press("I do not want to take part", lambda: session.consent(False), width="stretch")


def instructions(session: Session) -> None:
    """Say what to do."""
    with st.container(key="text"):
        heading(session.study.design.title)
    _explain(session)
    with st.container(key="text-end"):
        press("I have read this", session.understood, type="primary")


def comprehension(session: Session, view: ComprehensionView) -> None:
    """Ask whether the instructions were understood."""
    questions = session.study.design.comprehension.questions
    with st.container(key="text"):
        heading("A few questions about the instructions")
        left = view.attempts_left
        plain(f"You have {left} attempt{'s' * (left != 1)} left. You may look at the instructions.")
        with st.form("questions", border=False):
            chosen = []
            for number, question in enumerate(questions):
                with st.container(key=f"ask-{number}"):
                    heading(question.ask, 3)
                    option = st.radio(
                        f"Question {number + 1}",
                        question.options,
                        index=None,
                        format_func=literally,
                        key=f"question {number}",
                        label_visibility="collapsed",
                    )
                    chosen.append(option)
                    if number in view.mistakes:
                        plain(f"Not quite: {view.mistakes[number]}", "open")
            if st.form_submit_button("Check my answers", type="primary"):
                _check(session, chosen)
                st.rerun()
    with st.container(key="text-again"), st.expander("Instructions"):
        _explain(session)


def stopped(session: Session, view: StoppedView, participant: str) -> None:
    """Say that the rater cannot go on now."""
    message(session.study.design.title, view.message)
    if view.code or view.return_url:
        with st.container(key="text-code"):
            _way_back(view, "Your code", participant)
    if view.reason == "declined":
        with st.container(key="text-end"):
            press("Show me the consent page again", session.reconsider)


def waiting(session: Session, view: WaitingView) -> None:
    """Say that there is nothing to rate just now; look again from time to time."""
    minutes = math.ceil(view.seconds / 60)
    message(
        "Nothing to rate just now",
        "Other people are rating all that is left. A place becomes free if one of them stops: "
        f"the next one in {minutes} minute{'s' * (minutes != 1)} if nothing is heard of them.",
    )
    with st.container(key="text-waiting"):
        if view.submitted:
            plain(
                f"You are not done yet: {view.submitted} of {view.total} pages are rated and "
                "stored. You get your completion page after the last one."
            )
        plain(
            "You can leave this page open: it looks again by itself and goes on as soon as there "
            "is something. Or close it, and open your link again later."
        )
    _look_again(session)


@st.fragment(run_every=LOOK_AGAIN)
def _look_again(session: Session) -> None:
    """Show the rater's page again once they need not wait."""
    try:
        waits = isinstance(session.view(), WaitingView)
    except Refused:
        waits = False
    if not waits:
        st.rerun()


def finished(view: FinishedView, participant: str) -> None:
    """Thank the rater, and give the completion code."""
    with st.container(key="text-stopped"):
        heading("Thank you: that was all")
        plain("Your answers are stored. You can close this page now.")
        _way_back(view, "Your completion code", participant)
        if view.last and st.button("Look at my answers again"):
            place().number = view.last
            st.rerun()


def _way_back(view: FinishedView | StoppedView, name: str, participant: str) -> None:
    """Show the code and the link for the panel from which the rater came."""
    if view.code:
        heading(name, 2)
        plain("Copy it to where you came from, so that they know how it ended.", "soft")
        st.code(view.code, language=None)
    if view.return_url:
        url = view.return_url.replace("{participant}", quote(participant.strip(), safe=""))
        st.link_button("Back to your panel", url, type="primary")


def message(title: str, text: str) -> None:
    """Show a page that only says something."""
    with st.container(key="text-stopped"):
        heading(title)
        for paragraph in text.split("\n\n"):
            plain(paragraph)


def _explain(session: Session) -> None:
    design = session.study.design
    with st.container(key="text-instructions"):
        authored(design.instructions)
        heading("What you are asked", 2)
        for criterion in design.criteria:
            st.html(
                f'<h3 class="duo">{escape(title(criterion.name))}: {escape(criterion.question)}'
                f'</h3><div class="duo help"><p>{escape(criterion.definition)}</p>'
                f"<p><b>Better:</b> {escape(criterion.better)}</p>"
                f"<p><b>Worse:</b> {escape(criterion.worse)}</p></div>"
            )
        heading("How to answer", 2)
        if len(session.study.systems) == 2:
            plain(_PAIRS)
        else:
            plain(_RANKS + (_CHECKS_ARE_PAIRS if session.study.attention else ""))
        if needed := _NEEDED.get(design.checks.exposure):
            plain(needed)
        if design.example:
            heading("An example", 2)
    if design.example:
        with st.container(key="wide-example"):
            draw = st.components.v2.component(
                "timelines",
                html='<section class="timelines"></section>',
                css=asset("player.css"),
                js=asset("player.js"),
            )
            shown = [drawn(one) for one in example_dialogues(design.example)]
            data = {"key": "example", "language": design.language, "dialogues": shown}
            draw(key="example", data=data)
        with st.container(key="text-example"):
            authored(design.example.explanation)


def _check(session: Session, chosen: list[str | None]) -> None:
    """Make an attempt. The same answers once more, as by a double click, are not another one."""
    here = place()
    if None in chosen:
        here.problem = "Please answer every question. This did not count as an attempt."
    elif chosen != st.session_state.get(_CHECKED):
        st.session_state[_CHECKED] = chosen
        if not here.store(lambda: session.answer_questions([str(one) for one in chosen])):
            st.session_state.pop(_CHECKED, None)
