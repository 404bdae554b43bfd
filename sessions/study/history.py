"""The history of a study: every action, in order; rows are added and never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from sessions.study.store import actions, pages
from sessions.study.study import Study


def record(
    connection: Connection,
    study: Study,
    kind: str,
    *,
    rater: int | None = None,
    page: int | None = None,
    data: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> float:
    """Add an action, and its time to the page's time on task.

    The time on task of an action is the time since the rater's last action if that was on the same
    page, but at most `checks.idle_seconds`: who leaves for lunch does not think for an hour.

    Returns:
        When it happened (seconds since 1970).
    """
    now = study.clock()
    seconds = 0.0
    if page is not None:
        last = connection.execute(
            select(actions.c.at, actions.c.page_id)
            .where(actions.c.rater_id == rater)
            .order_by(actions.c.id.desc())
            .limit(1)
        ).one_or_none()
        if last is not None and last.page_id == page:
            seconds = min(max(now - last.at, 0.0), study.design.checks.idle_seconds)
        connection.execute(
            pages.update()
            .where(pages.c.id == page)
            .values(seconds=pages.c.seconds + seconds, touched_at=now)
        )
    connection.execute(
        actions.insert().values(
            study_id=study.id,
            rater_id=rater,
            page_id=page,
            kind=kind,
            at=now,
            seconds=seconds,
            data=json.dumps(dict(data or {})),
            key=key,
        )
    )
    return now
