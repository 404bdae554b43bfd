"""Files: one tolerance of all readers, results by kind, folders that belong to a run."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import subprocess
import sys
from errno import EACCES
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from duo.data.records import read_json_records
from duo.errors import BadInput
from duo.files import (
    Result,
    files_below,
    left_behind,
    read_json,
    read_json_lines,
    read_result,
    read_text,
    sha256,
    temporary,
    write_json,
    write_json_lines,
    write_result,
    write_text,
)
from duo.runs import Journal, Manifest, Stopwatch, claim, fingerprint, write_manifest
from duo.terminal import progress
from duo.yaml_file import MarkedYaml, read_yaml, yaml_text
from evaluation.sandbox.run import remove
from tests.damage import NO_FILES, no_file


class Fruit(Result):
    kind: Literal["fruit"] = "fruit"
    seeds: tuple[int, ...]
    sugar: float = 0.0


def test_no_file_is_left_out_because_of_its_name_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read, or named in a result, is said: figures of the rest would be others."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a.json").write_text("{}")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).touch()
    assert [path.name for path in files_below(tmp_path, ".json")] == ["a.json"]
    with pytest.raises(BadInput, match="is not UTF-8"):
        files_below(tmp_path, ".txt")

    def closed(path: Path) -> Any:
        if path.name == "inside":
            raise PermissionError(EACCES, "Permission denied")
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr("os.scandir", closed)
    with pytest.raises(BadInput, match="inside: cannot be read: Permission denied"):
        files_below(tmp_path, ".json")


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_byte_order_mark_blank_lines_and_gzip_are_read_over(
    tmp_path: Path, gzipped: bool
) -> None:
    path = tmp_path / ("rows.jsonl.gz" if gzipped else "rows.jsonl")
    content = '\ufeff{"a": 1}\r\n\n  \n{"a": "\u2028"}'.encode()
    path.write_bytes(gzip.compress(content) if gzipped else content)
    assert list(read_json_lines(path)) == [(1, {"a": 1}), (4, {"a": "\u2028"})]
    one = tmp_path / ("one.gz" if gzipped else "one")
    content = "\ufeffa: No\n".encode()
    one.write_bytes(gzip.compress(content) if gzipped else content)
    assert read_text(one) == "a: No\n"
    assert read_yaml(one).data == {"a": "No"}


def test_marks_in_the_middle_and_utf16_are_read_by_every_reader(tmp_path: Path) -> None:
    """Files that were put together, and what spreadsheets and shells on Windows write."""
    path = tmp_path / "a.json"
    path.write_bytes('\ufeff{"a": 1}\r\n\r\n\ufeff{"a": "é\u2028"}\r\n'.encode())
    assert [row["a"] for _, row in read_json_lines(path)] == [1, "é\u2028"]
    for encoding in ("utf-16", "utf-16-be"):
        mark = "" if encoding == "utf-16" else "\ufeff"
        path.write_bytes(f'{mark}{{"a": 1}}\r\n{{"a": "é\u2028"}}\r\n'.encode(encoding))
        assert [(n, row["a"]) for n, row in read_json_lines(path)] == [(1, 1), (2, "é\u2028")]
        path.write_bytes(f'{mark}[{{"a": "é"}}]'.encode(encoding))
        assert read_json(path) == [{"a": "é"}]
        assert list(read_json_records(path, on_bad=pytest.fail)) == [(1, {"a": "é"})]
        assert read_text(path) == '[{"a": "é"}]'
        path.write_bytes('{"a": "é"}\n'.encode(f"{encoding[:6]}-le"))  # without a mark
        assert list(read_json_lines(path)) == [(1, {"a": "é"})]
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(BadInput, match=r"a\.json: is not UTF-8 text"):
        read_text(path)


def test_what_a_file_is_called_does_not_say_whether_it_is_packed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(gzip.compress(b'{"a": 1}'))
    (tmp_path / "b.json.gz").write_bytes(b'{"a": 1}')
    for name in ("a.json", "b.json.gz"):
        assert read_json(tmp_path / name) == {"a": 1}


def test_what_a_shell_pipes_in_can_be_read_again(tmp_path: Path) -> None:
    for content in (b'{"a": 1}\n' * 9999, gzip.compress(b'{"a": 1}\n' * 9999)):
        code = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
        (tmp_path / "a").write_bytes(content)
        with subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "a"], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout
            pipe = Path(f"/dev/fd/{writer.stdout.fileno()}")
            assert len(list(read_json_lines(pipe))) == 9999
            assert len(list(read_json_lines(pipe))) == 9999
            assert sha256(pipe) == sha256(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}{"a": 2}', r":1: not JSON: Extra data"),
        (b"<html>", r":1: not JSON: Expecting value"),
        (b'{"a": 1}\n{"a":', r":2: the last line is cut off"),
        (b'{"a":\n{"a": 1}\n', r":1: not JSON: "),
        (b"{}\n[1]\n", r":2: not a JSON object"),
        (b'{"a": NaN}\n', r":1: not JSON: NaN is not a finite number"),
        (b'{"a": 1e999}\n', r":1: not JSON: 1e999 is not a finite number"),
        (b"\xff\n", r":1: is not UTF-8 text"),
        (b"[" * 100_000 + b"\n", r":1: not JSON: nested too deeply"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        list(read_json_lines(path))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1,\n "b": }')
    with pytest.raises(BadInput, match=r"a.json:2: not JSON: "):
        read_json(tmp_path / "a.json")
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_json(tmp_path / "none.json")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"{}" * 99)[:-12])
    with pytest.raises(BadInput, match="cannot be read: is damaged"):
        read_json(tmp_path / "a.gz")


def test_rows_are_written_and_read(tmp_path: Path) -> None:
    rows = [{"a": "\u00e9\u2028"}, {"b": [1.5, None]}]
    write_json_lines(tmp_path / "rows.jsonl", rows)
    assert [row for _, row in read_json_lines(tmp_path / "rows.jsonl")] == rows
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert not (tmp_path / "nan.json").exists()


def test_a_result_names_its_kind_first_and_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "fruit.json"
    write_result(path, Fruit(seeds=(1, 2), sugar=0.5))
    assert next(iter(json.loads(path.read_text()))) == "kind"
    assert read_result(path, Fruit) == Fruit(seeds=(1, 2), sugar=0.5)


def test_a_result_of_an_older_version_is_read_and_another_kind_is_not(tmp_path: Path) -> None:
    path = tmp_path / "fruit.json"
    write_json(path, {"seeds": [1], "new": "ignored"})
    assert read_result(path, Fruit).seeds == (1,)
    write_json(path, {"kind": "states", "seeds": [1]})
    with pytest.raises(BadInput, match="kind: is 'states', not 'fruit'"):
        read_result(path, Fruit)
    write_json(path, {"kind": "fruit", "seeds": [1, "2"]})
    with pytest.raises(BadInput, match=r"fruit.json: seeds\[1\]: "):
        read_result(path, Fruit)
    write_json(path, [1])
    with pytest.raises(BadInput, match="not a JSON object"):
        read_result(path, Fruit)


def test_a_manifest_keeps_the_facts_of_its_run(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_manifest(path, watch=Stopwatch(), seed=3, folder=tmp_path, parts=(1, 2))
    manifest = read_result(path, Manifest)
    assert manifest.facts == {"seed": 3, "folder": str(tmp_path), "parts": [1, 2]}
    assert manifest.versions["python"]


def test_a_folder_belongs_to_the_run_that_began_it(tmp_path: Path) -> None:
    facts = {"model": "a", "settings": {"rank": 2, "parts": (1, 2)}}
    assert not claim(tmp_path, facts)
    assert claim(tmp_path, facts)
    with pytest.raises(BadInput, match=r"settings.rank: was begun with 2, now 3: choose another"):
        claim(tmp_path, {**facts, "settings": {"rank": 3, "parts": (1, 2)}})
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(BadInput, match=r"run.json: not a JSON object"):
        claim(tmp_path, facts)


def test_the_same_facts_have_the_same_fingerprint() -> None:
    assert fingerprint(a=1, b="x") == fingerprint(b="x", a=1) != fingerprint(a=1, b="y")


def test_a_journal_goes_on_where_a_killed_run_stopped(tmp_path: Path) -> None:
    path = tmp_path / "unfinished" / "a.jsonl"
    journal = Journal(path)
    journal.append({"chunk": 1})
    journal.append({"chunk": 2})
    with path.open("ab") as stream:
        stream.write(b'{"chunk": 3')
    journal = Journal(path)
    assert journal.records == [{"chunk": 1}, {"chunk": 2}]
    journal.append({"chunk": 3})
    assert Journal(path).records == [{"chunk": 1}, {"chunk": 2}, {"chunk": 3}]
    journal.remove()
    assert not path.parent.exists()


def test_a_bar_is_only_for_terminals_and_its_lines_are_escaped() -> None:
    plain, shown = io.StringIO(), io.StringIO()
    with progress("counting", 2, console=Console(file=plain, width=60)) as bar:
        bar.advance()
        bar.print("half \x1b[2J [red]done")
    assert plain.getvalue() == "half \\x1b[2J [red]done\n"
    console = Console(file=shown, width=80, force_terminal=True)
    with progress("count\x07ing", 2, console=console) as bar:
        bar.advance()
        bar.update(done=2, what="count\x07ing " + 9 * "for a long time ")
    assert "2/2" in shown.getvalue()
    assert "count\\x07ing for a long" in shown.getvalue()


def test_what_a_killed_process_was_writing_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom duo.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as stream:\n"
        "    stream.write('half')\n    stream.flush()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.json")])
    (left,) = tmp_path.iterdir()
    assert left.read_text() == "half"
    own = tmp_path / f"{temporary('b.json')}x"  # a process that lives is not disturbed
    foreign = tmp_path / f".b.json.00000000-{2**22 + 1}.x"  # nor one of another machine
    for path in (own, foreign, tmp_path / ".b.json.draft"):
        path.touch()
    assert list(left_behind(tmp_path)) == [left]
    write_text(tmp_path / "c.json", "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [own.name, foreign.name, ".b.json.draft", "c.json"]
    )


@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.yaml", "a.jsonl.gz"])
def test_what_is_no_file_is_refused_at_once(what: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.touch()
    no_file(path, what)
    lines = "jsonl" in name
    fine = what == "empty" and lines
    with contextlib.nullcontext() if fine else pytest.raises(BadInput):
        list(read_json_lines(path)) if lines else read_yaml(path) if "y" in name else read_json(
            path
        )
    with contextlib.suppress(BadInput):
        assert what == "empty" or not sha256(path)


DOUBLING = [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 41)]
MERGING = [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 41)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n".join(["a0: &a0 [x, x]", *DOUBLING]), "its aliases make it too large"),
        ("\n".join(["a0: &a0 {x: 1}", *MERGING]), "its aliases make it too large"),
        ("a: &a [1, *a]", "contains itself"),
        ("[" * 20_000, "is nested too deeply"),
        ("- " * 5000 + "x", "is nested too deeply"),
    ],
    ids=["doubling", "merging", "endless", "brackets", "dashes"],
)
def test_yaml_that_grows_without_end(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        MarkedYaml(text, "a.yaml")


@given(st.floats(allow_nan=False) | st.from_regex(r"[-+]?[0-9_.:eEx+-]+", fullmatch=True))
def test_what_is_like_a_number_is_written_and_read_as_it_was(data: float | str) -> None:
    found = MarkedYaml(yaml_text([data]), "a.yaml").data
    assert (found, type(found[0])) == ([data], type(data))


def test_numbers_are_what_yaml_1_2_takes_for_numbers() -> None:
    text = "[12:30, 010, 1_000, 1.5e3, 1e-5, -.5, 0x10, 2026-01-01, =, 1.2.3, Yes]"
    values = ["12:30", 10, "1_000", 1500, 1e-5, -0.5, 16, "2026-01-01", "=", "1.2.3", "Yes"]
    assert MarkedYaml(text, "a.yaml").data == values


def test_aliases_as_people_use_them() -> None:
    text = "base: &base {words: [1, 2]}\none: {<<: *base, more: 3}\ntwo: [*base, *base]"
    assert MarkedYaml(text, "a.yaml").data["two"] == [{"words": [1, 2]}] * 2


def test_files_below_a_folder_whatever_a_program_left_there(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("b/c/two.jsonl", "one.jsonl", "b/other.txt"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "again").symlink_to(tmp_path)
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 30, dir_fd=handle)
        below = os.open("d" * 30, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(os.open("deep.jsonl", os.O_CREAT, dir_fd=handle))
    os.close(handle)
    try:
        found = files_below(tmp_path, ".jsonl")
    finally:  # pytest itself cannot remove it
        left = remove(str(tmp_path))
        tmp_path.mkdir()
    assert left == ""
    assert found == [tmp_path / "b/c/two.jsonl", tmp_path / "one.jsonl"]
