"""Scenarios and sweeps on the command line, as they are typed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from duo.cli import app
from duo.errors import BadInput
from duo.transcript import read_transcript
from sessions.catalogue import find_scenarios
from sessions.suite import suite_scenarios

FAKE = "tests.sessions.fakes:factory"


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_suite_is_listed_by_parts() -> None:
    told = run("scenario", "list", "suite:dev-pause").splitlines()
    assert len(told) == 16
    assert told[0].startswith("dev-pause-110-written ")
    assert any(line.startswith("pasta-dinner ") for line in run("scenario", "list").splitlines())


def test_the_suite_is_written_and_recorded_alike(tmp_path: Path) -> None:
    told = run("scenario", "write", "suite:report-statement", "--out", tmp_path / "yaml")
    assert told == f"16 scenarios in {tmp_path / 'yaml'}\n"
    written = find_scenarios([str(tmp_path / "yaml")])
    assert set(written) == set(suite_scenarios("report-statement"))
    record = ["record", "--systems", FAKE, "--limit", "4", "--max-seconds", "40", "--out"]
    run(*record, tmp_path / "a", "--scenario", tmp_path / "yaml")
    run(*record, tmp_path / "b", "--scenario", "suite:report-statement")
    a, b = (
        {path.name: path.read_bytes() for path in (tmp_path / run).glob("*/*.jsonl")}
        for run in "ab"
    )
    assert a == b
    assert len(a) == 4


def test_labelled_utterances_are_recorded(tmp_path: Path) -> None:
    line = {"id": "u-1", "context": [], "text": "oh yeah", "label": "backchannel",
            "needs_response": False}  # fmt: skip
    path = tmp_path / "said.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(line).encode()))
    run("record", "--systems", FAKE, "--scenario", path, "--out", tmp_path / "out")
    [transcript] = (tmp_path / "out").glob("*/u-1.jsonl")
    [event] = read_transcript(transcript).of("utterance")
    assert (event.utterance, event.category, event.label) == ("event", "backchannel", "non_query")


def test_a_sweep_is_recorded(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(f"systems: {FAKE}\nscenarios: jet-lag\nsweep: [{{words: [3, 6]}}]\n")
    told = run("bench", "sweep", file, "--out", tmp_path / "out")
    assert told.endswith(f"2 points in {tmp_path / 'out'}\n")
    found = sorted(path.parts[-3] for path in (tmp_path / "out").glob("*/*/jet-lag.jsonl"))
    assert found == ["words=3", "words=6"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("scenario", "list", "suite:x"), "no scenario of the suite is called 'x'"),
        (("scenario", "write", "no-such", "--out", "x"), "unknown scenario 'no-such'"),
        (("bench", "sweep", "none.yaml", "--out", "x"), "none.yaml: cannot be read"),
        (("record", "--scenario", "none.jsonl", "--out", "x"), "none.jsonl: cannot be read"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        run(*words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_texts_say_everything() -> None:
    group = typer.main.get_command(app)
    for names in (("scenario", "list"), ("scenario", "write"), ("bench", "sweep")):
        command = group
        for name in names:
            command = command.commands[name]  # type: ignore[attr-defined]
        assert f"Example: duo {' '.join(names)}" in (command.help or "")
        assert all(getattr(parameter, "help", None) for parameter in command.params)
