"""The picture of a mask shows what the decoder's own rule says."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from duo.decoding.mask import fork_mask
from reports.plots.mask import draw_fork
from reports.plots.style import DESK, LIGHT, save, svg_text

PREFIX, OUTPUT, INPUT = ["What", " is", " it", "?"], [" It", " is", " a"], ["\n", "user", "<1>"]


def squares(figure: Figure) -> list[list[str]]:
    """The colours of the squares, row by row."""
    (axes,) = figure.axes
    mesh = next(artist for artist in axes.get_children() if isinstance(artist, QuadMesh))
    colors = mesh.get_array()
    assert colors is not None
    return [[to_hex(color) for color in row] for row in colors]


@pytest.mark.parametrize("sizes", [(4, 2, 3), (1, 0, 1), (3, 5, 0), (20, 8, 12)])
def test_filled_squares_are_the_mask_in_the_colours_of_the_keys_channels(
    sizes: tuple[int, int, int],
) -> None:
    prefix, output, heard = sizes
    figure = draw_fork(["p"] * prefix, ["o"] * output, ["i"] * heard)
    color = [LIGHT["faint"]] * prefix + [LIGHT["speech"]] * output + [LIGHT["query"]] * heard
    mask = fork_mask(prefix, output, heard).tolist()
    assert squares(figure) == [
        [color[key] if seen else LIGHT["paper"] for key, seen in enumerate(row)] for row in mask
    ]


def test_tokens_are_labels_with_their_blanks_visible() -> None:
    svg = svg_text(draw_fork(PREFIX, OUTPUT, INPUT))
    for label in ("What", "␣is", "↵", "user", "&lt;1&gt;", "prefix", "output", "input"):
        assert f">{label}</text>" in svg


def test_hostile_tokens_and_many_tokens(tmp_path: Path) -> None:
    hostile = ["<script>", "$\\frac", "\x1b[31m", "你" * 40, ""]
    figure = draw_fork(hostile * 30, [], [])
    assert figure.get_size_inches()[0] * 72 <= DESK + 1
    save(figure, tmp_path / "a.png")
    assert "<script>" not in svg_text(draw_fork(hostile, [], []))


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_same_bytes_twice(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        save(draw_fork(PREFIX, OUTPUT, INPUT), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
