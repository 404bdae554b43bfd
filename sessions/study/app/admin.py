"""Show administrators how a study is getting on, what raters wrote, the exports and the switches.

Comments are anybody's text: they are shown as text, never as HTML or Markdown, and without marks
that turn the direction of writing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from html import escape

import streamlit as st

from duo.escape import clean
from duo.table import Table
from sessions.study.app.look import heading, literally, place, plain, press
from sessions.study.exports import Comment, day_and_time
from sessions.study.status import Admin, Status, status_tables

#: Seconds after which the figures are read again, if they are to be.
REFRESH = 15
#: Comments that are shown at once; the export has all.
_MOST = 50

#: Labels and meanings of the states that a study can be put into.
_STATES = {
    "open": ("Open", "Raters come and rate."),
    "paused": ("Pause", "Nobody gets a new page; what raters have they can finish."),
    "closed": ("Close", "No answer is taken any more."),
}
_LABELS = {
    "ratings.csv": "Ratings",
    "comments.csv": "Comments",
    "questionnaires.csv": "Questionnaires",
    "marks.csv": "Marks",
}


def administration(admin: Admin) -> None:
    heading(admin.study.design.title)
    place().show_problem()
    with st.container(key="refresh", horizontal=True, vertical_alignment="center"):
        st.button("Refresh")
        by_itself = st.toggle(f"Refresh every {REFRESH} seconds", value=True)
    every = REFRESH if by_itself else None
    st.fragment(_figures, run_every=every)(admin)
    st.fragment(_comments, run_every=every)(admin)
    heading("Export", 2)
    _exports(admin)
    status = admin.status()
    heading("Switches", 2)
    _switches(admin, status)
    _revoke(admin, status)


def _figures(admin: Admin) -> None:
    status = admin.status()
    plain(f"As of {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", "soft small")
    if status.synthetic:
        st.warning("All raters so far are synthetic: these are no people's answers.")
    st.progress(status.done, text=f"{status.done:.0%} of the wanted ratings")
    with st.container(key="figures", horizontal=True):
        st.metric("State", status.state)
        st.metric("Votes", status.votes)
        st.metric("Raters done", sum(one.state == "finished" for one in status.raters))
        st.metric("To look at", sum(bool(one.flags) for one in status.raters))
        st.metric("Comments", status.comments)
    flags, *others = status_tables(status)
    heading(flags.title, 2)
    shown = (f"<p><b>{_safe(name)}</b> {_safe(flag)}</p>" for name, flag in flags.texts)
    st.html("".join(shown) or "<p>Nothing.</p>")
    for table in others:
        _table(table)


def _table(table: Table) -> None:
    heading(table.title, 2)
    for note in table.notes:
        plain(note, "soft")
    if not table.rows:
        plain("Nothing so far.", "soft")
        return
    names = [column.name for column in table.heads]
    st.dataframe([dict(zip(names, texts, strict=True)) for texts in table.texts], hide_index=True)


def _comments(admin: Admin) -> None:
    heading("Comments", 2)
    found = admin.comments()
    if not found:
        plain("Nothing so far.", "soft")
        return
    with st.container(key="filter"):
        rater_box, item_box, words_box = st.columns(3)
    rater = rater_box.selectbox(
        "Comments of", sorted({one.rater for one in found}), index=None, placeholder="all raters"
    )
    item = item_box.selectbox(
        "About",
        sorted({one.item for one in found}),
        index=None,
        placeholder="all items",
        format_func=literally,
    )
    words = words_box.text_input("With the words").casefold().strip()
    chosen = [
        one
        for one in found
        if rater in (None, one.rater) and item in (None, one.item) and words in one.text.casefold()
    ]
    plain(f"{len(chosen)} of {len(found)}, the latest first", "soft small")
    st.html("".join(map(_comment, chosen[:_MOST])) or '<p class="duo soft">None of these.</p>')
    if len(chosen) > _MOST:
        plain(f"{len(chosen) - _MOST} more: narrow the choice, or export them.", "soft")


def _comment(one: Comment) -> str:
    about = [one.rater, one.item, f"page {one.page}", day_and_time(one.at)]
    about += ["not submitted"] * (not one.submitted) + ["synthetic"] * one.synthetic
    about += ["shut out"] * one.revoked
    head, text = _safe(" · ".join(about)), _safe(one.text)
    return f'<article class="duo"><p class="duo soft small">{head}</p><p>{text}</p></article>'


def _safe(text: str) -> str:
    return escape(clean(text, lines=True))


def _exports(admin: Admin) -> None:
    """Offer the files; each is made when its button is pressed."""
    name = admin.study.name
    with st.container(key="exports", horizontal=True):
        st.download_button(
            "Everything (zip)",
            partial(admin.export, ""),
            file_name=f"{name}.zip",
            mime="application/zip",
            on_click="ignore",
            type="primary",
        )
        for file in admin.exports:
            st.download_button(
                f"{_LABELS[file]} (CSV)",
                partial(admin.export, file),
                file_name=f"{name}-{file}",
                mime="text/csv",
                on_click="ignore",
            )


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
