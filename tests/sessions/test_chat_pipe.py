"""The conversation over a plain pipe, through the command line and inside the process."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from duo.cli import app
from duo.decoding.conversant import Conversant, CycleResult, Event, Kind, Revision
from duo.decoding.duo import Duo
from duo.errors import BadInput
from duo.transcript import Header, Transcript, read_transcript
from sessions.chat.live import Conversation
from sessions.chat.pipe import Line, PipeChat, read_lines
from tests.duo.decoding.duos import in_doubt
from tests.sessions.chat_fakes import Mute, Parrot
from tests.tiny import tiny_backbone

ROOT = Path(__file__).parents[2]
FAKES = "tests.sessions.chat_fakes"


def talk(text: str, system: Conversant | None = None) -> tuple[list[list[str]], Transcript]:
    """Play lines to a system; the lines that come out, in fields, and the transcript."""
    system = system or Parrot()
    header = Header(
        system="parrot", model="none", scenario="chat", cycle_seconds=system.cycle_seconds
    )
    conversation, out = Conversation(system, header), io.StringIO()
    PipeChat(conversation, out, pytest.fail).play(read_lines(io.BytesIO(text.encode())))
    lines = [line.split(maxsplit=3) for line in out.getvalue().splitlines()]
    return lines, conversation.finish()


def command(*arguments: str, system: str = f"{FAKES}:parrot") -> list[str]:
    return [sys.executable, "-m", "duo.cli", "chat", "--system", system, *arguments]


def chat(text: str | bytes, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments, **more),
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("0.5 what is", Line(1, 0.5, "what is")),
        ("2.0  of France? ", Line(1, 2.0, "of France?")),
        ("14 thanks", Line(1, 14.0, "thanks")),
        (".5\tso", Line(1, 0.5, "so")),
        ("\ufeff0.5 what is", Line(1, 0.5, "what is")),
        ("so be it", Line(1, None, "so be it")),
        ("3rd of May", Line(1, None, "3rd of May")),
        ("3", Line(1, 3.0, "")),
        ("=2.5 what was", Line(1, 2.5, "what was", revises=True)),
        ("= what was", Line(1, None, "what was", revises=True)),
        ("=", Line(1, None, "", revises=True)),
        ("法国的首都", Line(1, None, "法国的首都")),
        ("", Line(1, None, "")),
    ],
)
def test_forms_of_a_line(raw: str, line: Line) -> None:
    assert list(read_lines([f"{raw}\n".encode()])) == [line]
    assert line.waits == (not raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"1 a\n-2 b\n", "<stdin>:2: time: must be from 0 to 86400, not -2"),
        (b"1 a\n1e400 b\n", "<stdin>:2: time: must be from 0 to 86400, not 1e400"),
        (b"1 a\n86401 b\n", "<stdin>:2: time: must be from 0 to 86400, not 86401"),
        (b"5 a\nb\n4.5 c\n", "<stdin>:3: time: 4.5 s is before the 5 s of an earlier line"),
        (b"1 a\n2 \xff\n", "<stdin>:2: is not UTF-8 text"),
    ],
)
def test_a_bad_line_is_named(raw: bytes, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        list(read_lines(io.BytesIO(raw)))
    assert str(caught.value) == message


def test_a_conversation_over_the_pipe(tmp_path: Path) -> None:
    save = tmp_path / "deep" / "chat.jsonl"
    done = chat("0.5 what is\n2.0  this?\n", "--save", str(save))
    assert done.stderr == f"duo: saved {save}\n"
    assert done.returncode == 0
    assert [line.split(maxsplit=3) for line in done.stdout.splitlines()] == [
        ["0.500", "input", "word", "what"],
        ["0.500", "input", "word", "is"],
        ["1.000", "input", "fork"],
        ["2.000", "input", "predicted", "or so"],
        ["2.000", "input", "word", "this?"],
        ["3.000", "input", "predicted", "<1>"],
        ["3.000", "input", "respond", "state"],
        ["0.500", "input", "utterance", "what is this?"],
        ["3.000", "output", "speech", "You"],
        ["3.250", "output", "speech", "said:"],
        ["3.500", "output", "speech", "what"],
        ["3.750", "output", "speech", "is"],
        ["4.000", "output", "speech", "this?"],
        ["4.250", "output", "answer_end"],
    ]
    transcript = read_transcript(save)
    header = transcript.header
    assert (header.system, header.model) == (f"{FAKES}:parrot", "none")
    assert (header.scenario, header.clock, header.cycle_seconds) == ("chat", "simulated", 1.0)
    assert "duo-duplex" in header.versions
    assert "".join(event.text for event in transcript.of("word")) == "what is this?"
    assert {event.utterance for event in transcript.of("word", "fork", "respond")} == {"u1"}


def test_the_same_lines_give_the_same_bytes(tmp_path: Path) -> None:
    text = "0.5 one\n=1.5 two\n3 three?\n\nand four.\n"
    first, second = (
        (chat(text, "--save", str(path)).stdout, path.read_bytes())
        for path in (tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    )
    assert first == second


def test_events_come_as_they_happen(tmp_path: Path) -> None:
    """The answer to a line is there before the next line is sent."""
    with subprocess.Popen(
        command("--save", str(tmp_path / "a.jsonl")),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"what?\n\n")
        process.stdin.flush()
        first = iter(process.stdout.readline, b"")
        assert any(b"answer_end" in line for line in first)
        process.stdin.write(b"and why?\n\n")
        process.stdin.close()
        assert process.stdout.read().count(b"answer_end") == 1


def test_a_bad_line_ends_with_status_2_and_saves_what_was(tmp_path: Path) -> None:
    save = tmp_path / "chat.jsonl"
    done = chat("0.5 what?\n5 so.\n4 no\n", "--save", str(save))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"duo: saved {save}",
        "duo: <stdin>:3: time: 4 s is before the 5 s of an earlier line",
    ]
    assert [event.text for event in read_transcript(save).of("utterance")] == ["what?"]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_saves_what_was(tmp_path: Path, ending: signal.Signals) -> None:
    save = tmp_path / "chat.jsonl"
    with subprocess.Popen(
        command("--save", str(save)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        preexec_fn=lambda: signal.signal(ending, signal.SIG_DFL),  # the tests may run under nohup
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"what?\n\n")
        process.stdin.flush()
        assert any(b"answer_end" in line for line in iter(process.stdout.readline, b""))
        time.sleep(0.2)  # it waits for the next line
        process.send_signal(ending)
        process.wait(timeout=20)
    assert process.returncode == 128 + ending
    assert next(read_transcript(save).of("respond")).by == "state"
    assert list(tmp_path.iterdir()) == [save]


def test_a_system_that_fails_leaves_the_transcript(tmp_path: Path) -> None:
    save = tmp_path / "chat.jsonl"
    script = (
        "import sys, pathlib; from sessions.chat import run; "
        f"run(system='{FAKES}:parrot', save=pathlib.Path(sys.argv[1]), settings=dict(fails_at=3))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(save)],
        input=b"what?\n9 so\n", capture_output=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"the parrot has flown" in done.stderr
    said = "".join(event.text for event in read_transcript(save).of("speech"))
    assert said == "You said: what?"


def test_a_reader_that_goes_away_costs_no_transcript(tmp_path: Path) -> None:
    save = tmp_path / "chat.jsonl"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command("--save", str(save)), input=b"what?\n", stdout=writing,
            stderr=subprocess.PIPE, cwd=ROOT, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert done.stderr.decode() == f"duo: saved {save}\n"
    assert [event.text for event in read_transcript(save).of("utterance")] == ["what?"]


def test_without_save_the_transcript_goes_to_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        subprocess.run(
            command(), input=b"so.\n", capture_output=True, cwd=tmp_path, env=environment,
            check=True, timeout=60,
        )  # fmt: skip
    saved = list((tmp_path / "runs" / "chat").iterdir())
    assert len(saved) == 2
    assert all(path.suffix == ".jsonl" for path in saved)


@pytest.mark.parametrize("where", ["{}/file/chat.jsonl", "{}"])
def test_a_place_that_cannot_be_written_is_said_before(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    done = chat("what?\n", "--save", where.format(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr


def test_an_unknown_system_is_one_line(tmp_path: Path) -> None:
    done = chat("what?\n", "--save", str(tmp_path / "a.jsonl"), system="polly")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "unknown system 'polly'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_cycle_without_length_is_refused(tmp_path: Path) -> None:
    done = chat("what?\n", "--save", str(tmp_path / "a.jsonl"), "--cycle-seconds", "0")
    assert (done.returncode, done.stderr) == (
        2,
        "duo: cycle_seconds: a cycle lasts from a millisecond to an hour\n",
    )


def test_any_setting_of_the_system_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert chat("what?\n", "--save", str(path), "--set", "fails_at=90").returncode == 0
    assert read_transcript(path).header.settings == {"fails_at": 90}
    done = chat("what?\n", "--save", str(tmp_path / "b.jsonl"), "--set", "fails_at")
    assert done.returncode == 2
    assert done.stderr.startswith("duo: --set: 'fails_at' is not [SYSTEM.]NAME=VALUE")
    for taken in ("seed", "channels"):  # what our code gives each system itself
        done = chat("what?\n", "--save", str(tmp_path / "b.jsonl"), "--set", f"{taken}=1")
        assert done.returncode == 2
        assert done.stderr.endswith(f" has no setting '{taken}'\n")


def test_a_line_is_heard_by_the_cycle_that_begins_then() -> None:
    parrot = Parrot()
    talk("0 a\n1 b\n1.001 c\n3.5\nd\n", parrot)
    assert parrot.heard[:5] == ["a", " b", " c", "", " d"]


def test_a_revision_replaces_the_open_utterance() -> None:
    parrot = Parrot()
    lines, _ = talk("0.5 what is red\n=1.5 what was read?\n", parrot)
    assert parrot.heard[:3] == ["", "what is red", Revision("what was read?")]
    assert ["1.500", "input", "revision", "what was read?"] in lines
    assert ["0.500", "input", "utterance", "what was read?"] in lines


def test_a_revision_after_the_decision_is_ordinary_text() -> None:
    parrot = Parrot()
    talk("what?\n=8 why?\n", parrot)
    assert Revision("why?") not in parrot.heard
    assert "why?" in parrot.heard


def test_an_empty_line_lets_the_system_finish() -> None:
    _, transcript = talk("what is it?\n\nand why?\n")
    ends = [event.start for event in transcript.of("answer_end")]
    begins = [event.start for event in transcript.of("utterance")]
    assert begins[1] >= ends[0]
    assert len(ends) == 2
    assert not list(transcript.of("cut"))


def test_a_time_that_has_passed_while_waiting_is_named() -> None:
    with pytest.raises(BadInput, match=r"<stdin>:3: time: 1 s has passed: .* quiet at 2 s"):
        talk("what?\n\n1 and why?\n")


def test_half_a_question_is_forgotten_and_what_is_said_later_is_another_utterance() -> None:
    model = tiny_backbone()
    leaning = in_doubt(model, model.states.ignore, model.states.respond)
    lines, transcript = talk("0 what is the\n60 thanks a lot\n", Duo(model, channels=leaning))
    assert [event.text for event in transcript.of("utterance")] == ["what is the", "thanks a lot"]
    assert lines.count(["10.000", "input", "ignore", "patience"]) == 1


def test_the_day_of_a_template_can_be_chosen(tmp_path: Path) -> None:
    model = tiny_backbone("llama", template="dated")
    model.model.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    path = tmp_path / "chat.jsonl"
    words = ["chat", "--model", str(tmp_path / "model"), "--save", str(path)]
    for more, day in ([], "2024-07-26"), (["--date", "2031-02-03"], "2031-02-03"):
        done = CliRunner().invoke(app, [*words, *more], input="0 hm\n", catch_exceptions=False)
        assert done.exit_code == 0
        header = read_transcript(path).header
        assert header.versions["chat_template_date"] == day
        assert header.settings.get("backbone", {}) == ({"date": day} if more else {})


def test_a_system_that_never_decides_ends_too() -> None:
    lines, transcript = talk("1 hello\n", Mute())
    assert lines == [["1.000", "input", "word", "hello"]]
    assert [event.text for event in transcript.of("utterance")] == ["hello"]


class Endless(Mute):
    """Never stops speaking."""

    def cycle(self, heard: Any) -> CycleResult:
        return CycleResult((Event(Kind.SPEECH, "so "),), busy=True)


def test_a_system_that_never_stops_is_not_waited_for() -> None:
    header = Header(system="endless", model="none", scenario="chat", cycle_seconds=1.0)
    warnings: list[str] = []
    out = io.StringIO()
    PipeChat(Conversation(Endless(), header), out, warnings.append).play([Line(1, None, "stop.")])
    assert warnings == ["still speaking after 600 s, not waited for any more"]
    assert len(out.getvalue().splitlines()) < 700


def test_what_goes_out_is_one_harmless_line_an_event() -> None:
    lines, transcript = talk("what?\n", Parrot(answer="\x1b[2J\n0.000\tinput\u2028\r[b]"))
    assert [line[3:] for line in lines if line[2] == "speech"] == [
        [r"\x1b[2J\n0.000\tinput\u2028\r[b]"]
    ]
    assert next(transcript.of("speech")).text == "\x1b[2J\n0.000\tinput\u2028\r[b]"


def test_a_narrow_encoding_loses_nothing_but_looks(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--save", str(tmp_path / "a.jsonl")), input="法国?\n".encode(), cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert rb"\u6cd5\u56fd?" in done.stdout
    assert next(read_transcript(tmp_path / "a.jsonl").of("word")).text == "法国?"


WORDS = st.text("ab?.é中", min_size=1, max_size=8)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 3)), WORDS), max_size=8))
def test_whatever_is_said_is_heard(said: list[tuple[float | None, str]]) -> None:
    text, now = "", 0.0
    for pause, words in said:
        now += pause or 0.0
        text += words + "\n" if pause is None else f"{now:.3f} {words}\n"
    _, transcript = talk(text)
    heard = "".join(event.text for event in transcript.of("utterance"))
    assert "".join(heard.split()) == "".join(words for _, words in said)
    assert [event.start for event in transcript.events] == sorted(
        event.start for event in transcript.events
    )
