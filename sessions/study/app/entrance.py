"""Show the pages around the rating: consent, questions, instructions, withdrawal, and the end."""

from __future__ import annotations

import math
from html import escape
from typing import Any
from urllib.parse import quote

import streamlit as st

from sessions.study.app import asset, player_style
from sessions.study.app.look import authored, heading, literally, place, plain, press, words
from sessions.study.design import Design
from sessions.study.people import Refused
from sessions.study.questionnaire import LIMIT, Asked
from sessions.study.session import Session
from sessions.study.views import (
    ComprehensionView,
    ConsentView,
    FinishedView,
    InstructionsView,
    QuestionnaireView,
    RatingView,
    StoppedView,
    View,
    WaitingView,
    drawn,
    example_dialogues,
)

#: Seconds after which a waiting rater's page looks again.
LOOK_AGAIN = 20

_CHECKED = "checked"


def around(session: Session, view: View, participant: str) -> None:
    """Show where the rater is, unless they rate."""
    if isinstance(view, ConsentView):
        _consent(session)
    elif isinstance(view, QuestionnaireView):
        _questionnaire(session, view)
    elif isinstance(view, InstructionsView):
        _instructions(session)
    elif isinstance(view, ComprehensionView):
        _comprehension(session, view)
    elif isinstance(view, FinishedView):
        _finished(view, participant)
    elif isinstance(view, WaitingView):
        _waiting(session, view)
    elif isinstance(view, StoppedView):
        _stopped(session, view, participant)


def _consent(session: Session) -> None:
    design, say = _design(), words()
    with st.container(key="text"):
        heading(design.title)
        authored(design.consent)
        said = [(name, text) for name, text in design.about if text is not None]
        if said:
            rows = "".join(
                f"<dt><b>{escape(say(f'consent.{name}'))}</b></dt><dd>{escape(text)}</dd>"
                for name, text in said
            )
            st.html(f'<dl class="duo">{rows}</dl>')
        plain(say("consent.button"))
        if design.about.missing:
            plain(say("consent.trial"), "open")
        yes, no = st.columns(2)
        with yes:
            press(
                say("consent.agree"), lambda: session.consent(True), type="primary", width="stretch"
            )
        with no:
            press(say("consent.decline"), lambda: session.consent(False), width="stretch")


def _questionnaire(session: Session, view: QuestionnaireView) -> None:
    here, say = place(), words()
    asked: tuple[Asked, ...] = getattr(session.study.design, view.part)
    shown: tuple[Asked, ...] = getattr(here.design or session.study.design, view.part)
    with st.container(key="text"):
        heading(say(f"questionnaire.{view.part}"))
        if not all(one.required for one in asked):
            plain(say("questionnaire.optional"))
        with st.form("questionnaire", border=False):
            given = {
                one.name: _ask(one, other, number)
                for number, (one, other) in enumerate(zip(asked, shown, strict=True))
            }
            if st.form_submit_button(say("questionnaire.go_on"), type="primary"):
                problem = _no_number(shown, given)
                if problem:
                    here.problem = problem
                else:
                    here.store(lambda: session.answer_questionnaire(given))
                st.rerun()
    if view.last:
        with st.container(key="text-again"):
            if st.button(say("questionnaire.look_again")):
                here.number = view.last
                st.rerun()


def _instructions(session: Session) -> None:
    with st.container(key="text"):
        heading(_design().title)
    _explain(session)
    with st.container(key="text-end"):
        press(words()("instructions.read"), session.understood, type="primary")


def _comprehension(session: Session, view: ComprehensionView) -> None:
    questions, say = _design().comprehension.questions, words()
    with st.container(key="text"):
        heading(say("comprehension.title"))
        plain(say("comprehension.left", count=view.attempts_left))
        with st.form("questions", border=False):
            chosen = []
            for number, question in enumerate(questions):
                with st.container(key=f"ask-{number}"):
                    heading(question.ask, 3)
                    option = st.radio(
                        say("comprehension.question", number=number + 1),
                        question.options,
                        index=None,
                        format_func=literally,
                        key=f"question {number} {say.language}",
                        label_visibility="collapsed",
                    )
                    chosen.append(option)
                    if number in view.mistakes:
                        plain(say("comprehension.wrong", because=question.because), "open")
            if st.form_submit_button(say("comprehension.check"), type="primary"):
                _check(session, chosen)
                st.rerun()
    with st.container(key="text-again"), st.expander(say("instructions.again")):
        _explain(session)


def _stopped(session: Session, view: StoppedView, participant: str) -> None:
    say, keeps = words(), session.study.design.withdrawal == "keep"
    message(_design().title, say(f"stopped.{view.reason}"))
    with st.container(key="text-code"):
        if view.reason == "withdrawn":
            kept = "withdraw.keep_text" if keeps else "stopped.kept"
            plain(say(kept if view.kept else "stopped.deleted"))
        if view.code or view.return_url:
            _way_back(view, say("stopped.code"), participant)
        if view.reason == "declined":
            press(say("stopped.reconsider"), session.reconsider)
        if view.kept and not keeps:
            press(say("stopped.delete"), lambda: session.withdraw(erase=True))


def _waiting(session: Session, view: WaitingView) -> None:
    say = words()
    minutes = math.ceil(view.seconds / 60)
    message(say("waiting.title"), say("waiting.others", count=minutes))
    with st.container(key="text-waiting"):
        if view.submitted:
            plain(say("waiting.not_done", submitted=view.submitted, total=view.total))
        plain(say("waiting.leave_open"))
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


def _finished(view: FinishedView, participant: str) -> None:
    with st.container(key="text-stopped"):
        say = words()
        heading(say("finished.title"))
        plain(say("finished.stored"))
        _way_back(view, say("finished.code"), participant)
        if view.last and st.button(say("finished.again")):
            place().number = view.last
            st.rerun()


def _way_back(view: FinishedView | StoppedView, name: str, participant: str) -> None:
    """Show the code and the link for the panel from which the rater came."""
    if view.code:
        heading(name, 2)
        plain(words()("finished.copy"), "soft")
        st.code(view.code, language=None)
    if view.return_url:
        url = view.return_url.replace("{participant}", quote(participant.strip(), safe=""))
        st.link_button(words()("finished.panel"), url, type="primary")


def offer_to_withdraw(session: Session, view: View) -> None:
    """Show the button at the foot of a page, unless there is nothing to withdraw from."""
    if isinstance(view, ConsentView):
        return
    if isinstance(view, StoppedView | WaitingView) and not session.may_withdraw():
        return
    name = "wide" if isinstance(view, RatingView) else "text"
    with st.container(key=f"{name}-withdraw"):
        if st.button(words()("withdraw.open"), type="tertiary"):
            place().leaving = True
            st.rerun()


def withdrawal(session: Session) -> None:
    """Ask whether the rater wants to withdraw, and what becomes of the answers."""
    here, say = place(), words()
    setting = session.study.design.withdrawal

    def leave(erase: bool) -> None:
        session.withdraw(erase=erase)
        here.leaving, here.number = False, None

    here.show_problem()
    with st.container(key="text-leaving"):
        heading(say("withdraw.title"))
        plain(say("withdraw.text"))
        if setting == "ask":
            plain(say("withdraw.ask"))
            press(say("withdraw.delete"), lambda: leave(True))
            press(say("withdraw.keep"), lambda: leave(False))
        else:
            plain(say(f"withdraw.{setting}_text"))
            press(say("withdraw.plain"), lambda: leave(setting == "delete"))
        if st.button(say("withdraw.stay"), type="primary"):
            here.leaving = False
            st.rerun()


def message(title: str, text: str) -> None:
    """Show a page that only says something."""
    with st.container(key="text-stopped"):
        heading(title)
        for paragraph in text.split("\n\n"):
            plain(paragraph)


def _explain(session: Session) -> None:
    design, say = _design(), words()
    with st.container(key="text-instructions"):
        authored(design.instructions)
        heading(say("instructions.asked"), 2)
        for criterion in design.criteria:
            better, worse = escape(say("rating.better")), escape(say("rating.worse"))
            st.html(
                f'<h3 class="duo">{escape(criterion.shown)}: {escape(criterion.question)}'
                f'</h3><div class="duo help"><p>{escape(criterion.definition)}</p>'
                f"<p><b>{better}</b>{escape(criterion.better)}</p>"
                f"<p><b>{worse}</b>{escape(criterion.worse)}</p></div>"
            )
        heading(say("instructions.answering"), 2)
        pairs = len(session.study.systems) == 2
        plain(say("instructions.pairs" if pairs else "instructions.ranks"))
        if not pairs and session.study.attention:
            plain(say("instructions.checks_are_pairs"))
        if pairs and design.strength.levels:
            plain(say("instructions.strength"))
        if design.marks.kinds:
            marks = "; ".join(design.marks.kinds.values())
            plain(say("instructions.marks", marks=marks))
        if design.checks.exposure != "none":
            plain(say(f"instructions.{design.checks.exposure}"))
        if design.example:
            heading(say("instructions.example"), 2)
    if design.example:
        with st.container(key="wide-example"):
            draw = st.components.v2.component(
                "timelines",
                html='<section class="timelines"></section>',
                css=player_style(),
                js=asset("player.js"),
            )
            shown = [drawn(one) for one in example_dialogues(design.example)]
            data = {
                "key": f"example {say.language}",
                "language": say.language,
                "words": {"player": say.group("player")},
                "dialogues": shown,
            }
            draw(key="example", data=data)
        with st.container(key="text-example"):
            authored(design.example.explanation)


def _check(session: Session, chosen: list[str | None]) -> None:
    """Make an attempt. The same answers once more, as by a double click, are not another one."""
    here = place()
    if None in chosen:
        here.problem = words()("comprehension.all")
    elif chosen != st.session_state.get(_CHECKED):
        st.session_state[_CHECKED] = chosen
        shown = _design().comprehension.questions
        asked = session.study.design.comprehension.questions
        said = [  # in whatever language
            one.options[other.options.index(str(option))]
            for one, other, option in zip(asked, shown, chosen, strict=True)
        ]
        if not here.store(lambda: session.answer_questions(said)):
            st.session_state.pop(_CHECKED, None)


def _ask(asked: Asked, shown: Asked, number: int) -> Any:
    """Show a question as `shown` in the rater's language; return what is answered so far."""
    say = words()
    key = f"about {asked.name}"
    look: dict[str, Any] = {"label_visibility": "collapsed"}
    label = literally(shown.ask)
    with st.container(key=f"ask-{number}"):
        heading(f"{shown.ask} {say('questionnaire.required')}" if asked.required else shown.ask, 3)
        if asked.kind == "several":
            return [
                option
                for place_, option in enumerate(asked.options)
                if st.checkbox(literally(shown.options[place_]), key=f"{key} {place_}")
            ]
        if asked.kind in ("choice", "scale"):
            values = list(asked.options or range(1, asked.points + 1))
            texts = list(shown.options) or _scale(shown)
            none = [] if asked.required else [None]
            texts += [say("questionnaire.none")] * len(none)
            options = range(len(texts))
            chosen = st.radio(
                label,
                options,
                index=None,
                format_func=lambda at: literally(texts[at]),
                key=key,
                horizontal=asked.kind == "scale",
                **look,
            )
            return None if chosen is None else [*values, *none][chosen]
        if asked.kind == "text":
            return st.text_area(label, key=key, max_chars=LIMIT, **look)
        text = st.text_input(label, key=key, max_chars=40, **look).strip().replace(",", ".")
        try:
            return float(text) if text else None
        except ValueError:
            return text


def _scale(shown: Asked) -> list[str]:
    """Return the points of a scale, with what its ends mean."""
    ends = {1: shown.low, shown.points: shown.high}
    return [
        f"{point} ({ends[point]})" if ends.get(point) else str(point)
        for point in range(1, shown.points + 1)
    ]


def _no_number(asked: tuple[Asked, ...], given: dict[str, Any]) -> str:
    """Say what is no number among the answers; "" if all is well."""
    say = words()
    for one in asked:
        try:
            one.reply(given[one.name])
        except ValueError:
            if one.kind != "number":
                continue
            has = (one.least is not None, one.most is not None)
            key = {
                (True, True): "between", (True, False): "at_least", (False, True): "at_most",
                (False, False): "number",
            }[has]  # fmt: skip
            bounds = {"least": f"{one.least or 0:g}", "most": f"{one.most or 0:g}"}
            return f"{one.ask} {say(f'questionnaire.{key}', **bounds)}"
    return ""


def _design() -> Design:
    design = place().design
    assert design is not None
    return design
