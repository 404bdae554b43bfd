"""The administrator's page: how the study is getting on, and the switches."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import streamlit as st

from sessions.study.admin import Admin
from sessions.study.app.look import heading, plain
from sessions.study.app.state import act, press, show_problem, store, submit
from sessions.study.status import Status

#: Seconds after which the figures are read again.
REFRESH = 15

_STATES = {"open": "Open", "paused": "Pause", "closed": "Close"}
_MEANING = {
    "open": "Raters come and rate.",
    "paused": "Nobody gets a new page; what raters have they can finish.",
    "closed": "No answer is taken any more.",
}


def administration(admin: Admin) -> None:
    """The whole page."""
    act()
    heading(admin.study.design.title)
    show_problem()
    _figures(admin)
    status = admin.status()
    heading("Switches", 2)
    _switches(admin, status)
    _revoke(admin, status)


@st.fragment(run_every=REFRESH)
def _figures(admin: Admin) -> None:
    """What changes while raters are at work; read again by itself."""
    status = admin.status()
    if status.synthetic:
        st.warning("All raters so far are synthetic: these are no people's answers.")
    st.progress(status.done, text=f"{status.done:.0%} of the wanted ratings")
    cells = st.columns(4)
    cells[0].metric("State", status.state)
    cells[1].metric("Votes", status.votes)
    cells[2].metric("Raters done", sum(one.state == "finished" for one in status.raters))
    cells[3].metric("Comments", status.comments)
    heading("To look at", 2)
    flags = [{"rater": one.name, "flag": flag} for one in status.raters for flag in one.flags]
    if flags:
        st.dataframe(flags, hide_index=True)
    else:
        plain("Nothing looks odd.", "soft")
    heading("Agreement so far", 2)
    plain("Krippendorff's alpha, nominal; attention checks and repeats left out.", "soft")
    st.dataframe(
        [
            {"criterion": name, "alpha": "-" if value is None else f"{value:.2f}"}
            for name, value in status.agreement.items()
        ],
        hide_index=True,
    )
    heading("Raters", 2)
    st.dataframe(_raters(status), hide_index=True)
    heading("Items", 2)
    st.dataframe(
        [
            {
                "item": one.name,
                "rated": one.submitted,
                "wanted": one.wanted,
                "open now": one.open,
            }
            for one in status.items
        ],
        hide_index=True,
    )


def _raters(status: Status) -> list[dict[str, str]]:
    return [
        {
            "rater": one.name + (" (synthetic)" if one.synthetic else ""),
            "state": one.state,
            "pages": f"{one.submitted} of {one.total}",
            "median seconds": _number(one.seconds, ".0f"),
            "checks passed": f"{one.checks - one.failed} of {one.checks}",
            "consistent": _number(one.consistency, ".0%"),
            "left side": _number(one.left, ".0%"),
            "last seen": ""
            if one.last_seen is None
            else datetime.fromtimestamp(one.last_seen, UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "code": one.code or "-",
        }
        for one in status.raters
    ]


def _switches(admin: Admin, status: Status) -> None:
    for state, label in _STATES.items():
        with st.container(key=f"switch-{state}", horizontal=True, vertical_alignment="center"):
            sure = state != "closed" or status.state == "closed"
            if not sure:
                sure = st.checkbox("Yes, close it", key="sure to close")
            press(
                label,
                partial(store, partial(admin.set_state, state)),
                key=f"to {state}",
                disabled=status.state == state or not sure,
            )
            plain(_MEANING[state], "soft")


def _revoke(admin: Admin, status: Status) -> None:
    names = [one.name for one in status.raters if one.state != "revoked"]
    if not names:
        return
    with st.form("revoke"):
        plain("Shut a rater out. What they rated is kept, marked, and given to others again.")
        st.selectbox("Rater", names, index=None, key="revoked")
        submit("Revoke", lambda: _revoked(admin))


def _revoked(admin: Admin) -> None:
    name = st.session_state.get("revoked")
    if isinstance(name, str):
        store(lambda: admin.revoke(name))


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
