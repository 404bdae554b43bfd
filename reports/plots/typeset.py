"""Measure type, break it into lines and cut it short.

Widths come from the font that is part of matplotlib, so that a layout is the same on every machine.
What that font lacks is taken as one em, as Chinese, Japanese and Korean characters are in every
font. Other fonts that a browser may take instead are narrower, so what fits here fits there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

Weight = Literal["normal", "bold"]

ELLIPSIS = "…"
#: Height of a line above and below its baseline, in parts of the size of type.
ASCENT, DESCENT = 0.78, 0.24


def width(text: str, size: float, weight: Weight = "normal") -> float:
    """Measure a line, in points."""
    return size * sum(_advance(character, weight) for character in text)


def fit(text: str, limit: float, size: float, weight: Weight = "normal") -> str:
    """Replace the end of a text by `…` if it is wider than `limit` points."""
    if width(text, size, weight) <= limit:
        return text
    head = _head(text, limit - width(ELLIPSIS, size, weight), size, weight)
    return text[:head].rstrip() + ELLIPSIS


def fit_end(text: str, limit: float, size: float) -> str:
    """Replace the beginning of a text by `…` if it is wider than `limit` points."""
    return fit(text[::-1], limit, size)[::-1]


def wrap(pieces: Sequence[str], limit: float, size: float) -> list[str]:
    """Break into lines of `limit` points at most; a wider piece breaks wherever it must."""
    lines: list[str] = []
    line = ""
    for piece in pieces:
        if width((line + piece).strip(), size) <= limit:
            line += piece
            continue
        if line.strip():
            lines.append(line.strip())
        line = piece.lstrip()
        while width(line, size) > limit and len(line) > 1:
            head = max(1, _head(line, limit, size))
            lines.append(line[:head])
            line = line[head:]
    if line.strip():
        lines.append(line.strip())
    return lines


def _head(text: str, limit: float, size: float, weight: Weight = "normal") -> int:
    """Count the characters that fit."""
    used = 0.0
    for number, character in enumerate(text):
        used += size * _advance(character, weight)
        if used > limit:
            return number
    return len(text)


@cache
def _advance(character: str, weight: Weight) -> float:
    """Measure a character, in ems."""
    if unicodedata.combining(character) or unicodedata.category(character) == "Mn":
        return 0.0
    widths = _widths(weight)
    if ord(character) in widths:
        return widths[ord(character)]
    # Pictograms are wider than an em in the common fonts.
    return 1.3 if ord(character) >= 0x1F000 else 1.0


@cache
def _widths(weight: Weight) -> dict[int, float]:
    """Read the width in ems of every character that the font has."""
    import matplotlib
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    name = "DejaVuSans-Bold.ttf" if weight == "bold" else "DejaVuSans.ttf"
    with TTFont(Path(matplotlib.get_data_path(), "fonts", "ttf", name), lazy=True) as font:
        advances, em = font["hmtx"].metrics, font["head"].unitsPerEm
        return {code: advances[glyph][0] / em for code, glyph in font.getBestCmap().items()}
