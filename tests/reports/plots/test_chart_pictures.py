"""Pictures of charts: like the references, nothing clipped or overlapping, readable in grey.

To renew the references after a change that is meant, look at what comes out and commit it:

    DUO_RENEW_REFERENCES=1 python -m pytest tests/reports/plots/test_chart_pictures.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from reports.plots.panels import look
from reports.plots.states import DECISIONS
from reports.plots.study import OUTCOMES
from reports.plots.style import (
    COLUMN,
    LIGHT,
    SLIDE,
    TWO_COLUMNS,
    house_style,
    svg_text,
)
from tests.reports.plots.inputs import CHARTS, chart

REFERENCES = Path(__file__).parent / "references"
RENEW = "DUO_RENEW_REFERENCES"
#: Root mean square of the differences of grey values from 0 to 255, of picture and reference made
#: four times smaller: other versions of matplotlib set type a fraction of a pixel aside.
TOLERANCE = 6.0
COMPARED = (
    "preference", "ranking", "confusion", "decisions", "calibration", "latency", "takeover",
    "sweep", "training", "cost",
)  # fmt: skip
#: Those with a layout of their own, which other tests look after.
SCENES = {"mask", "timeline"}
WIDTHS = (COLUMN, TWO_COLUMNS, SLIDE)


def raster(figure: Figure, path: Path) -> Path:
    with house_style():
        figure.savefig(path, dpi=72, metadata={"Software": None})
    with Image.open(path) as picture:
        picture.convert("L").save(path, optimize=True)
    return path


def greys(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        small = picture.convert("L").resize(
            (max(picture.width // 4, 1), max(picture.height // 4, 1)), Image.Resampling.BOX
        )
        return np.asarray(small, dtype=float)


def difference(one: Path, other: Path) -> float:
    a, b = greys(one), greys(other)
    assert a.shape == b.shape
    return float(np.sqrt(((a - b) ** 2).mean()))


@pytest.mark.parametrize("name", COMPARED)
def test_like_the_reference(name: str, tmp_path: Path) -> None:
    reference = REFERENCES / f"{name}.png"
    if os.environ.get(RENEW):
        raster(chart(name).draw(COLUMN), reference)
    drawn = raster(chart(name).draw(COLUMN), tmp_path / "drawn.png")
    assert difference(drawn, reference) < TOLERANCE


def test_the_comparison_can_fail() -> None:
    pairs = combinations(COMPARED, 2)
    same_size = [
        difference(REFERENCES / f"{a}.png", REFERENCES / f"{b}.png")
        for a, b in pairs
        if greys(REFERENCES / f"{a}.png").shape == greys(REFERENCES / f"{b}.png").shape
    ]
    assert all(value > 2 * TOLERANCE for value in same_size)
    assert same_size


def lines_of_type(figure: Figure) -> list[tuple[str, Any]]:
    """Every text that is drawn, with its box in pixels."""
    drawn: list[Text] = []
    original = Text.draw

    def draw(self: Text, renderer: Any) -> None:
        drawn.append(self)
        original(self, renderer)

    canvas = FigureCanvasAgg(figure)
    with house_style(), pytest.MonkeyPatch.context() as patch:
        canvas.draw()  # the layout settles
        patch.setattr(Text, "draw", draw)
        canvas.draw()
        renderer = canvas.get_renderer()
        texts = [text for text in drawn if text.get_visible() and text.get_text().strip()]
        return [(text.get_text(), text.get_window_extent(renderer)) for text in texts]


@pytest.mark.parametrize("name", sorted(set(CHARTS) - SCENES))
@pytest.mark.parametrize("width", WIDTHS)
def test_no_type_is_clipped_or_covered(name: str, width: float) -> None:
    figure = chart(name).draw(width)
    assert figure.get_figwidth() * 72 == pytest.approx(width)
    page = figure.bbox
    lines = lines_of_type(figure)
    assert lines
    for text, box in lines:
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text
    for (one, a), (other, b) in combinations(lines, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Boxes hold room for descenders that a line may not have.
        assert across < 1.5 or down < 2.5, (one, other)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_mask_is_no_wider_than_asked(width: float) -> None:
    assert chart("mask").draw(width).get_figwidth() * 72 <= width + 1e-6


def luminance(role: str) -> float:
    red, green, blue = to_rgb(LIGHT[role])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_series_differ_in_more_than_ink() -> None:
    shapes = [(look(n).marker, look(n).dashes) for n in range(42)]
    assert len(set(shapes)) == len(shapes)
    assert len({look(n).marker for n in range(7)}) == 7
    assert len({look(n).dashes for n in range(6)}) == 6


@pytest.mark.parametrize("fills", [OUTCOMES.values(), DECISIONS.values()])
def test_parts_of_bars_differ_in_more_than_ink(fills: Any) -> None:
    for one, other in combinations(fills, 2):
        apart = abs(luminance(one.paint) - luminance(other.paint))
        assert one.hatch != other.hatch or apart > 0.3
    for fill in fills:
        assert abs(luminance(fill.words) - luminance(fill.paint)) > 0.4


def series_of(axes: Any) -> Iterator[tuple[str, str, str]]:
    for line in axes.get_lines():
        if len(line.get_xdata()) > 1 or line.get_marker() not in ("None", "", None):
            yield line.get_color(), str(line.get_marker()), str(line._dash_pattern)


@pytest.mark.parametrize("name", ["ranking", "takeover", "latency", "sweep", "training", "cost"])
def test_no_two_series_of_a_picture_differ_by_ink_alone(name: str) -> None:
    inks = {look(n).ink for n in range(6)}
    for axes in chart(name).draw(COLUMN).axes:
        shapes: dict[str, set[tuple[str, str]]] = {}
        for ink, marker, dashes in series_of(axes):
            if ink in inks and marker not in ("None", "|", "_"):
                shapes.setdefault(ink, set()).add((marker, dashes))
        for one, other in combinations(shapes.values(), 2):
            assert not one & other


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_svg_is_xml_without_links_or_scripts(name: str) -> None:
    root = ElementTree.fromstring(svg_text(chart(name).draw(COLUMN)))
    for element in root.iter():
        assert not element.tag.endswith(("script", "image", "foreignObject"))
        for key, value in element.attrib.items():
            if key.endswith("href"):
                assert value.startswith("#")


def test_the_confusion_says_every_count() -> None:
    shown = [text for text, _ in lines_of_type(chart("confusion").draw(COLUMN))]
    for row in chart("confusion").table.rows:
        assert str(row[2]) in shown


def test_the_bars_say_their_shares() -> None:
    shown = [text for text, _ in lines_of_type(chart("preference").draw(TWO_COLUMNS))]
    for row in chart("preference").table.rows:
        votes, counts = row[3], row[4:8]
        for count in counts if votes else ():
            share = count / votes  # type: ignore[operator]
            assert share < 0.05 or f"{100 * share:.0f}" in shown
