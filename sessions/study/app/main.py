"""The script that Streamlit runs for each view of a page; see `sessions.study.app`."""

from __future__ import annotations

from sessions.study.app.routes import show

show()
