"""How series are told apart: shape, line and ink together, so that a grey print still does."""

from __future__ import annotations

from typing import Any, NamedTuple

from reports.figures.style import LIGHT

_INKS = ("query", "speech", "ignore", "respond", "cut", "remark")
_MARKERS = "osD^vPX"
#: Lengths of strokes and gaps in widths of the line; none for an unbroken one.
_DASHES: tuple[tuple[float, ...], ...] = (
    (), (4, 1.5), (1, 1.2), (6, 1.5, 1, 1.5), (3, 1, 1, 1, 1, 1), (8, 2),
)  # fmt: skip


class Look(NamedTuple):
    """A series' ink, shape and line."""

    ink: str
    marker: str
    dashes: tuple[float, ...]

    @property
    def linestyle(self) -> Any:
        """As matplotlib wants it."""
        return (0, self.dashes) if self.dashes else "solid"


class Fill(NamedTuple):
    """A bar's part: paint, hatch and the ink of both hatch and words, as roles of the style."""

    paint: str
    hatch: str
    ink: str
    words: str = "ink"


def look(number: int) -> Look:
    """The look of a series; the first 42 differ in shape and line, whatever the ink."""
    return Look(
        LIGHT[_INKS[number % len(_INKS)]],
        _MARKERS[number % len(_MARKERS)],
        _DASHES[number % len(_DASHES)],
    )
