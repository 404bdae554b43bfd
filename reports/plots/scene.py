"""Describe a picture as plain data, and paint it.

A layout makes a `Scene`: rectangles, strokes and lines of type, each with its place in points from
the upper left corner and a colour's role. So what overlaps what can be reasoned about, and tested,
without drawing anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from reports.plots.style import BODY, LIGHT, house_style
from reports.plots.typeset import ASCENT, DESCENT, Weight, width

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch


@dataclass(frozen=True)
class Rect:
    """A box; `dashed` and `hatch` say in grey what a colour says in colour."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None = None
    edge: str | None = None
    radius: float = 0.0
    dashed: bool = False
    hatch: bool = False
    layer: int = 1


@dataclass(frozen=True)
class Stroke:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    color: str
    width: float = 0.6
    arrow: bool = False
    layer: int = 2


@dataclass(frozen=True)
class Dot:
    """A small sign at a moment: "o" a circle, "s" a square."""

    x: float
    y: float
    size: float
    color: str
    filled: bool = True
    sign: Literal["o", "s"] = "o"


@dataclass(frozen=True)
class Line:
    """A line of type; its baseline begins at `(x, y)`. `ground` hides what is behind it."""

    x: float
    y: float
    text: str
    size: float = BODY
    color: str = "ink"
    weight: Weight = "normal"
    italic: bool = False
    ground: bool = False

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom in points."""
        return (
            self.x,
            self.y - ASCENT * self.size,
            self.x + width(self.text, self.size, self.weight),
            self.y + DESCENT * self.size,
        )


Item = Rect | Stroke | Dot | Line


def moved(item: Item, x: float, y: float) -> Item:
    """Move an item by `x` points to the right and `y` down."""
    if isinstance(item, Stroke):
        return replace(item, points=tuple((a + x, b + y) for a, b in item.points))
    return replace(item, x=item.x + x, y=item.y + y)


@dataclass
class Scene:
    """All that a picture shows. Sizes are points."""

    width: float
    height: float = 0.0
    items: list[Item] = field(default_factory=list)

    def add(self, *items: Item) -> None:
        """Add to the picture; what has the higher layer, then what comes later, is on top."""
        self.items += items

    @property
    def lines(self) -> list[Line]:
        """Return the lines of type."""
        return [item for item in self.items if isinstance(item, Line)]


def paint(scene: Scene) -> Figure:
    """Make a matplotlib figure of the scene, of its size."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(scene.width / 72, scene.height / 72))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
        axes.axis("off")
        for item in scene.items:
            axes.add_artist(_artist(item))
    return figure


def _artist(item: Item) -> Artist:
    from matplotlib.lines import Line2D
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.text import Text

    match item:
        case Rect():
            return _patch(item)
        case Stroke(points, color, width, arrow=True):
            return FancyArrowPatch(
                points[0], points[-1], arrowstyle="<->", mutation_scale=4, shrinkA=0, shrinkB=0,
                color=LIGHT[color], linewidth=width, zorder=item.layer,
            )  # fmt: skip
        case Stroke(points, color, width):
            return Line2D(
                *zip(*points, strict=True), color=LIGHT[color], linewidth=width, zorder=item.layer,
                solid_capstyle="butt",
            )  # fmt: skip
        case Dot():
            color = LIGHT[item.color]
            return Line2D(
                [item.x], [item.y], marker=item.sign, markersize=item.size, linestyle="none",
                zorder=4, markeredgecolor=color, markeredgewidth=0.9,
                markerfacecolor=color if item.filled else LIGHT["paper"],
            )  # fmt: skip
        case Line():
            ground = {"facecolor": LIGHT["paper"], "edgecolor": "none", "pad": 0.7}
            return Text(
                item.x, item.y, item.text, color=LIGHT[item.color], fontsize=item.size,
                fontweight=item.weight, fontstyle="italic" if item.italic else "normal",
                zorder=5, bbox=ground if item.ground else None,
            )  # fmt: skip


def _patch(rect: Rect) -> Patch:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    look: dict[str, Any] = {
        "facecolor": LIGHT[rect.fill] if rect.fill else "none",
        "edgecolor": LIGHT[rect.edge] if rect.edge else "none",
        "linewidth": 0.7 if rect.edge and not rect.hatch else 0.0,
        "linestyle": (0, (2.2, 1.4)) if rect.dashed else "solid",
        "hatch": "\\\\\\\\\\\\" if rect.hatch else None,
        "zorder": rect.layer,
    }
    corner = (rect.x, rect.y)
    radius = min(rect.radius, rect.width / 2, rect.height / 2)
    if radius <= 0:
        return Rectangle(corner, rect.width, rect.height, **look)
    shape = f"round,pad=0,rounding_size={radius:g}"
    return FancyBboxPatch(corner, rect.width, rect.height, boxstyle=shape, **look)
