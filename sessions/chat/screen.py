"""The conversation on a full screen: two lanes, an input line, and how the system fares."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from duo.decoding.conversant import CycleResult, Heard
from duo.terminal import printable
from duo.transcript import TranscriptEvent
from sessions.chat.live import Clock, Conversation, Pulse, converse
from sessions.chat.score import RULE, SCROLLBAR, TIME, Score, lane_widths

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class WallClock:
    """Real seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._start

    async def until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.now()))


class TypingLine(Input):
    """The input line; tells at once, not by message, so that no key comes after its time."""

    def __init__(self, typed: Callable[[str], None], entered: Callable[[], None]) -> None:
        super().__init__(placeholder="type: words are heard as you go", select_on_focus=False)
        self._typed, self._entered = typed, entered

    def watch_value(self, value: str) -> None:
        self._typed(value)

    async def action_submit(self) -> None:
        self._entered()
        self.value = ""

    def on_paste(self, event: events.Paste) -> None:
        """Put in all the lines, not just the first, and no control characters."""
        event.stop()
        event.prevent_default()
        text = " ".join(event.text.split())
        self.replace("".join(filter(str.isprintable, text)), *sorted(self.selection))

    def keep(self, rest: str) -> None:
        """Drop all but the end of the line, without moving the cursor from its character."""
        cursor = self.cursor_position - (len(self.value) - len(rest))
        self.value = rest
        self.cursor_position = max(0, cursor)


class ChatScreen(App[None]):
    """Shows a conversation while it is held; it is over when the app ends."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "duo chat"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c,ctrl+q", "quit", "leave", priority=True),
        Binding("pageup", "scroll('page_up')", priority=True),
        Binding("pagedown", "scroll('page_down')", priority=True),
        Binding("up", "scroll('up')", priority=True),
        Binding("down", "scroll('down')", priority=True),
        Binding("ctrl+home", "scroll('home')", priority=True),
        Binding("ctrl+end", "scroll('end')", priority=True),
    ]
    CSS = """
    #names, #typing, #status { height: 1; }
    #names { background: $boost; text-style: bold; }
    #you { color: $text-primary; }
    #system { width: 1fr; }
    #score { height: 1fr; }
    #typing { margin: 1 0; }
    #prompt { width: 7; color: $text-primary; text-align: right; padding-right: 1; }
    TypingLine, TypingLine:focus {
        width: 1fr; height: 1; padding: 0; border: none; background: $background;
        background-tint: $background 0%;
    }
    #status { background: $boost; color: $text-muted; padding: 0 1; }
    #state { width: 1fr; }
    #keys { width: auto; }
    .late { color: $text-warning; }
    """

    def __init__(self, conversation: Conversation, clock: Clock | None = None) -> None:
        super().__init__()
        self.conversation = conversation
        self._clock = clock or WallClock()
        self._thinker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cycle")
        self.failure: BaseException | None = None

    def compose(self) -> ComposeResult:
        header = self.conversation.header
        names = f"{self.conversation.system.name} · {header.model}"
        with Horizontal(id="names"):
            yield Static(" " * TIME + "you", id="you", markup=False)
            yield Static(printable(names), id="system", markup=False)
        yield Score(id="score")
        with Horizontal(id="typing"):
            yield Static("›", id="prompt", markup=False)
            yield TypingLine(self._typed, self._entered)
        with Horizontal(id="status"):
            yield Static(id="state", markup=False)
            yield Static("esc leaves", id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(TypingLine).focus()
        self.felt(Pulse())
        for ending in _ENDING:
            asyncio.get_running_loop().add_signal_handler(ending, self._end_by, ending)
        _stay_closed()
        self._talk = self.run_worker(self._hold(), exit_on_error=False)

    def on_unmount(self) -> None:
        # A cycle under way is not waited for: nobody hears any more what it brings.
        self._thinker.shutdown(wait=False, cancel_futures=True)

    def on_resize(self, event: events.Resize) -> None:
        """Put the names over their lanes."""
        widths = lane_widths(event.size.width - SCROLLBAR)
        self.query_one("#you").styles.width = TIME + widths["you"] + RULE

    def saw(self, event: TranscriptEvent) -> None:
        """Show an event now (see `Onlooker`)."""
        self.query_one(Score).add(event)
        if event.kind == "utterance":
            self.query_one(TypingLine).keep(self.conversation.ear.line)

    def felt(self, pulse: Pulse) -> None:
        """Show how the system fares (see `Onlooker`)."""
        parts = (
            f"cycle {pulse.cycle}",
            ("●" if pulse.busy else "○") + " speaking",
            ("●" if pulse.listening else "○") + " listening",
            f"{pulse.forward_passes} passes",
            f"lag {pulse.lag:.1f} s",
        )
        state = self.query_one("#state", Static)
        state.update(Text("   ".join(parts)))
        state.set_class(pulse.lag > 0, "late")

    async def action_quit(self) -> None:
        self._leave()

    def action_scroll(self, where: str) -> None:
        """Scroll the lanes while the input line keeps the keyboard."""
        getattr(self.query_one(Score), f"scroll_{where}")(animate=False)

    def _typed(self, line: str) -> None:
        self.conversation.ear.typed(line, self._clock.now())

    def _entered(self) -> None:
        now = self._clock.now()
        self.conversation.ear.entered(now)
        self.query_one(Score).expect(self.conversation.ear.unheard, now)

    def _leave(self) -> None:
        self._talk.cancel()  # before the widgets go that it draws on
        self.exit()

    def _end_by(self, ending: signal.Signals) -> None:
        self.failure = SystemExit(128 + ending)
        self._leave()

    async def _hold(self) -> None:
        try:
            await converse(self.conversation, self._clock, self._think, self)
        except Exception as error:  # shown when the screen is gone, by whoever opened it
            self.failure = error
            self.exit()

    async def _think(self, heard: Heard) -> CycleResult:
        cycle = self.conversation.system.cycle
        return await asyncio.get_running_loop().run_in_executor(self._thinker, cycle, heard)


def _stay_closed() -> None:
    """Keep Textual from starting its screen anew on a terminal that was closed.

    With the end of a terminal comes SIGCONT after SIGHUP (POSIX, General Terminal Interface), which
    Textual takes for the end of a pause. The new screen's writer dies of its first line, and the
    app would wait for it for ever.
    """
    resume = signal.getsignal(signal.SIGCONT)
    if not callable(resume):  # no Textual driver, as in tests
        return

    def on_continue(number: int, frame: FrameType | None) -> None:
        if os.isatty(0):
            resume(number, frame)

    signal.signal(signal.SIGCONT, on_continue)


def hold(conversation: Conversation) -> None:
    """Hold a conversation on the full screen, until the person leaves it.

    Raises:
        SystemExit: a signal ended it.
        Exception: whatever the system raised.
    """
    app = ChatScreen(conversation)
    logging.disable(logging.WARNING)  # a line written by a library would tear the screen
    try:
        app.run()
    finally:
        logging.disable(logging.NOTSET)
    if app.failure is not None:
        raise app.failure
