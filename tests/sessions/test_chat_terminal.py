"""`duo chat` in a real terminal, under tmux."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from duo.transcript import read_transcript

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


class Terminal:
    """A terminal of 80 columns and 24 lines of its own, on a tmux server of its own."""

    def __init__(self, socket: Path) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._status = socket.with_suffix(".status")

    def run(self, *command: str) -> None:
        self._do("new-session", "-d", "-s", "chat", "-x", "80", "-y", "24", "-c", str(ROOT))
        self._do("set-option", "-t", "chat", "remain-on-exit", "on")
        # Some libraries leave the size of their own terminal in the environment.
        clean = ("env", "-u", "COLUMNS", "-u", "LINES")
        # The shell notes the exit status: tmux now and then does not tell it on a busy machine.
        noting = ("sh", "-c", '"$@"; echo $? > "$0"', str(self._status))
        self._do("respawn-pane", "-k", "-t", "chat", "-c", str(ROOT), *noting, *clean, *command)

    def type(self, text: str) -> None:
        self._do("send-keys", "-t", "chat", "-l", text)

    def press(self, key: str) -> None:
        self._do("send-keys", "-t", "chat", key)

    def resize(self, columns: int, lines: int) -> None:
        self._do("resize-window", "-t", "chat", "-x", str(columns), "-y", str(lines))

    def screen(self) -> str:
        return self._do("capture-pane", "-p", "-t", "chat")

    def printed(self) -> str:
        """All lines ever printed, each whole."""
        return self._do("capture-pane", "-p", "-J", "-S", "-", "-t", "chat")

    def status(self) -> str:
        """The exit status of the command; "" while it runs."""
        return self._status.read_text().strip() if self._status.exists() else ""

    def hang_up(self) -> None:
        """Close the terminal, as one closes its window."""
        self._do("kill-session", "-t", "chat")

    def wait_for(self, true: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"did not happen in time:\n{self.screen()}"
            time.sleep(0.1)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)

    def _do(self, *command: str) -> str:
        done = subprocess.run(
            [*self._tmux, *command], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path / "tmux")
    yield terminal
    terminal.close()


def chat(save: Path, *more: str, parrot: str = "parrot") -> list[str]:
    system = f"tests.sessions.chat_fakes:{parrot}"
    return [sys.executable, "-m", "duo.cli", "chat", "--system", system, "--save", str(save), *more]


def test_a_conversation_on_the_screen(terminal: Terminal, tmp_path: Path) -> None:
    save = tmp_path / "chat.jsonl"
    terminal.run(*chat(save, parrot="patient_parrot"))
    terminal.wait_for(lambda: "esc leaves" in terminal.screen())
    assert "parrot" in terminal.screen().splitlines()[0]
    terminal.type("what is it?")
    terminal.wait_for(lambda: "<1> answering" in terminal.screen())
    terminal.wait_for(lambda: "You said: what is it? ■" in terminal.screen())
    terminal.type("thanks.")
    terminal.press("Enter")
    terminal.wait_for(lambda: "<2> ignored" in terminal.screen())
    terminal.resize(50, 12)
    terminal.wait_for(lambda: "│ You said: what is it? ■" in terminal.screen())
    terminal.press("Escape")
    terminal.wait_for(lambda: terminal.status() == "0")
    assert f"duo: saved {save}" in terminal.printed()
    transcript = read_transcript(save)
    assert transcript.header.clock == "real-time"
    assert [event.text for event in transcript.of("utterance")] == ["what is it?", "thanks."]
    assert [(event.kind, event.by) for event in transcript.of("respond", "ignore")] == [
        ("respond", "state"),
        ("ignore", "state"),
    ]


def test_closing_the_terminal_saves(terminal: Terminal, tmp_path: Path) -> None:
    save = tmp_path / "chat.jsonl"
    terminal.run(*chat(save))
    terminal.wait_for(lambda: "esc leaves" in terminal.screen())
    terminal.type("well ")
    terminal.wait_for(lambda: "patience" in terminal.screen())
    terminal.hang_up()
    deadline = time.monotonic() + 120
    while not save.exists():
        assert time.monotonic() < deadline, "not saved"
        time.sleep(0.1)
    assert [event.text for event in read_transcript(save).of("utterance")] == ["well"]


def test_plain_in_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    save = tmp_path / "chat.jsonl"
    terminal.run(*chat(save, "--plain"))
    terminal.type("what is it?\n\n")
    terminal.wait_for(lambda: "answer_end" in terminal.screen())
    terminal.press("C-d")
    terminal.wait_for(lambda: terminal.status() == "0")
    assert read_transcript(save).header.clock == "simulated"
