"""Ratings of a run: files of them, study folders, and analyses that were made before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from reports.builder.evidence import Piece
from reports.builder.reader import Reader
from reports.builder.walk import File

if TYPE_CHECKING:
    from reports.statistics.analysis import StudyResult
    from reports.statistics.raters import Rules
    from reports.statistics.ratings import Ratings


@dataclass(frozen=True)
class How:
    """How ratings are read and analysed.

    Attributes:
        columns, choices: what another tool calls things; see `read_ratings`.
        rules: whom to leave out; None for the defaults.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    rules: Rules | None = None


def read_studies(reader: Reader, how: How) -> Iterator[Piece[StudyResult]]:
    """Every set of ratings, analysed; each once, in whatever forms it is there.

    An analysis that `duo report statistics` made of these ratings is taken as it is, unless other
    rules are asked for.
    """
    made = list(_analyses(reader))
    for ratings, files in _sets(reader, how):
        digests = {reader.digests[name] for name in files} | {ratings.digest}
        before = next((one for one in made if one.content.digest in digests), None)
        if before is not None:
            made = [one for one in made if one.content.digest not in digests]
        if before is not None and how.rules is None:
            yield Piece(before.content, (*before.files, *files))
            continue
        with reader.about(None):
            from reports.statistics.analysis import analyse

            reader.tell(f"analysing {len(ratings.rows):,} ratings")
            yield Piece(analyse(ratings, rules=how.rules), files, computed=True)
    for one in made:
        reader.notes.append(f"The ratings that {one.name} is about are not in the run.")
        yield one


def _analyses(reader: Reader) -> Iterator[Piece[StudyResult]]:
    files = reader.files("statistics")
    if not files:
        return
    from duo.files import read_result
    from reports.statistics.analysis import StudyResult

    for file in files:
        with reader.about(file):
            yield Piece(read_result(file.path, StudyResult), (reader.used(file),))


def _sets(reader: Reader, how: How) -> list[tuple[Ratings, tuple[str, ...]]]:
    """Sets of ratings and the files that each is in: a CSV, Parquet and a database can agree."""
    found: list[tuple[Ratings, tuple[str, ...]]] = []
    for file in reader.files("ratings", "study"):
        with reader.about(file):
            read = _exported(file) if file.path.suffix == ".json" else _read(file, how)
            name = reader.used(file)
            for number, (other, files) in enumerate(found):
                if _same(read, other):
                    found[number] = (other, (*files, name))
                    break
            else:
                found.append((replace(read, source=name), (name,)))
    return found


def _read(file: File, how: How) -> Ratings:
    from reports.statistics.ratings import read_ratings

    return read_ratings(file.path, columns=how.columns, choices=how.choices)


def _exported(file: File) -> Ratings:
    """The votes in a study's database, as `duo study export` writes them."""
    from reports.statistics.ratings import read_ratings
    from sessions.study.study import open_study
    from sessions.study.votes import export

    study = open_study(file.path.parent)
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "ratings.csv"
            export(study, path)
            return read_ratings(path)
    finally:
        study.database.close()


def _same(one: Ratings, other: Ratings) -> bool:
    """Whether the votes are the same; CSV and Parquet write the time of a vote differently."""
    return bool(
        one.rows.drop(columns="submitted_at").equals(other.rows.drop(columns="submitted_at"))
    )
