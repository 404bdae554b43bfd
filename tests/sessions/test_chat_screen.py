"""The full screen, driven key by key without a terminal."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Static

from duo.decoding.conversant import Revision
from duo.transcript import Header
from sessions.chat.live import Conversation
from sessions.chat.screen import ChatScreen, LanesView, TypingLine
from tests.sessions.chat_fakes import Parrot

#: Short, so that the tests are; still long against the time that the screen needs.
CYCLE = 0.25

#: So many silent cycles that nothing is decided while a test types.
PATIENT = 1000

Script = Callable[[ChatScreen, Pilot[None]], Awaitable[None]]


def on_screen(
    script: Script, parrot: Parrot | None = None, size: tuple[int, int] = (80, 24)
) -> ChatScreen:
    """Run a script of keys and checks against the screen, and leave it."""
    parrot = parrot or Parrot(CYCLE, patience=PATIENT)
    header = Header(
        system="parrot", model="none", scenario="chat", clock="real-time",
        cycle_seconds=parrot.cycle_seconds,
    )  # fmt: skip
    app = ChatScreen(Conversation(parrot, header))

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await script(app, pilot)

    asyncio.run(run())
    return app


async def until(pilot: Pilot[None], true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not happen in time"
        await pilot.pause(0.02)


async def strike(pilot: Pilot[None], text: str) -> None:
    await pilot.press(*("space" if key == " " else key for key in text))


def you(app: ChatScreen) -> str:
    return "\n".join(row for row, _ in app.query_one(LanesView).text())


def system(app: ChatScreen) -> str:
    return "\n".join(row for _, row in app.query_one(LanesView).text())


def line(app: ChatScreen) -> str:
    return app.query_one(TypingLine).value


def status(app: ChatScreen) -> str:
    return str(app.query_one("#state", Static).render())


def test_a_question_is_heard_while_it_is_typed_and_answered() -> None:
    parrot = Parrot(CYCLE, patience=PATIENT)

    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        await strike(pilot, "what is ")
        await until(pilot, lambda: "what is" in you(app))
        assert line(app) == "what is "
        assert "● listening" in status(app)
        await until(pilot, lambda: "or so" in you(app))  # what the parrot expects next
        await strike(pilot, "it?")
        await pilot.press("enter")
        assert line(app) == ""
        await until(pilot, lambda: "<1> answering" in you(app))
        assert "or so" not in you(app)
        await until(pilot, lambda: "You said: what is it? ■" in system(app))
        await until(pilot, lambda: "○ speaking" in status(app))

    on_screen(script, parrot)
    words = [heard for heard in parrot.heard if isinstance(heard, str)]  # not "not over yet"
    assert "".join(words) == "what is it?"


def test_what_was_decided_leaves_the_input_line_and_the_rest_stays() -> None:
    parrot = Parrot(CYCLE, delay=1.0)

    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        await strike(pilot, "that is all.")
        await until(pilot, lambda: "".join(map(str, parrot.heard[:-1])).endswith("all."))
        await strike(pilot, "b")  # while the parrot thinks about its decision
        await pilot.press("left")
        assert line(app) == "that is all.b"
        await until(pilot, lambda: "<2> ignored" in you(app))
        assert line(app) == "b"
        await strike(pilot, "a")
        assert line(app) == "ab"

    on_screen(script, parrot)


def test_backspace_is_a_revision() -> None:
    parrot = Parrot(CYCLE, patience=PATIENT)

    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        await strike(pilot, "red or blue ")
        await until(pilot, lambda: "blue" in you(app))
        await pilot.press(*["backspace"] * 5)
        await strike(pilot, "green?")
        await until(pilot, lambda: "You said: red or green?" in system(app))

    on_screen(script, parrot)
    assert any(isinstance(heard, Revision) for heard in parrot.heard)


def test_a_slow_system_does_not_freeze_the_screen_and_its_lag_is_shown() -> None:
    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        await pilot.pause(0.1)
        await strike(pilot, "abc")
        assert line(app) == "abc"  # typed while the system is at work
        await until(pilot, lambda: "lag 1." in status(app))

    on_screen(script, Parrot(CYCLE, patience=PATIENT, delay=1.5))


def test_the_lanes_scroll_and_follow_the_end() -> None:
    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        score = app.query_one(LanesView)
        await strike(pilot, "what?")
        await until(pilot, lambda: score.max_scroll_y > 5, seconds=20)
        await until(pilot, lambda: score.scroll_offset.y >= score.max_scroll_y - 1)
        await pilot.press("ctrl+home")
        await until(pilot, lambda: score.scroll_offset.y == 0)
        said = score.max_scroll_y
        await until(pilot, lambda: score.max_scroll_y > said)
        assert score.scroll_offset.y == 0  # what is said now does not tear it away
        await pilot.press("ctrl+end")
        await until(pilot, lambda: score.scroll_offset.y > 0)

    on_screen(script, Parrot(CYCLE, patience=PATIENT, answer="so\n " * 600), size=(80, 12))


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (20, 6), (200, 50)])
def test_any_size_and_resizing(size: tuple[int, int]) -> None:
    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        await strike(pilot, "法国的首都 is what?")
        await until(pilot, lambda: "■" in system(app))
        await pilot.resize_terminal(60, 20)
        # On a busy machine the words come in different cycles, and then stand on different rows.
        await until(pilot, lambda: "法国的首都iswhat?" in "".join(you(app).split()))
        width = app.query_one(LanesView).size.width
        strips = [app.query_one(LanesView).render_line(y) for y in range(10)]
        assert {strip.cell_length for strip in strips} == {width - 1}  # and the scroll bar

    on_screen(script, size=size)


def test_hostile_text_is_shown_as_text() -> None:
    answer = "\x1b[2J[red]{}[/red]\x9b0m\x07"

    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        await strike(pilot, "[b]what[/]?")
        await until(pilot, lambda: r"\x1b[2J[red][b]what[/]?[/red]\x9b0m\x07" in system(app))
        assert "[b]what[/]?" in you(app)
        lines = (app.query_one(LanesView).render_line(y).text for y in range(10))
        assert "".join(lines).isprintable()

    on_screen(script, Parrot(CYCLE, patience=PATIENT, answer=answer))


def test_pasted_lines_are_one_line_without_control_characters() -> None:
    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        app.query_one(TypingLine).post_message(events.Paste("one\ntwo\x1b[31m\tthree"))
        await until(pilot, lambda: line(app) == "one two[31m three")

    on_screen(script, Parrot(CYCLE, patience=PATIENT))


@pytest.mark.parametrize("key", ["escape", "ctrl+c", "ctrl+q"])
def test_leaving(key: str) -> None:
    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        await strike(pilot, "well ")
        await until(pilot, lambda: "well" in you(app))
        await pilot.press(key)
        await until(pilot, lambda: not app.is_running)

    app = on_screen(script)
    assert app.failure is None
    assert [event.text for event in app.conversation.finish().of("utterance")] == ["well"]


def test_a_signal_leaves() -> None:
    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        signal.raise_signal(signal.SIGTERM)
        await until(pilot, lambda: not app.is_running)

    failure = on_screen(script).failure
    assert isinstance(failure, SystemExit)
    assert failure.code == 128 + signal.SIGTERM


def test_a_failing_system_ends_the_screen_and_is_not_hidden() -> None:
    async def script(app: ChatScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: not app.is_running)

    app = on_screen(script, Parrot(CYCLE, patience=PATIENT, fails_at=2))
    assert str(app.failure) == "the parrot has flown"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_closed_terminal_does_not_start_the_screen_anew(
    monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    resumed = []
    before = signal.signal(signal.SIGCONT, lambda number, frame: resumed.append(number))
    try:
        on_screen(lambda app, keys: asyncio.sleep(0))
        monkeypatch.setattr("os.isatty", lambda stream: is_there)
        signal.raise_signal(signal.SIGCONT)
    finally:
        signal.signal(signal.SIGCONT, before)
    assert bool(resumed) is is_there
