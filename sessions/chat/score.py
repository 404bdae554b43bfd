"""The lanes on a screen: a scrolling widget that follows the conversation."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from duo.transcript import TranscriptEvent
from sessions.chat.lanes import Cell, Lane, Lanes, Row

#: Columns of "minutes:seconds " before the lanes and of the rule between them.
TIME, RULE = 7, 3
SCROLLBAR = 1


def lane_widths(width: int) -> dict[Lane, int]:
    """Columns of each lane in a score of this width; a system says more than a person types."""
    lanes = max(width - TIME - RULE, 4)
    you = lanes * 2 // 5
    return {"you": you, "system": lanes - you}


class Score(ScrollView, can_focus=False):
    """Draws the lanes of a conversation; what is drawn is text and never markup."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"score--{part}"
        for part in (
            *("time", "rule", "you", "speech", "ghost", "gone"),
            *("respond", "ignore", "mark", "note"),
        )
    }
    DEFAULT_CSS = """
    Score {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-color: $foreground 20%;
    }
    Score > .score--time { color: $foreground 40%; }
    Score > .score--rule { color: $foreground 20%; }
    Score > .score--you { color: $text-primary; }
    Score > .score--speech { color: $foreground; }
    Score > .score--ghost { color: $foreground 40%; text-style: italic; }
    Score > .score--gone { color: $foreground 40%; text-style: strike; }
    Score > .score--respond { color: $background; background: $success; text-style: bold; }
    Score > .score--ignore { color: $background; background: $foreground 50%; text-style: bold; }
    Score > .score--mark { color: $foreground 40%; }
    Score > .score--note { color: $text-warning; text-style: italic; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._events: list[TranscriptEvent] = []
        self._lanes = Lanes(lane_widths(80))
        self._rows: list[Row] = []

    def add(self, event: TranscriptEvent) -> None:
        """Draw one event more."""
        self._events.append(event)
        self._lanes.add(event)
        self._draw()

    def expect(self, text: str, at: float) -> None:
        """Show what may be heard next (see `Lanes.expect`)."""
        self._lanes.expect(text, at)
        self._draw()

    def text(self) -> list[tuple[str, str]]:
        """What the two lanes say, row by row."""
        return [(row.you.text, row.system.text) for row in self._rows]

    def on_resize(self, event: events.Resize) -> None:
        """Lay everything out anew for the new width."""
        self._lanes = Lanes(lane_widths(self.scrollable_content_region.width))
        for past in self._events:
            self._lanes.add(past)
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One row of the score (the line interface of Textual)."""
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
        return self.get_component_rich_style(f"score--{part}")

    def _draw(self) -> None:
        following = self.is_vertical_scroll_end
        self._rows = self._lanes.rows()
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows))
        if following:
            self.scroll_end(animate=False)
        self.refresh()
