"""The database: versions, refusals, and what concurrent writers leave behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, select, text

from duo.errors import BadInput
from sessions.study.store import VARIABLE, Database, database_url, upsert
from sessions.study.tables import actions, drafts, metadata, studies
from tests.sessions.study.studies import StudyMaker, newcomer, rate_all

STUDY = {"id": 7, "name": "old", "design": {}, "systems": [], "state": "open"}


def raw(url: str) -> Any:
    """An engine that knows nothing of versions."""
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def columns(engine: Any) -> dict[str, dict[str, tuple[str, bool]]]:
    """Every table's columns: the kind of type, and whether it may be empty."""
    found = inspect(engine)
    return {
        table: {
            column["name"]: (column["type"].__class__.__name__.split("_")[0], column["nullable"])
            for column in found.get_columns(table)
        }
        for table in found.get_table_names()
    }


def test_an_empty_database_gets_the_tables_that_the_program_knows(database: str) -> None:
    Database(database).close()
    engine = raw(database)
    made = columns(engine)
    assert set(made) == set(metadata.tables)
    for name, table in metadata.tables.items():
        assert set(made[name]) == set(table.columns.keys())
        for column in table.columns:
            assert made[name][column.name][1] == (bool(column.nullable) and not column.primary_key)
    unique = {
        name: {
            tuple(sorted(one["column_names"]))
            for one in inspect(engine).get_unique_constraints(name)
        }
        for name in made
    }
    assert ("name", "study_id") in unique["raters"]
    assert ("key", "rater_id") in unique["actions"]
    assert ("rater_id", "position") not in unique["pages"]
    assert ("position", "rater_id") in unique["pages"]
    engine.dispose()


def test_opening_a_database_again_changes_nothing(database: str) -> None:
    Database(database).close()
    engine = raw(database)
    with engine.begin() as connection:
        connection.execute(studies.insert().values(**STUDY, created_at=1.5))
    before = columns(engine)
    again = Database(database)
    with again.read() as connection:
        assert list(connection.execute(select(studies.c.name)).scalars()) == ["old"]
    again.close()
    assert columns(engine) == before
    engine.dispose()


@pytest.mark.parametrize(
    ("version", "message"),
    [(999, "version 999 is newer than this program knows"), (3, "version 3 is older")],
)
def test_a_database_of_another_version_is_refused_and_not_touched(
    database: str, version: int, message: str
) -> None:
    Database(database).close()
    engine = raw(database)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE schema_version SET version = {version}"))
        connection.execute(text("ALTER TABLE studies ADD COLUMN of_the_future INTEGER"))
    before = columns(engine)
    with pytest.raises(BadInput, match=message):
        Database(database)
    assert columns(engine) == before
    engine.dispose()


def test_a_newer_sqlite_file_keeps_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)")
    connection.execute("INSERT INTO schema_version VALUES (999)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"new\.sqlite: version 999 is newer"):
        Database(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_database_of_something_else_is_refused(database: str) -> None:
    engine = raw(database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE recipes (id INTEGER)"))
    with pytest.raises(BadInput, match="is a database of something else"):
        Database(database)
    assert set(columns(engine)) == {"recipes"}
    engine.dispose()


@pytest.mark.parametrize("content", [b"hello", b"SQLite format 3\0" + b"x" * 200])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"x\.sqlite: "):
        Database(f"sqlite:///{path}")
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://x/y", "must be postgresql"),
        ("sqlite://", "must be postgresql"),
        ("sqlite:////no/such/folder/x.sqlite", "no such folder"),
        ("postgresql://u:secret@127.0.0.1:9/x?connect_timeout=2", "cannot be used"),
    ],
)
def test_a_url_that_does_not_fit_is_one_line_without_its_password(url: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_the_environment_names_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert str(database_url(tmp_path)).startswith("sqlite:///")
    monkeypatch.setenv(VARIABLE, "postgresql://somewhere/else")
    assert database_url(tmp_path) == "postgresql://somewhere/else"


def test_a_transaction_that_fails_leaves_nothing(make: StudyMaker) -> None:
    study = make()

    def fail() -> None:
        with study.database.write() as connection:
            connection.execute(studies.update().values(state="closed"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with study.database.read() as connection:
        assert study.state(connection) == "open"


def test_upsert_inserts_then_changes(make: StudyMaker) -> None:
    study = make()
    session = newcomer(study)
    page = session.view().page  # type: ignore[union-attr]
    key = {"page_id": page, "criterion": "speed"}
    for answer in ({"a": 1}, {"b": 2}):
        with study.database.write() as connection:
            upsert(connection, drafts, key, {"answer": answer, "at": 1.0})
    with study.database.read() as connection:
        rows = connection.execute(select(drafts.c.answer).where(drafts.c.page_id == page)).all()
    assert rows == [({"b": 2},)]


def test_sqlite_writes_ahead_and_checks_references(make_sqlite: StudyMaker) -> None:
    study = make_sqlite()
    with study.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_the_history_is_only_ever_added_to(make: StudyMaker) -> None:
    study = make()
    session = newcomer(study)
    seen: list[tuple[Any, ...]] = []
    while True:
        with study.database.read() as connection:
            rows = [
                tuple(row) for row in connection.execute(select(actions).order_by(actions.c.id))
            ]
        assert rows[: len(seen)] == seen
        seen = rows
        view = session.view()
        if not hasattr(view, "page"):
            break
        rate_all(session)
