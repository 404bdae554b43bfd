"""Show the questions about the rater, before the rating and after it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from sessions.study.app.look import heading, literally, place, plain, words
from sessions.study.design import Asked
from sessions.study.questionnaire import LIMIT
from sessions.study.session import Session
from sessions.study.views import QuestionnaireView


def questionnaire(session: Session, view: QuestionnaireView) -> None:
    """Show one part of the questionnaire."""
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
                problem = _problem(shown, given)
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


def _ask(asked: Asked, shown: Asked, number: int) -> Any:
    """Show a question; return what is answered so far.

    Args:
        asked: as the data have it; `shown`: in the rater's language.
    """
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


def _problem(asked: tuple[Asked, ...], given: dict[str, Any]) -> str:
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
