"""Export all that raters gave: ratings, comments, questionnaires and marks, as files or one zip.

ratings.csv, .parquet, .dictionary.csv   see `votes`
comments.csv                             what raters wrote about pages
questionnaires.csv, marks.csv            if the design asks for them
design.yaml                              the design
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from sqlalchemy import select

from duo.files import write_text
from duo.table import Table
from sessions.study.marks import export_marks
from sessions.study.questionnaire import export_replies
from sessions.study.store import counted, items, pages, raters
from sessions.study.study import Study
from sessions.study.votes import export

#: Writes a file; returns how many rows it has.
_Write = Callable[[Path], int]


@dataclass(frozen=True)
class Comment:
    """What a rater wrote about a page.

    Attributes:
        page: its number for this rater, from 1.
        submitted: whether the page was.
        at: when the page was submitted, or last touched; seconds since 1970.
    """

    rater: str
    item: str
    page: int
    submitted: bool
    at: float
    text: str
    synthetic: bool
    revoked: bool

    @property
    def day_and_time(self) -> str:
        return f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M} UTC"


def comments(study: Study, *, withdrawn: bool = False) -> list[Comment]:
    """Return what raters wrote, the latest first.

    Args:
        withdrawn: also of raters who withdrew and left their answers.
    """
    with study.database.read() as connection:
        rows = connection.execute(
            select(pages, raters, items.c.name.label("item"))
            .join(raters, pages.c.rater_id == raters.c.id)
            .join(items, pages.c.item_id == items.c.id)
            .where(raters.c.study_id == study.id, pages.c.comment != "", counted(withdrawn))
        ).all()
    found = [
        Comment(
            row.name,
            row.item,
            row.position + 1,
            row.submitted_at is not None,
            row.submitted_at or row.touched_at,
            row.comment,
            bool(row.synthetic),
            row.revoked_at is not None,
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.at, one.rater, one.page))


def files_of(study: Study, *, withdrawn: bool = False) -> dict[str, _Write]:
    """Return what can be exported, by the file's name.

    Args:
        withdrawn: also of raters who withdrew and left their answers.
    """

    def write_comments(path: Path) -> int:
        names = ("study", "rater", "item", "page", "submitted", "written_at", "comment",
                 "synthetic", "revoked")  # fmt: skip
        rows = [
            (study.name, one.rater, one.item, one.page, one.submitted,
             datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds"), one.text,
             one.synthetic, one.revoked)
            for one in comments(study, withdrawn=withdrawn)
        ]  # fmt: skip
        write_text(path, Table("Comments", names, rows).csv())
        return len(rows)

    found: dict[str, _Write] = {
        "ratings.csv": lambda path: export(study, path, withdrawn=withdrawn),
        "comments.csv": write_comments,
    }
    if study.design.before or study.design.after:
        found["questionnaires.csv"] = lambda path: export_replies(study, path, withdrawn=withdrawn)
    if study.design.marks.kinds:
        found["marks.csv"] = lambda path: export_marks(study, path, withdrawn=withdrawn)
    return found


def export_all(study: Study, folder: Path, *, withdrawn: bool = False) -> dict[str, int]:
    """Write all files into a folder; return how many rows each has.

    Raises:
        BadInput: they cannot be written.
    """
    files = files_of(study, withdrawn=withdrawn)
    found = {name: write(folder / name) for name, write in files.items()}
    write_text(folder / "design.yaml", study.design.as_yaml())
    return found


def exported(study: Study, name: str) -> bytes:
    """Return the content of one file of `files_of`."""
    with tempfile.TemporaryDirectory() as folder:
        files_of(study)[name](Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def archive(study: Study) -> bytes:
    """Return all files as a zip; the same study gives the same bytes."""
    stream = BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        export_all(study, Path(folder))
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(Path(folder).iterdir()):
                entry = zipfile.ZipInfo(path.name)  # without the time of writing
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()
