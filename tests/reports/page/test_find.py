"""Walking run folders: names alone decide, and no folder is absurd enough to hang."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.errors import BadInput
from reports.page.find import MADE_BY, MARK, find

NAMES = st.text("ab.-é", min_size=1, max_size=4).filter(lambda name: name.strip("."))


def names(*runs: Path, **more: int) -> list[str]:
    return [file.name for file in find(list(runs), **more)[0]]


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}", encoding="utf-8")


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=8))
def test_every_file_that_is_not_hidden_is_found_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("walk")
    wanted = set()
    for parts in paths:
        path = "/".join([f"d{part}" if part[0] != "." else part for part in parts]) + "/x.json"
        put(folder, path)
        if not any(part.startswith(".") for part in path.split("/")):
            wanted.add(path)
    assert names(folder) == sorted(wanted)


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path, "run/one/a.json", "elsewhere/b.json")
    run = tmp_path / "run"
    (run / "loop").symlink_to(run)
    (run / "one" / "up").symlink_to("..")
    (run / "other").symlink_to(tmp_path / "elsewhere")
    (run / "again").symlink_to(tmp_path / "elsewhere")
    (run / "nowhere.json").symlink_to("no-such")
    (run / "self.json").symlink_to("self.json")
    (run / "copy.json").symlink_to("one/a.json")
    assert names(run) == ["again/b.json", "copy.json"]


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "a.json", "a.txt", "B.JSONL", "c.csv")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    assert names(tmp_path) == ["B.JSONL", "a.json", "c.csv"]


def test_an_earlier_report_is_not_read_but_a_folder_of_that_name_is(tmp_path: Path) -> None:
    put(tmp_path, "a.json", "figures/f.csv", "tables/t.json", "sub/tables/t.json")
    assert len(names(tmp_path)) == 4
    (tmp_path / MARK).write_text(json.dumps({"made_by": MADE_BY}), encoding="utf-8")
    assert names(tmp_path) == ["a.json", "sub/tables/t.json"]
    (tmp_path / MARK).write_text("[]", encoding="utf-8")
    assert len(names(tmp_path)) == 5


def test_too_many_files_are_said_and_end_the_walk(tmp_path: Path) -> None:
    put(tmp_path, *(f"{n}.json" for n in range(9)))
    files, problems = find([tmp_path], limit=5)
    assert len(files) == 5
    assert "more than 5 files" in str(problems[0])
    assert not find([tmp_path], limit=9)[1]


def test_runs_of_the_same_name_are_with_names_apart(tmp_path: Path) -> None:
    put(tmp_path, "a/run/x.json", "b/run/x.json", "c/x.json")
    runs = [tmp_path / "a/run", tmp_path / "b/run", tmp_path / "c/x.json"]
    assert names(*runs) == ["run (2)/x.json", "run/x.json", "x.json"]
    assert names(tmp_path / "c" / "x.json") == ["x.json"]


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder or file"):
        find([tmp_path / "no"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a.json", "closed/b.json")
    (tmp_path / "closed").chmod(0)
    try:
        _, problems = find([tmp_path])
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert [str(problem) for problem in problems] == ["closed: cannot be read: Permission denied"]
