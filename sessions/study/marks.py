"""Export what raters marked at turns of the dialogues, one row a mark."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from duo.files import write_text
from duo.table import Table
from sessions.study.pages import dialogues_of, orders
from sessions.study.store import counted, items, marks, pages, raters
from sessions.study.study import Study, stored_items

_COLUMNS = (
    "study", "rater", "item", "scenario", "seed", "repeat", "position", "attention", "order",
    "system", "turn", "start", "end", "text", "mark", "label", "marked_at", "synthetic", "revoked",
    "withdrawn",
)  # fmt: skip


def export_marks(study: Study, path: Path, *, withdrawn: bool = False) -> int:
    """Write the marks of submitted pages as CSV.

    `turn` counts the utterances of the dialogue, of both speakers, from 1; `start` and `end` are
    its times, in seconds.

    Args:
        withdrawn: also of raters who withdrew and left their answers.

    Returns:
        How many there are.

    Raises:
        BadInput: the file cannot be written.
    """
    with study.database.read() as connection:
        systems = {item.id: item.systems for item in stored_items(connection, study)}
        found = connection.execute(
            select(
                marks,
                pages,
                items.c.name.label("item"),
                items.c.scenario,
                items.c.seed,
                items.c.kind,
                raters.c.name.label("rater"),
                raters.c.synthetic,
                raters.c.revoked_at,
                raters.c.withdrawn_at,
            )
            .join(pages, marks.c.page_id == pages.c.id)
            .join(items, pages.c.item_id == items.c.id)
            .join(raters, pages.c.rater_id == raters.c.id)
            .where(raters.c.study_id == study.id, pages.c.submitted_at.is_not(None))
            .where(counted(withdrawn))
            .order_by(raters.c.number, pages.c.position, marks.c.place, marks.c.turn, marks.c.mark)
        ).all()
        rows = []
        for row in found:
            names = systems[row.item_id]
            order = [names[place] for place in orders(len(names))[row.placement]]
            shown, _ = dialogues_of(connection, row.item_id, row.placement)[row.place]
            turn = shown.utterances[row.turn]
            rows.append(
                [
                    study.name,
                    row.rater,
                    row.item,
                    row.scenario,
                    row.seed,
                    row.repeat,
                    row.position + 1,
                    row.kind == "attention",
                    json.dumps(order, ensure_ascii=False),
                    order[row.place],
                    row.turn + 1,
                    turn.start,
                    turn.end,
                    "".join(word.text for word in turn.words).strip(),
                    row.mark,
                    study.design.marks.kinds[row.mark],
                    datetime.fromtimestamp(row.at, UTC).isoformat().replace("+00:00", "Z"),
                    bool(row.synthetic),
                    row.revoked_at is not None,
                    row.withdrawn_at is not None,
                ]
            )
    write_text(path, Table("Marks", _COLUMNS, rows).csv())
    return len(rows)
