"""Let raters withdraw: their places are free again, and their answers are deleted if they want."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, delete, select

from sessions.study.store import actions, drafts, marks, pages, raters, ratings, replies
from sessions.study.study import Study, record

#: What stays in the history of a rater whose answers are deleted: that they came and left.
_KEPT = ("invite", "import", "consent", "withdraw")


def withdraw(connection: Connection, study: Study, rater: Any, *, erase: bool) -> None:
    """Let a rater withdraw; who has withdrawn already may still have the answers deleted.

    Neither is an answer exported from now on, unless the rater left it and that is asked for.

    Args:
        rater: the row, locked, as the study is.
        erase: delete all that the rater said and did, at once and for good.
    """
    if rater.withdrawn_at is None:
        values = {"withdrawn_at": study.clock()}
        connection.execute(raters.update().where(raters.c.id == rater.id).values(**values))
    if erase:
        _erase(connection, rater.id)
    record(connection, study, "withdraw", rater=rater.id, data={"deleted": erase})


def is_erased(connection: Connection, rater: int) -> bool:
    """Tell whether the answers of a rater who withdrew were deleted."""
    said = select(actions.c.data).where(actions.c.rater_id == rater, actions.c.kind == "withdraw")
    return any(json.loads(data)["deleted"] for data in connection.execute(said).scalars())


def _erase(connection: Connection, rater: int) -> None:
    own = select(pages.c.id).where(pages.c.rater_id == rater)
    for table in (drafts, marks):
        connection.execute(delete(table).where(table.c.page_id.in_(own)))
    connection.execute(delete(ratings).where(ratings.c.rater_id == rater))
    connection.execute(delete(replies).where(replies.c.rater_id == rater))
    mine = actions.c.rater_id == rater
    gone = actions.c.page_id.is_not(None) | actions.c.kind.not_in(_KEPT)
    connection.execute(delete(actions).where(mine, gone))
    connection.execute(delete(pages).where(pages.c.rater_id == rater))
    # The panel's numbers of the session point to the person.
    came = mine, actions.c.kind.in_(("invite", "import"))
    for action in connection.execute(select(actions.c.id, actions.c.data).where(*came)).all():
        data = {name: one for name, one in json.loads(action.data).items() if name != "panel"}
        changed = actions.update().where(actions.c.id == action.id)
        connection.execute(changed.values(data=json.dumps(data)))
