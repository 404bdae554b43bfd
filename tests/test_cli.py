"""The command line as a user meets it: quick help, examples, one line for what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from errno import EACCES, ENOSPC
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.main import get_command

from duo.cli import app, main
from duo.transcript import Header, Transcript, TranscriptEvent, write_transcript


def duo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "duo.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command that does something."""

    def below(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words
        else:
            for name, child in inner.items():
                yield from below(child, (*words, name))

    return below(get_command(app), ())


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_shows_an_example(words: tuple[str, ...]) -> None:
    done = duo(*words, "--help")
    assert done.returncode == 0
    assert f"Example: duo {' '.join(words)}" in " ".join(done.stdout.split())


def test_every_command_that_loads_a_model_takes_its_chat_format() -> None:
    without = []
    for words in commands():
        command = get_command(app)
        for word in words:
            command = command.commands[word]  # type: ignore[attr-defined]
        names = {parameter.name for parameter in command.params}
        options = {option for parameter in command.params for option in parameter.opts}
        if names & {"model", "models", "dtype"} and "--chat" not in options:
            without.append(" ".join(words))
    assert not without


def groups() -> Iterator[tuple[str, ...]]:
    """The words of the command line itself and of every group of commands."""
    yield ()
    for name, child in get_command(app).commands.items():  # type: ignore[attr-defined]
        if hasattr(child, "commands"):
            yield (name,)


@pytest.mark.parametrize("words", list(groups()), ids=lambda words: " ".join(words) or "duo")
def test_help_of_groups_shows_every_summary_whole_at_80_columns(words: tuple[str, ...]) -> None:
    done = duo(*words, "--help", COLUMNS="80")
    assert done.returncode == 0
    assert "..." not in done.stdout.replace("[ARGS]...", "")
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    shown = " ".join(done.stdout.split())
    group = get_command(app)
    for word in words:
        group = group.commands[word]  # type: ignore[attr-defined]
    for command in group.commands.values():  # type: ignore[attr-defined]
        assert command.get_short_help_str(10_000) in shown


def test_version_names_what_can_change_a_result() -> None:
    done = duo("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"duo \d\S* \(python \S+, torch \S+, .*\)\n", done.stdout)


def test_help_loads_nothing_heavy() -> None:
    heavy = {"torch", "transformers", "matplotlib", "textual", "pandas", "pydantic"}
    code = "import sys, duo.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("record", "--systems", "duet", "--out", "x"), "unknown system 'duet'"),
        (("record", "--scenario", "no-such", "--out", "x"), "no-such"),
        (("record", "--model", "./no/such/model", "--out", "x"), "no/such/model"),
        (("record", "--set", "lookahead", "--out", "x"), "--set"),
        (("transcript", "show", "no-such.jsonl"), "no-such.jsonl"),
        (("chat", "--plain", "--system", "duet"), "unknown system 'duet'"),
        (("demo", "--scenario", "no-such", "--no-open"), "no-such"),
        (("transcript", "show", f"{'x' * 300}.jsonl"), "File name too long"),
        (("data", "build", "--source", "\udcff.jsonl", "--out", "x"), "is not UTF-8"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: tuple[str, ...], message: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    done = duo(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("duo: ")
    assert message in done.stderr


def test_what_is_closed_to_us_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["duo"])
    for error, said in (
        (OSError(EACCES, "Denied", "closed/a.jsonl"), "closed/a.jsonl: cannot be used: Denied"),
        (OSError(ENOSPC, "Disk full"), "cannot write: Disk full"),  # of what is printed
    ):
        monkeypatch.setattr("duo.cli.app", Mock(side_effect=error))
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"duo: {said}\n"


def test_what_an_output_cannot_encode_is_a_question_mark(tmp_path: Path) -> None:
    """Such as a Windows code page, where the output goes to a file."""
    talk = tmp_path / "a.jsonl"
    header = Header(system="α", model="", scenario="s", cycle_seconds=1)
    spoken = TranscriptEvent(start=0, end=1, channel="output", kind="speech", cycle=0, text="π")
    write_transcript(talk, Transcript(header=header, events=(spoken,)))
    for command in (("eval", "interaction"), ("transcript", "show"), ("transcript", "validate")):
        done = duo(*command, str(talk), PYTHONIOENCODING="ascii", COLUMNS="0")
        assert "Traceback" not in done.stderr
        assert done.returncode == (2 if "interaction" in command else 0), done.stderr
    assert "?" in duo("transcript", "show", str(talk), PYTHONIOENCODING="ascii").stdout


def test_a_hostile_file_name_does_not_command_the_terminal() -> None:
    done = duo("transcript", "show", "no\x1b[31msuch.jsonl")
    assert done.returncode == 2
    assert done.stderr.startswith(r"duo: no\x1b[31msuch.jsonl: ")
    assert done.stderr.count("\n") == 1
