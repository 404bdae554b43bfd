"""Hold the conversation on a full screen: two lanes, an input line, and how the system fares."""

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

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from duo import palette
from duo.decoding.conversant import CycleResult, Heard
from duo.terminal import printable
from duo.transcript import TranscriptEvent
from sessions.chat.lanes import Cell, Lane, Lanes, Row
from sessions.chat.live import Conversation, CycleStatus, converse

#: Columns of "minutes:seconds " before the lanes and of the rule between them.
TIME, RULE = 7, 3
SCROLLBAR = 1


def lane_widths(width: int) -> dict[Lane, int]:
    """Divide a view's width between the lanes; a system says more than a person types."""
    lanes = max(width - TIME - RULE, 4)
    you = lanes * 2 // 5
    return {"you": you, "system": lanes - you}


class LanesView(ScrollView, can_focus=False):
    """Draws the lanes of a conversation; what is drawn is text and never markup."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"lanesview--{part}"
        for part in (
            *("time", "rule", "you", "speech", "ghost", "gone"),
            *("respond", "ignore", "mark", "note"),
        )
    }
    DEFAULT_CSS = """
    LanesView {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-color: $foreground 20%;
    }
    LanesView > .lanesview--time { color: $foreground 40%; }
    LanesView > .lanesview--rule { color: $foreground 20%; }
    LanesView > .lanesview--you { color: PERSON; }
    LanesView > .lanesview--speech { color: ASSISTANT; }
    LanesView > .lanesview--ghost { color: $foreground 40%; text-style: italic; }
    LanesView > .lanesview--gone { color: $foreground 40%; text-style: strike; }
    LanesView > .lanesview--respond { color: $background; background: $success; text-style: bold; }
    LanesView > .lanesview--ignore {
        color: $background; background: $foreground 50%; text-style: bold;
    }
    LanesView > .lanesview--mark { color: $foreground 40%; }
    LanesView > .lanesview--note { color: $text-warning; text-style: italic; }
    """.replace("PERSON", palette.PERSON).replace("ASSISTANT", palette.ASSISTANT)

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._events: list[TranscriptEvent] = []
        self._lanes = Lanes(lane_widths(80))
        self._rows: list[Row] = []

    def add(self, event: TranscriptEvent) -> None:
        self._events.append(event)
        self._lanes.add(event)
        self._draw()

    def expect(self, text: str, at: float) -> None:
        """Show what may be heard next (see `Lanes.expect`)."""
        self._lanes.expect(text, at)
        self._draw()

    def text(self) -> list[tuple[str, str]]:
        """Return the text of the two lanes, row by row."""
        return [(row.you.text, row.system.text) for row in self._rows]

    def on_resize(self, event: events.Resize) -> None:
        """Lay everything out for the new width."""
        self._lanes = Lanes(lane_widths(self.scrollable_content_region.width))
        for past in self._events:
            self._lanes.add(past)
        self._draw()

    def render_line(self, y: int) -> Strip:
        place = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        widths = lane_widths(width)
        row, time = Row(0, 0), ""
        if place < len(self._rows):
            row = self._rows[place]
            if not place or int(self._rows[place - 1].start) != int(row.start):
                minutes, seconds = divmod(int(row.start), 60)
                time = f"{minutes:>{TIME - 4}}:{seconds:02} "
        return Strip.join(
            [
                self._part(time, "time", TIME),
                self._cell(row.you, widths["you"]),
                self._part(" │ ", "rule", RULE),
                self._cell(row.system, widths["system"]),
            ]
        ).adjust_cell_length(width, self.rich_style)

    def _part(self, text: str, part: str, width: int) -> Strip:
        return Strip([Segment(text, self._style(part))]).adjust_cell_length(width, self.rich_style)

    def _cell(self, cell: Cell, width: int) -> Strip:
        segments = [Segment(text, self._style(look)) for text, look in cell.runs()]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"lanesview--{part}")

    def _draw(self) -> None:
        following = self.is_vertical_scroll_end
        self._rows = self._lanes.rows()
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows))
        if following:
            self.scroll_end(animate=False, immediate=True)  # later, it would undo a key's scroll
        self.refresh()


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
    #you { color: PERSON; }
    #system { width: 1fr; color: ASSISTANT; }
    #lanes { height: 1fr; }
    #typing { margin: 1 0; }
    #prompt { width: 7; color: PERSON; text-align: right; padding-right: 1; }
    TypingLine, TypingLine:focus {
        width: 1fr; height: 1; padding: 0; border: none; background: $background;
        background-tint: $background 0%;
    }
    #status { background: $boost; color: $text-muted; padding: 0 1; }
    #state { width: 1fr; }
    #keys { width: auto; }
    .late { color: $text-warning; }
    """.replace("PERSON", palette.PERSON).replace("ASSISTANT", palette.ASSISTANT)

    def __init__(self, conversation: Conversation) -> None:
        super().__init__()
        self.conversation = conversation
        self._clock = WallClock()
        self._thinker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cycle")
        self.failure: BaseException | None = None

    def compose(self) -> ComposeResult:
        header = self.conversation.header
        names = f"{self.conversation.system.name} · {header.models}"
        with Horizontal(id="names"):
            yield Static(" " * TIME + "you", id="you", markup=False)
            yield Static(printable(names), id="system", markup=False)
        yield LanesView(id="lanes")
        with Horizontal(id="typing"):
            yield Static("›", id="prompt", markup=False)
            yield TypingLine(self._typed, self._entered)
        with Horizontal(id="status"):
            yield Static(id="state", markup=False)
            yield Static("esc leaves", id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(TypingLine).focus()
        self.show_status(CycleStatus())
        for ending in _ENDING:
            asyncio.get_running_loop().add_signal_handler(ending, self._end_by, ending)
        _stay_closed()
        self._talk = self.run_worker(self._converse(), exit_on_error=False)

    def on_unmount(self) -> None:
        # A cycle under way is not waited for: nobody hears any more what it brings. One that is
        # computed in llama.cpp is ended, or the program would end only after it.
        channels = getattr(self.conversation.system, "channels", None)  # of ours
        if (cancel := getattr(channels, "cancel", None)) is not None:
            cancel()
        self._thinker.shutdown(wait=False, cancel_futures=True)

    def on_resize(self, event: events.Resize) -> None:
        """Put the names over their lanes."""
        widths = lane_widths(event.size.width - SCROLLBAR)
        self.query_one("#you").styles.width = TIME + widths["you"] + RULE

    def show_event(self, event: TranscriptEvent) -> None:
        self.query_one(LanesView).add(event)
        if event.kind == "utterance":
            self.query_one(TypingLine).keep(self.conversation.typed_input.line)

    def show_status(self, status: CycleStatus) -> None:
        parts = (
            f"cycle {status.cycle}",
            ("●" if status.busy else "○") + " speaking",
            ("●" if status.listening else "○") + " listening",
            f"{status.forward_passes} passes",
            f"lag {status.lag:.1f} s",
        )
        state = self.query_one("#state", Static)
        state.update(Text("   ".join(parts)))
        state.set_class(status.lag > 0, "late")

    async def action_quit(self) -> None:
        self._leave()

    def action_scroll(self, where: str) -> None:
        """Scroll the lanes while the input line keeps the keyboard."""
        getattr(self.query_one(LanesView), f"scroll_{where}")(animate=False)

    def _typed(self, line: str) -> None:
        self.conversation.typed_input.typed(line, self._clock.now())

    def _entered(self) -> None:
        now = self._clock.now()
        self.conversation.typed_input.entered(now)
        self.query_one(LanesView).expect(self.conversation.typed_input.unheard, now)

    def _leave(self) -> None:
        self._talk.cancel()  # before the widgets go that it draws on
        self.exit()

    def _end_by(self, ending: signal.Signals) -> None:
        self.failure = SystemExit(128 + ending)
        self._leave()

    async def _converse(self) -> None:
        try:
            await converse(self.conversation, self._clock, self._run_cycle, self)
        except Exception as error:  # shown when the screen is gone, by whoever opened it
            self.failure = error
            self.exit()

    async def _run_cycle(self, heard: Heard) -> CycleResult:
        cycle = self.conversation.system.cycle
        return await asyncio.get_running_loop().run_in_executor(self._thinker, cycle, heard)


def _stay_closed() -> None:
    """Keep Textual from starting its screen again on a terminal that was closed.

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


def run_screen(conversation: Conversation) -> None:
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
