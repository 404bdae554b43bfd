"""Show administrators how the study is getting on, and the switches."""

from __future__ import annotations

from functools import partial

import streamlit as st

from sessions.study.app.look import heading, place, plain, press
from sessions.study.status import Admin, Status, status_tables

#: Seconds after which the figures are read again.
REFRESH = 15

#: Labels and meanings of the states that a study can be put into.
_STATES = {
    "open": ("Open", "Raters come and rate."),
    "paused": ("Pause", "Nobody gets a new page; what raters have they can finish."),
    "closed": ("Close", "No answer is taken any more."),
}


def administration(admin: Admin) -> None:
    """Show the whole page."""
    heading(admin.study.design.title)
    place().show_problem()
    _figures(admin)
    status = admin.status()
    heading("Switches", 2)
    _switches(admin, status)
    _revoke(admin, status)


@st.fragment(run_every=REFRESH)
def _figures(admin: Admin) -> None:
    """Show what changes while raters are at work; read again by itself."""
    status = admin.status()
    if status.synthetic:
        st.warning("All raters so far are synthetic: these are no people's answers.")
    st.progress(status.done, text=f"{status.done:.0%} of the wanted ratings")
    cells = st.columns(4)
    cells[0].metric("State", status.state)
    cells[1].metric("Votes", status.votes)
    cells[2].metric("Raters done", sum(one.state == "finished" for one in status.raters))
    cells[3].metric("Comments", status.comments)
    for table in status_tables(status):
        heading(table.title, 2)
        for note in table.notes:
            plain(note, "soft")
        if not table.rows:
            plain("Nothing so far.", "soft")
            continue
        names = [column.name for column in table.heads]
        rows = [dict(zip(names, texts, strict=True)) for texts in table.texts]
        st.dataframe(rows, hide_index=True)


def _switches(admin: Admin, status: Status) -> None:
    for state, (label, meaning) in _STATES.items():
        with st.container(key=f"switch-{state}", horizontal=True, vertical_alignment="center"):
            sure = state != "closed" or status.state == "closed"
            if not sure:
                sure = st.checkbox("Yes, close it", key="sure to close")
            disabled = status.state == state or not sure
            press(label, partial(admin.set_state, state), disabled=disabled)
            plain(meaning, "soft")


def _revoke(admin: Admin, status: Status) -> None:
    names = [one.name for one in status.raters if one.state != "revoked"]
    if not names:
        return
    with st.form("revoke"):
        plain("Shut a rater out. What they rated is kept, marked, and given to others again.")
        name = st.selectbox("Rater", names, index=None)
        if st.form_submit_button("Revoke", type="primary") and name:
            place().store(lambda: admin.revoke(name))
            st.rerun()
