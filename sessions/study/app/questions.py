"""The criteria of a page: a choice for each, by mouse, by Tab and arrows, or by single keys.

For two dialogues it is one of four choices; for more, a place for each, and a box for "all bad".
The widgets show what the database has; `catch_up` stores what was clicked. They are set only where
they differ from it, so that what somebody clicks while a page is being drawn is not undone by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

import streamlit as st

from sessions.study.answer import Answer
from sessions.study.app.entrance import criterion_help
from sessions.study.app.look import plain, title
from sessions.study.app.state import TYPED, press, store, visit
from sessions.study.design import Criterion
from sessions.study.session import Session
from sessions.study.views import RatingView

_CHOICES = {"left": "A better", "tie": "Tie", "right": "B better", "both_bad": "Both bad"}
_KEYS = {"a": "left", "t": "tie", "b": "right", "x": "both_bad"}
_HOW_TO_RANK = (
    "1st is the best place. Dialogues that are equally good get the same place. "
    "Tick All bad, too, if none of them is acceptable."
)


def asked(view: RatingView, *, missed: bool, keys: bool) -> None:
    """The questions of a page.

    Args:
        missed: the rater tried to go on, so those without an answer are marked.
        keys: single keys answer, too, so the question that they answer is framed.
    """
    now = _current(view)
    if len(view.dialogues) > 2:
        plain(_HOW_TO_RANK, "soft small")
    for number, criterion in enumerate(view.criteria):
        is_now = keys and criterion.name == now and len(view.dialogues) == 2
        with st.container(key=f"ask-{number}"):  # by another key it would lose the focus
            st.html(_question(criterion, is_now=is_now))
            if len(view.dialogues) == 2:
                _pair(view, criterion)
            else:
                _ranking(view, criterion)
            if missed and criterion.name in view.missing:
                plain("Not answered yet", "open")


def keyboard(session: Session, view: RatingView) -> None:
    """What the keys do; and for two dialogues, the buttons that they press.

    Nobody sees these buttons: the choices themselves are there to be clicked.
    """
    with st.container(key="keyboard"):
        plain(_keys_say(view), "soft small")
    if len(view.dialogues) == 2:
        with st.container(key="unseen"):
            for choice in _KEYS.values():
                answer = partial(_typed, session, view.number, choice)
                press(_CHOICES[choice], answer, key=f"{TYPED}{choice} {view.page}")
            press("Previous question", lambda: _step_back(view), key=f"step back {view.page}")


def keys(view: RatingView) -> dict[str, str]:
    """Which key presses which button, by the button's key."""
    if len(view.dialogues) != 2:
        return {}
    typed = {key: f"{TYPED}{choice} {view.page}" for key, choice in _KEYS.items()}
    return typed | {"z": f"step back {view.page}"}


def catch_up(session: Session, view: RatingView) -> bool:
    """Store what the widgets say by now and the database does not; whether there was anything.

    A widget whose value is not what it was set to was clicked. That is still so if the run in which
    the click came was given up for another one.
    """
    found = False
    for criterion in view.criteria:
        keys = _widgets(view, criterion)
        now = [st.session_state.get(key) for key in keys]
        known = st.session_state.get(_known(view, criterion))
        if known is None or now == known or keys[0] not in st.session_state:
            continue
        answer = _answer(view, now)
        if answer is not None and answer != view.answers.get(criterion.name):
            store(partial(session.draft, view.page, criterion.name, answer))
            found = True
        st.session_state[_known(view, criterion)] = now
        _move(view, None)
    return found


def _keys_say(view: RatingView) -> str:
    """What the keys do just now."""
    if len(view.dialogues) != 2:
        return "Keys: Tab and arrows for a place, P play, N next"
    now = _current(view)
    what = f"A, T, B, X answer {title(now)}" if now else "all is answered"
    return f"Keys: {what}, Z back a question, P play, N next"


def _question(criterion: Criterion, *, is_now: bool) -> str:
    return (
        f'<details class="duo{" now" * is_now}"><summary><b>{escape(title(criterion.name))}</b>'
        f"<span>: what is meant</span></summary>{criterion_help(criterion)}</details>"
        f'<h3 class="duo">{escape(criterion.question)}</h3>'
    )


def _pair(view: RatingView, criterion: Criterion) -> None:
    answer = view.answers.get(criterion.name)
    (key,) = _set(view, criterion, [None if answer is None else answer.choice])
    st.radio(
        title(criterion.name),
        list(_CHOICES),
        index=None,
        format_func=_CHOICES.__getitem__,
        horizontal=True,
        key=key,
        label_visibility="collapsed",
    )


def _ranking(view: RatingView, criterion: Criterion) -> None:
    answer = view.answers.get(criterion.name)
    now = [st.session_state.get(key) for key in _widgets(view, criterion)]
    if answer is None or _answer(view, now) == answer:  # or the same ranks, numbered with gaps
        wanted = now
    else:
        wanted = [*answer.ranks, answer.both_bad]
    *places, bad = _set(view, criterion, wanted)
    for key, shown in zip(places, view.dialogues, strict=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(f'<b class="duo" aria-hidden="true">{escape(shown.label)}</b>', width=16)
            st.radio(
                f"{title(criterion.name)}: place of {shown.label}",
                range(1, len(places) + 1),
                index=None,
                format_func=ordinal,
                horizontal=True,
                key=key,
                label_visibility="collapsed",
            )
    st.checkbox("All bad", key=bad)


def ordinal(number: int) -> str:
    """
    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(last, "th")


def _widgets(view: RatingView, criterion: Criterion) -> list[str]:
    """The keys of a question's widgets: one for a pair; else one for each place, and the box."""
    edition = st.session_state.get(_edition(view, criterion), 0)
    stem = f"answer {view.page} {criterion.name} {visit()}.{edition}"
    if len(view.dialogues) == 2:
        return [stem]
    return [*(f"{stem} {shown.label}" for shown in view.dialogues), f"{stem} bad"]


def _edition(view: RatingView, criterion: Criterion) -> str:
    """Where a session keeps how often it replaced a question's widgets."""
    return f"edition {view.page} {criterion.name}"


def _known(view: RatingView, criterion: Criterion) -> str:
    """Where a session keeps what it last set a question's widgets to."""
    return f"known {view.page} {criterion.name}"


def _answer(view: RatingView, values: Sequence[object]) -> Answer | None:
    """What the widgets of a question say; None if it is not a whole answer."""
    if len(view.dialogues) == 2:
        (choice,) = values
        return Answer.of(choice) if isinstance(choice, str) and choice in _CHOICES else None
    *places, bad = values
    ranks = [rank for rank in places if isinstance(rank, int)]
    if bad and not ranks:
        ranks = [1] * len(places)
    return Answer.ranked(ranks, both_bad=bool(bad)) if len(ranks) == len(places) else None


def _set(view: RatingView, criterion: Criterion, wanted: Sequence[object]) -> list[str]:
    """Let a question's widgets show these values; their keys.

    Widgets that show something else are replaced by new ones: what the browser says of the old ones
    from now on, it said before it knew, and must not be taken for a click.
    """
    keys = _widgets(view, criterion)
    if keys[0] in st.session_state and [st.session_state.get(key) for key in keys] != wanted:
        edition = _edition(view, criterion)
        st.session_state[edition] = st.session_state.get(edition, 0) + 1
        keys = _widgets(view, criterion)
    for key, value in zip(keys, wanted, strict=True):
        if st.session_state.get(key) != value:
            st.session_state[key] = value
    st.session_state[_known(view, criterion)] = [st.session_state.get(key) for key in keys]
    return keys


def _typed(session: Session, number: int, choice: str) -> None:
    """A key was pressed: it answers the current question, as the database has it by now."""
    view = session.view(number)
    now = _current(view) if isinstance(view, RatingView) else None
    if (
        isinstance(view, RatingView)
        and now is not None
        and store(lambda: session.draft(view.page, now, Answer.of(choice)))
    ):
        _move(view, None)


def _step_back(view: RatingView) -> None:
    names = [criterion.name for criterion in view.criteria]
    now = _current(view)
    place = names.index(now) if now else len(names)
    _move(view, names[max(0, place - 1)])


def _current(view: RatingView) -> str | None:
    """The question that keys answer: the one gone back to, or the first without an answer."""
    chosen = st.session_state.get(f"current {view.page}")
    if chosen is not None:
        return str(chosen)
    return next(iter(view.missing), None)


def _move(view: RatingView, name: str | None) -> None:
    st.session_state[f"current {view.page}"] = name
