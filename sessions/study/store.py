"""Open the database of studies (`tables`): connections and transactions, on SQLite or PostgreSQL.

SQLite: one short-lived connection for each transaction, write-ahead log, foreign keys enforced; a
writer takes its lock at the start and waits for others up to `BUSY_SECONDS`. PostgreSQL: a small
pool, and transactions that change something lock what they read by `FOR NO KEY UPDATE` where it
matters.

Threads of one process that must wait for each other do so before they take a connection. SQLite
lets waiting writers try again at random, so that among many one can wait for ever; and in a pool,
those that wait for a lock would hold all connections, and keep out those that wait for none.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    Integer,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from duo.errors import BadInput
from sessions.study.tables import VERSION, Json, metadata, schema_version

#: The environment variable that names a database other than the study's own file.
VARIABLE = "DUO_DATABASE_URL"
FILE = "study.sqlite"

#: How long a writer waits for other writers before it gives up.
BUSY_SECONDS = 30.0

#: Whose turn it is to write, by database.
_TURNS: dict[URL, threading.Lock] = {}
_TURNS_LOCK = threading.Lock()

_POOL = {"pool_size": 8, "max_overflow": 24, "pool_timeout": BUSY_SECONDS, "pool_pre_ping": True}
_LOCK = 4_951_907  # of PostgreSQL's advisory locks: any number, as long as it is always this one

_RESCUE = "restore a copy, or import the last export into a new study"


class Database:
    """A database of studies.

    Args:
        url: `sqlite:///FILE` or `postgresql://...`; see `database_url`.

    Raises:
        BadInput: it cannot be reached, is no database of ours, or is of another version (which is
            not touched).
    """

    def __init__(self, url: str | URL) -> None:
        self.url = _checked(url)
        self._engine = _engine(self.url)
        self._keep_open: Callable[[], object] | None = None
        try:
            with self._reporting_errors():
                self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that changes nothing."""
        with self._reporting_errors(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, alone: bool = False, durable: bool = True) -> Iterator[Connection]:
        """Open a transaction that is kept whole, or not at all if an exception leaves it.

        Args:
            alone: it will lock what many others want to lock, too; with SQLite every one does.
            durable: with SQLite, outlives even a power cut; else it outlives the program's end, and
                the next durable one makes it so, too. It costs a wait for the disk.
        """
        with self._turn(alone), self._reporting_errors(), self._engine.connect() as connection:
            connection = connection.execution_options(duo_write=True, duo_durable=durable)
            with connection.begin():
                yield connection

    @contextmanager
    def _turn(self, alone: bool) -> Iterator[None]:
        if not (alone or self.is_sqlite):
            yield
            return
        with _TURNS_LOCK:
            turn = _TURNS.setdefault(self.url, threading.Lock())
        if not turn.acquire(timeout=BUSY_SECONDS):
            raise BadInput(f"is busy: no turn in {BUSY_SECONDS:g} s", file=self.place)
        try:
            yield
        finally:
            turn.release()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()
        if self._keep_open is not None:
            self._keep_open()

    def _prepare(self) -> None:
        if self.is_sqlite and not (folder := Path(self.place).parent).is_dir():
            raise BadInput("there is no such folder", file=folder)  # SQLite does not say which
        with self._engine.connect() as connection:
            _make_tables(connection.execution_options(duo_write=True), self.place)
            if self.is_sqlite:
                _check_values(connection, self.place)
        if self.is_sqlite:
            self._keep_open = weakref.finalize(self, _use_write_ahead_log(self.place).close)

    @property
    def place(self) -> str:
        """The database, for messages: never with its password."""
        if self.is_sqlite:
            return self.url.database or ""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        """Report a database's errors in one line."""
        try:
            yield
        except OperationalError as error:
            raise BadInput(f"cannot be used: {_first_line(error)}", file=self.place) from error
        except sqlite3.OperationalError as error:
            raise BadInput(f"cannot be used: {error}", file=self.place) from error
        except DatabaseError as error:
            if type(error.orig) is not sqlite3.DatabaseError:
                raise
            raise self._damaged(error.orig) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: sqlite3.DatabaseError) -> BadInput:
        if "not a database" in str(error):
            return BadInput("is not a SQLite database", file=self.place)
        return BadInput(f"is damaged ({error}): {_RESCUE}", file=self.place)


def insert(connection: Connection, table: Table, **values: Any) -> int:
    """Insert a row; return the first column of its key."""
    done = connection.execute(table.insert().values(**values))
    return int(done.inserted_primary_key[0])  # type: ignore[index]


def upsert(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    first: Mapping[str, Any] | None = None,
    count: str | None = None,
) -> None:
    """Insert a row, or change the one that has the same key.

    Args:
        values: of the other columns, new or changed.
        first: of columns that are set only when the row is new.
        count: a column that is raised by one at each change.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = dialect.insert(table).values(**key, **values, **(first or {}))
    counted = {count: table.c[count] + 1} if count else {}
    changed = {**values, **counted}
    connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=changed))


def database_url(folder: Path) -> str | URL:
    """Return the database of a study: `DUO_DATABASE_URL` if set, else a file in its folder."""
    given = os.environ.get(VARIABLE, "").strip()
    return given or URL.create("sqlite", database=str(folder.resolve() / FILE))


def _checked(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise BadInput("is not a database URL", field=VARIABLE) from error
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise BadInput(
            "must be postgresql://USER@HOST/NAME, or sqlite:/// and a file", field=VARIABLE
        )
    return parsed.set(drivername="sqlite+pysqlite")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine
    try:
        return create_engine(url, **_POOL)
    except ModuleNotFoundError as error:
        raise BadInput(
            "PostgreSQL needs psycopg: pip install 'duo-duplex[postgres]'", field=VARIABLE
        ) from error


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")


def _on_begin(connection: Connection) -> None:
    """Take a writer's lock at once: taken later, it fails where another wrote in between."""
    options = connection.get_execution_options()
    if options.get("duo_durable"):
        connection.exec_driver_sql("PRAGMA synchronous = FULL")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("duo_write") else "BEGIN")


def _make_tables(connection: Connection, place: str) -> None:
    """Make the tables of an empty database, in one transaction; else check the version."""
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        names = inspect(connection).get_table_names()
        if not names:
            metadata.create_all(connection, checkfirst=False)
            connection.execute(schema_version.insert().values(version=VERSION))
            return
        versions: list[int] = []
        if schema_version.name in names:
            versions = list(connection.execute(select(schema_version.c.version)).scalars())
    if len(versions) != 1:
        raise BadInput("is a database of something else", file=place)
    if versions[0] > VERSION:
        raise BadInput(
            f"version {versions[0]} is newer than this program knows ({VERSION}): update duo",
            file=place,
        )
    if versions[0] < VERSION:
        raise BadInput(
            f"version {versions[0]} is older than this program reads ({VERSION}): export it with "
            "the duo that made it, and import that into a new study",
            file=place,
        )


def _check_values(connection: Connection, place: str) -> None:
    """Make sure of what SQLite does not: that each value is of its column's type, and JSON is JSON.

    Raises:
        BadInput: one is not, a table or column is missing, or a row belongs to none.
    """

    def damaged(what: str) -> BadInput:
        return BadInput(f"is damaged: {what}; {_RESCUE}", file=place)

    there = inspect(connection).get_multi_columns()
    for table in metadata.sorted_tables:
        names = {column["name"] for column in there.get((None, table.name), [])}
        if missing := [column.name for column in table.columns if column.name not in names]:
            raise damaged(f"{table.name} lacks {', '.join(missing)}")
        wrong = ", ".join(f"total({_misfit(column)})" for column in table.columns)
        counts = connection.exec_driver_sql(f"SELECT {wrong} FROM {table.name}").one()
        for column, count in zip(table.columns, counts, strict=True):
            if count:
                raise damaged(f"{table.name}.{column.name} holds what it cannot")
    if (stray := connection.exec_driver_sql("PRAGMA foreign_key_check").first()) is not None:
        raise damaged(f"a row of {stray[0]} belongs to none of {stray[2]}")


def _misfit(column: Column) -> str:
    """Write the condition, in SQL, that a value cannot be one of this column's."""
    if isinstance(column.type, Json) and column.type.holds != "any":
        fits = f"CASE json_valid({column.name}) WHEN 1 THEN json_type({column.name}) ELSE '' END"
        return f"{fits} != '{column.type.holds}'"
    kinds = ["integer"] if isinstance(column.type, Integer | Boolean) else ["text"]
    if isinstance(column.type, Double):
        kinds = ["real", "integer"]
    if column.nullable:
        kinds.append("null")
    wrong = f"typeof({column.name}) NOT IN ({', '.join(map(repr, kinds))})"
    # Times are seconds of this epoch, and everything else is less.
    return wrong if kinds[0] != "real" else f"{wrong} OR abs({column.name}) > 1e11"


def _use_write_ahead_log(place: str) -> sqlite3.Connection:
    """Set the journal's mode, a property of the file, once the version is known to be ours.

    Returns:
        The connection, to be kept idle: when the last one is closed, SQLite copies the log into the
        file, which would happen after every transaction of a single rater.
    """
    connection = sqlite3.connect(place, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _first_line(error: OperationalError) -> str:
    return (str(error.orig).strip().splitlines() or ["it gives no reason"])[0]
