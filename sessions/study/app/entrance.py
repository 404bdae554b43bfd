"""Before the first page: consent, instructions with a worked example, comprehension check."""

from __future__ import annotations

from html import escape

import streamlit as st

from sessions.study.app.look import authored, heading, literally, plain, title
from sessions.study.app.state import press, store, submit, warn
from sessions.study.app.timeline import timeline
from sessions.study.design import Criterion
from sessions.study.session import Session
from sessions.study.views import ComprehensionView, ConsentView, InstructionsView

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


def consent(session: Session, view: ConsentView) -> None:
    """May we?"""
    with st.container(key="text"):
        heading(view.title)
        authored(view.text)
        yes, no = st.columns(2)
        press(
            "I agree and take part",
            lambda: store(lambda: session.consent(True)),
            key="agree",
            where=yes,
            type="primary",
            width="stretch",
        )
        press(
            "I do not want to take part",
            lambda: store(lambda: session.consent(False)),
            key="decline",
            where=no,
            width="stretch",
        )


def instructions(session: Session, view: InstructionsView) -> None:
    """What to do."""
    with st.container(key="text"):
        heading(view.title)
    _explain(session, view)
    with st.container(key="text-end"):
        press(
            "I have read this", lambda: store(session.understood), key="understood", type="primary"
        )


def comprehension(session: Session, view: ComprehensionView) -> None:
    """Were the instructions understood?"""
    with st.container(key="text"):
        heading("A few questions about the instructions")
        left = view.attempts_left
        plain(f"You have {left} attempt{'s' * (left != 1)} left. You may look at the instructions.")
        with st.form("questions", border=False):
            for number, question in enumerate(view.questions):
                with st.container(key=f"ask-{number}"):
                    heading(question.text, 3)
                    st.radio(
                        f"Question {number + 1}",
                        question.options,
                        index=None,
                        format_func=literally,
                        key=_key(number),
                        label_visibility="collapsed",
                    )
                    if number in view.mistakes:
                        plain(f"Not quite: {view.mistakes[number]}", "open")
            submit("Check my answers", lambda: _check(session, len(view.questions)))
    with st.container(key="text-again"), st.expander("Instructions"):
        _explain(session, view.instructions)


def criterion_help(criterion: Criterion) -> str:
    """What is meant by a criterion, as HTML in which the design's texts are escaped."""
    return (
        f"<p>{escape(criterion.definition)}</p>"
        f"<p><b>Better:</b> {escape(criterion.better)}</p>"
        f"<p><b>Worse:</b> {escape(criterion.worse)}</p>"
    )


def _explain(session: Session, view: InstructionsView) -> None:
    with st.container(key="text-instructions"):
        authored(view.text)
        heading("What you are asked", 2)
        for criterion in view.criteria:
            st.html(
                f'<h3 class="duo">{escape(title(criterion.name))}: {escape(criterion.question)}'
                f'</h3><div class="duo help">{criterion_help(criterion)}</div>'
            )
        heading("How to answer", 2)
        plain(_how(session))
        if view.example:
            heading("An example", 2)
    if view.example:
        with st.container(key="wide-example"):
            timeline(view.example, key="example", language=session.study.design.language)
        with st.container(key="text-example"):
            authored(view.explanation)


def _how(session: Session) -> str:
    if len(session.study.systems) == 2:
        return _PAIRS
    return _RANKS + (_CHECKS_ARE_PAIRS if session.study.attention else "")


def _check(session: Session, questions: int) -> None:
    """An attempt. The same answers once more, as by a double click, are not another one."""
    chosen = [st.session_state.get(_key(number)) for number in range(questions)]
    if None in chosen:
        warn("Please answer every question. This did not count as an attempt.")
    elif chosen != st.session_state.get(_CHECKED):
        st.session_state[_CHECKED] = chosen
        if not store(lambda: session.answer_questions([str(one) for one in chosen])):
            st.session_state.pop(_CHECKED, None)


def _key(number: int) -> str:
    return f"question {number}"
