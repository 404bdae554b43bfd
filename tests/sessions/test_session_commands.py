"""The commands of this room, as they are typed."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from duo.errors import BadInput
from duo.reading import read_conversation
from duo.transcript import read_transcript
from evaluation.interaction.results import score
from sessions.catalogue import find_scenarios
from sessions.commands import chat, record, sweep
from sessions.files import scenario_app, transcript_app
from sessions.suite import suite_scenarios

FAKE = "tests.sessions.fakes:factory"
ROOT = Path(__file__).parents[2]

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(record)
app.command()(chat)
app.add_typer(transcript_app, name="transcript")
app.add_typer(scenario_app, name="scenario")
bench_app = typer.Typer()
bench_app.command()(sweep)
app.add_typer(bench_app, name="bench")


def run(*words: str | Path) -> str:
    """Run the command and return what it prints."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*words: str | Path) -> str:
    with pytest.raises(BadInput) as caught:
        run(*words)
    return str(caught.value)


def commands() -> dict[str, Any]:
    """Each command by its full name."""
    group: Any = typer.main.get_command(app)
    return {
        f"{name} {below}".strip(): part
        for name, command in group.commands.items()
        for below, part in getattr(command, "commands", {"": command}).items()
    }


def test_help_texts_say_everything() -> None:
    names = {"record", "chat", "transcript show", "transcript validate"}
    assert names | {"scenario list", "scenario write", "bench sweep"} <= set(commands())
    for name, command in commands().items():
        assert f"Example: duo {name}" in (command.help or "")
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_help_texts_need_nothing_heavy() -> None:
    code = (
        "import sys, sessions.commands\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'textual', 'pydantic'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_record_show_and_validate(tmp_path: Path) -> None:
    out = tmp_path / "out"
    scenarios = ["--scenario", "volcano-facts", "--scenario", "zh-tang-poem"]
    told = run("record", "--systems", FAKE, *scenarios, "--seed", "3", "--out", out)
    assert told.endswith(f"2 transcripts in {out}\n")
    paths = sorted(out.glob("*/*.jsonl"))
    assert [path.name for path in paths] == ["volcano-facts.jsonl", "zh-tang-poem.jsonl"]
    assert {read_transcript(path).header.seed for path in paths} == {3}
    told = run("transcript", "validate", *paths)
    assert [line.partition(":")[0] for line in told.splitlines()] == [str(path) for path in paths]
    told = run("transcript", "show", paths[0], "--width", "70")
    assert told.startswith("volcano-facts\n")
    assert "How hot is lava?" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 70


def test_a_folder_stands_for_all_transcripts_in_it(tmp_path: Path) -> None:
    names = ("monday-morning", "jet-lag")
    chosen = [word for name in names for word in ("--scenario", name)]
    run("record", "--systems", FAKE, *chosen, "--out", tmp_path)
    shown = run("transcript", "show", tmp_path)
    assert all(name in shown.splitlines() for name in names)
    assert len(run("transcript", "validate", tmp_path).splitlines()) == 2
    (tmp_path / "empty").mkdir()
    assert "holds no transcripts" in refusal("transcript", "show", tmp_path / "empty")


def test_show_does_not_need_a_unicode_terminal(tmp_path: Path) -> None:
    run("record", "--systems", FAKE, "--scenario", "zh-tang-poem", "--out", tmp_path)
    (path,) = tmp_path.glob("*/*.jsonl")
    done = subprocess.run(
        [sys.executable, "-m", "duo.cli", "transcript", "show", str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"zh-tang-poem\n")
    assert b"\x1b" not in done.stdout


def test_validate_names_every_bad_file(tmp_path: Path) -> None:
    run("record", "--systems", FAKE, "--scenario", "monday-morning", "--out", tmp_path)
    (good,) = tmp_path.glob("*/*.jsonl")
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(good.read_bytes()[:-9])
    words = ["transcript", "validate", str(bad), str(good), str(tmp_path / "none.jsonl")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert result.stdout.startswith(f"{good}: ")
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"duo: {bad}:")
    assert lines[1].startswith(f"duo: {tmp_path / 'none.jsonl'}: no such file")


def test_scenarios_are_listed() -> None:
    told = run("record", "--list-scenarios").splitlines()
    assert len(told) >= 28
    assert any(line.startswith("puppy-training ") for line in told)


def test_settings_reach_their_systems(tmp_path: Path) -> None:
    run(
        "record", "--systems", FAKE, "--scenario", "jet-lag", "--out", tmp_path / "a",
        "--set", f"{FAKE}.words=3", "--set", "cycle_seconds=0.5", "--max-seconds", "50",
    )  # fmt: skip
    (path,) = tmp_path.glob("a/*/*.jsonl")
    header = read_transcript(path).header
    assert header.cycle_seconds == 0.5
    assert header.settings == {"cycle_seconds": 0.5, "max_seconds": 50.0, "words": 3}


def test_speed_options_are_each_systems_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def record_all(job: object) -> list[Path]:
        seen.update(vars(job))
        return []

    monkeypatch.setattr("sessions.recorder.record_all", record_all)
    systems = f"duo,duplex, turn-based,duo-sequential,{FAKE}"
    run(
        "record", "--systems", systems, "--out", "x", "--scenario", "jet-lag",
        "--lookahead", "2", "--cycle-seconds", "0.5", "--set", "duplex.slice_tokens=15",
        "--set", "duo.when_full=refuse", "--set", "temperature=0.8", "--prompt", "Be brief.",
    )  # fmt: skip
    assert seen["settings"] == {
        "duo": {
            "lookahead": 2, "cycle_seconds": 0.5, "when_full": "refuse", "temperature": 0.8
        },
        "duplex": {"slice_tokens": 15, "temperature": 0.8},
        "turn-based": {"tokens_per_cycle": 2, "cycle_seconds": 0.5, "temperature": 0.8},
        "duo-sequential": {"lookahead": 2, "cycle_seconds": 0.5, "temperature": 0.8},
        FAKE: {"temperature": 0.8},
    }  # fmt: skip
    assert seen["models"] == {
        "duo": "smollm2-duo", "duplex": "smollm2-duplex", "turn-based": "smollm2",
        "duo-sequential": "smollm2-duo",
    }  # fmt: skip
    assert seen["load_settings"] == {"system": "Be brief."}


def test_mistakes_are_named(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    fake = ["record", "--systems", FAKE, *out]
    assert "unknown system 'dua'" in refusal("record", "--systems", "dua", *out)
    assert "unknown scenario" in refusal(*fake, "--scenario", "pasta-diner")
    assert "did you mean pasta-dinner" in refusal(*fake, "--scenario", "pasta-diner")
    for wrong in ("x", "=3", "other.words=3", f"{FAKE}.=3"):
        assert refusal(*fake, "--set", wrong).startswith("--set: ")
    for systems, taken in (("duo", "system"), ("duo", "seed"), (FAKE, "seed")):
        said = refusal("record", "--systems", systems, *out, "--set", f"{taken}=1")
        assert f"has no setting '{taken}'" in said
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: broken\nlanguage: en\nutterances: 3\n")
    assert refusal(*fake, "--scenario", broken) == (f"{broken}:3: utterances: must be a list")
    assert not (tmp_path / "out").exists()
    assert "no such file" in refusal("transcript", "show", tmp_path / "none.jsonl")


def test_control_c_leaves_whole_transcripts_and_no_traceback(tmp_path: Path) -> None:
    words = ["record", "--systems", FAKE, "--set", "takes=0.04"]
    process = subprocess.Popen(
        [sys.executable, "-m", "duo.cli", *words, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(600):
            if any((tmp_path / "out").glob("*/*.jsonl")):
                break
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode not in (0, 2)
    assert "Traceback" not in told
    assert "the same command goes on from here" in told
    for path in (tmp_path / "out").rglob("*.jsonl"):
        read_transcript(path)


# Scenarios and sweeps.


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


def test_interruptions_are_recorded_with_their_control_and_compared(tmp_path: Path) -> None:
    record = ["record", "--systems", FAKE, "--control", "--max-seconds", "90", "--out", tmp_path]
    told = run(*record, "--scenario", "suite:dev-interruption-110", "--limit", "2")
    assert told.endswith(f"4 transcripts in {tmp_path}\n")
    paths = sorted(tmp_path.glob("*/*.jsonl"))
    headers = {path.stem: read_transcript(path).header for path in paths}
    plain = [name for name, header in headers.items() if not header.control_of]
    assert {name: h.control_of for name, h in headers.items() if h.control_of} == {
        f"{name}-control": name for name in plain
    }
    before = [path.stat().st_mtime_ns for path in paths]
    run(*record, "--scenario", "suite:dev-interruption-110", "--limit", "2")
    assert [path.stat().st_mtime_ns for path in paths] == before
    for path in paths:
        exchanges = read_conversation(path).exchanges
        assert [one.old is not None for one in exchanges] == [False, path.stem in plain]
    [system] = score([tmp_path]).systems.values()
    assert system.conversations == 2
    assert system.controlled is not None
    assert system.controlled.unanswered.n == 2


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
