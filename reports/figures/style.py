"""The house style of every figure: colours, type, sizes, and how a figure becomes a file.

Colours follow Okabe and Ito's palette for colour-blind readers, darkened where they carry text; no
meaning rests on colour alone, so a figure survives a grey printer. Words in an SVG stay words, so
that a browser sets any script and a reader can search them; a PDF embeds its fonts as TrueType.
The same figure gives the same bytes: nothing written here holds a date or a random name.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duo.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Width in points (1/72 inch) of one and of two columns of a paper, and of the page on a phone and
#: on a desk.
COLUMN, TWO_COLUMNS, PHONE, DESK = 252.0, 516.0, 228.0, 720.0

#: Sizes of type in points: headings, running words, labels.
HEADING, BODY, LABEL = 9.5, 8.0, 6.5

#: What a colour is for, on white paper. Every value is used once, so that it names its role.
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1c1e21",
    "soft": "#5d6570",
    "faint": "#767c86",
    "rule": "#c5cbd3",
    "grid": "#eceff2",
    "query": "#00659e",
    "query-tint": "#d3e7f5",
    "remark": "#76601a",
    "remark-tint": "#f4eed9",
    "speech": "#9c5200",
    "speech-tint": "#fde4c3",
    "cut": "#a8123d",
    "forgotten": "#e6bb85",
    "overlap": "#d55e00",
    "respond": "#00664c",
    "ignore": "#7d3c8c",
    "on-mark": "#fefefe",
}

#: The same roles on a dark screen.
DARK = {
    "paper": "#15181c",
    "ink": "#e8eaed",
    "soft": "#aab2bd",
    "faint": "#949ca8",
    "rule": "#4a525d",
    "grid": "#23282f",
    "query": "#74bdee",
    "query-tint": "#12364f",
    "remark": "#d8bd68",
    "remark-tint": "#39321a",
    "speech": "#f3ae62",
    "speech-tint": "#4b3114",
    "cut": "#ff8aa3",
    "forgotten": "#7d5526",
    "overlap": "#f0853a",
    "respond": "#57cfa6",
    "ignore": "#d7a3e6",
    "on-mark": "#0f1215",
}

#: The first is part of matplotlib and is what text is measured with; the others come in where it
#: has no sign for a character, on whichever system has them.
FAMILIES = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Noto Sans",
)

_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "duo",
    "pdf.fonttype": 42,
    "figure.facecolor": LIGHT["paper"],
    "savefig.facecolor": LIGHT["paper"],
    "axes.facecolor": LIGHT["paper"],
    "axes.edgecolor": LIGHT["soft"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.linewidth": 0.6,
    "axes.titlesize": HEADING,
    "axes.labelsize": BODY,
    "axes.unicode_minus": False,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # a dollar sign in an answer is a dollar sign
    "text.usetex": False,
    "xtick.color": LIGHT["soft"],
    "ytick.color": LIGHT["soft"],
    "xtick.labelsize": LABEL,
    "ytick.labelsize": LABEL,
    "legend.fontsize": LABEL,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.6,
    "path.simplify": False,
    "font.size": BODY,
    "font.sans-serif": list(FAMILIES),
}

_PNG_DPI = 200
_PNG_SIDE = 32_000  # pixels: a very long conversation is drawn coarser rather than not at all

_UNDATED: dict[str, dict[str, Any]] = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
}


@contextmanager
def house_style(families: Iterable[str] = FAMILIES) -> Iterator[None]:
    """Draw in the house style, whatever the user's matplotlib settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # rcdefaults keeps the backend, which is nobody's business here: figures go to files.
        matplotlib.rcParams.update({**_RC, "font.family": list(families)})
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all, in the form that the suffix says: .svg, .pdf or .png.

    A character that no installed font can show is an empty box in PDF and PNG.

    Raises:
        BadInput: the folder cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    # An SVG names all families, whoever has them; elsewhere only those that are here can be drawn.
    families = FAMILIES if kind == ".svg" else installed_families()
    dpi = min(_PNG_DPI, _PNG_SIDE / max(figure.get_size_inches()))
    with house_style(families), _missing_fonts_are_no_news(), whole_file(path, "wb") as stream:
        _set_families(figure, families)
        figure.savefig(stream, format=kind[1:], dpi=dpi, metadata=_UNDATED[kind])


def svg_text(figure: Figure) -> str:
    """The figure as SVG, as `save` would write it."""
    import io

    stream = io.StringIO()
    with house_style(), _missing_fonts_are_no_news():
        _set_families(figure, FAMILIES)
        figure.savefig(stream, format="svg", metadata=_UNDATED[".svg"])
    return stream.getvalue()


@cache
def installed_families() -> tuple[str, ...]:
    """Those of `FAMILIES` that this machine has; the first always is."""
    from matplotlib import font_manager

    here = set(font_manager.get_font_names())
    return tuple(name for name in FAMILIES if name in here)


def _set_families(figure: Figure, families: Iterable[str]) -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set(fontfamily=list(families))


@contextmanager
def _missing_fonts_are_no_news() -> Iterator[None]:
    """Hush what matplotlib says of each family and each character that it has not got."""
    log = logging.getLogger("matplotlib.font_manager")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font", append=False)
            yield
    finally:
        log.setLevel(before)
