"""Define how every figure looks (colours, type, widths) and write figures to files and pages.

Colours of speakers are those of `duo.palette`, the others follow the same rules; no
meaning rests on colour alone, so a figure survives a grey printer. Words in an SVG stay words, so
that a browser sets any script and a reader can search them; a PDF embeds its fonts as TrueType.
The same figure gives the same bytes: nothing written here holds a date or a random name.
"""

from __future__ import annotations

import io
import logging
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from duo import palette
from duo.files import whole_file
from duo.terminal import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Widths in points (1/72 inch): one and two columns of a paper; a picture that fills a slide when
#: it is enlarged two and a half times, which makes its type as large as a slide needs; the page on
#: a phone and on a desk.
COLUMN, TWO_COLUMNS, SLIDE = 252.0, 516.0, 384.0
PHONE, DESK = 228.0, 720.0

#: Sizes of type in points: headings, running words, labels.
HEADING, BODY, LABEL = 9.5, 8.0, 6.5

#: What a colour is for, on white paper and on a dark screen. Every value is used once, so that it
#: names its role.
_ROLES = {
    "paper": ("#ffffff", "#15181c"),
    "ink": ("#1c1e21", "#e8eaed"),
    "soft": ("#5d6570", "#aab2bd"),
    "faint": ("#767c86", "#949ca8"),
    "rule": ("#c5cbd3", "#4a525d"),
    "grid": ("#eceff2", "#23282f"),
    "query": (palette.LIGHT["person"], palette.DARK["person"]),
    "query-tint": (palette.LIGHT["person-tint"], palette.DARK["person-tint"]),
    "remark": ("#4a7592", "#9dbfd6"),
    "remark-tint": ("#eff5fa", "#1b2832"),
    "speech": (palette.LIGHT["assistant"], palette.DARK["assistant"]),
    "speech-tint": (palette.LIGHT["assistant-tint"], palette.DARK["assistant-tint"]),
    "cut": (palette.LIGHT["cut"], palette.DARK["cut"]),
    "overlap": (palette.LIGHT["both"], palette.DARK["both"]),
    "respond": ("#00664c", "#57cfa6"),
    "ignore": ("#7d3c8c", "#d7a3e6"),
    "other": ("#76601a", "#d8bd68"),
    "on-mark": ("#fefefe", "#0f1215"),
}
LIGHT = {role: light for role, (light, _) in _ROLES.items()}
DARK = {role: dark for role, (_, dark) in _ROLES.items()}

#: The first is part of matplotlib and is what text is measured with. An SVG names all of them, for
#: whoever looks at it; in a PDF or PNG other fonts come in where the first lacks a character.
FAMILIES = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Noto Sans",
)  # fmt: skip

_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "duo",
    "pdf.fonttype": 42,
    "figure.constrained_layout.hspace": 0,
    "figure.facecolor": LIGHT["paper"],
    "savefig.facecolor": LIGHT["paper"],
    "axes.facecolor": LIGHT["paper"],
    "axes.edgecolor": LIGHT["soft"],
    "axes.labelcolor": LIGHT["soft"],
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": HEADING,
    "axes.labelsize": LABEL,
    "axes.unicode_minus": False,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # a dollar sign in an answer is a dollar sign
    "text.usetex": False,
    "xtick.color": LIGHT["soft"],
    "ytick.color": LIGHT["soft"],
    "xtick.labelsize": LABEL,
    "ytick.labelsize": LABEL,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
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
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}

#: Packages with fonts, by the first character that each is for.
_PACKAGES = (
    (0x20000, "fonts-noto-cjk"),
    (0x1F000, "fonts-symbola"),
    (0x10000, "fonts-noto-core"),
    (0xF900, "fonts-noto-cjk"),
    (0xE000, "fonts-noto-core"),
    (0x2E80, "fonts-noto-cjk"),
    (0, "fonts-noto-core"),
)
#: Categories of characters that need no glyph of their own.
_UNSEEN = ("Cc", "Cf", "Cs", "Mn", "Zs")
#: Parts of names of fonts that are of no use: coloured glyphs are pictures, which matplotlib cannot
#: draw, and a font of last resort has boxes for whatever it is asked.
_NO_FONTS = ("color", "last resort", "lastresort")
_REGULAR = (400, "normal", "regular")  # weights
_NAMED = 8  # characters that a message about missing ones names

_ROLE_OF = {value: role for role, value in LIGHT.items()}
_COLOR = re.compile(r"#[0-9a-f]{6}\b")
_FAMILY = re.compile(r"font-family:[^;]*;?\s*")
_REFERENCE = re.compile(r"url\(#")


@contextmanager
def house_style(families: Iterable[str] = FAMILIES[:1]) -> Iterator[None]:
    """Draw in the house style, whatever the user's matplotlib settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # rcdefaults keeps the backend, which does not matter here: figures go to files.
        matplotlib.rcParams.update({**_RC, "font.family": list(families)})
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all, in the form that the suffix says: .svg, .pdf or .png.

    A character that no installed font has is an empty box in PDF and PNG; standard error says once
    which these are and what to install.

    Raises:
        BadInput: the folder cannot be written.
    """
    with whole_file(path, "wb") as stream:
        _render(figure, stream, path.suffix.lower()[1:])


def svg_text(figure: Figure) -> str:
    """Return the figure as SVG, as `save` would write it."""
    stream = io.StringIO()
    _render(figure, stream, "svg")
    return stream.getvalue()


def _render(figure: Figure, stream: Any, form: str) -> None:
    from matplotlib.text import Text

    texts = figure.findobj(Text)
    families = FAMILIES if form == "svg" else fonts_for("".join(t.get_text() for t in texts))
    dpi = min(_PNG_DPI, _PNG_SIDE / max(figure.get_size_inches()))
    with house_style(families), _without_font_warnings():
        for text in texts:
            text.set(fontfamily=list(families))
        figure.savefig(stream, format=form, dpi=dpi, metadata=_UNDATED[form])


def fonts_for(text: str) -> tuple[str, ...]:
    """Return the font families that can show a text together, the house's first.

    Characters that no installed font has are named on standard error, each once.
    """
    families = [FAMILIES[0]]
    left = {c for c in text if unicodedata.category(c) not in _UNSEEN} - _characters(FAMILIES[0])
    for family in _installed() if left else ():
        if found := left & _characters(family):
            families.append(family)
            left -= found
    _report_missing(left)
    return tuple(families)


@cache
def _installed() -> dict[str, str]:
    """Find the file of each installed family, those of `FAMILIES` first."""
    from matplotlib.font_manager import fontManager

    order = {family: number for number, family in enumerate(FAMILIES)}
    fonts = sorted(
        (
            order.get(font.name, 99),
            font.name,
            font.style != "normal",
            font.weight not in _REGULAR,
            font.fname,
        )
        for font in fontManager.ttflist
        if not any(part in font.name.casefold() for part in _NO_FONTS)
    )
    return {name: next(files)[-1] for name, files in groupby(fonts, key=lambda font: font[1])}


@cache
def _characters(family: str) -> frozenset[str]:
    """Read which characters a family has glyphs for."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(_installed()[family])
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (OSError, RuntimeError):  # a font that matplotlib cannot load
        return frozenset()


_reported: set[str] = set()


def _report_missing(characters: set[str]) -> None:
    fresh = sorted(characters - _reported)
    if not fresh:
        return
    _reported.update(fresh)
    packages = sorted({next(p for first, p in _PACKAGES if ord(c) >= first) for c in fresh})
    named = ", ".join(f"{printable(c)} (U+{ord(c):04X})" for c in fresh[:_NAMED])
    more = f" and {len(fresh) - _NAMED} more" if len(fresh) > _NAMED else ""
    print(
        f"No installed font has {named}{more}: PDF and PNG show boxes there. "
        f"On Debian or Ubuntu install {', '.join(packages)}.",
        file=sys.stderr,
    )


@contextmanager
def _without_font_warnings() -> Iterator[None]:
    """Silence what matplotlib says of each family and each character that it does not have."""
    log = logging.getLogger("matplotlib.font_manager")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font", append=False)
            yield
    finally:
        log.setLevel(before)


def inline_svg(svg: str, *, prefix: str, label: str, css_class: str = "") -> Markup:
    """Make an SVG file's text fit to stand inside HTML.

    Colours of the house style become CSS variables (`palette_css` sets them), families are left to
    the page, names of parts get a prefix so that two figures in a page do not meet, and what only
    matters to a file (metadata, style sheet, size) goes.

    Args:
        prefix: letters, unique in the page.
        label: what the picture shows, for those who cannot see it.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _bare(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _bare(element.tag)
        element.attrib = {
            _bare(name): _page_value(_bare(name), value, prefix)
            for name, value in element.attrib.items()
        }
    box = root.attrib["viewBox"]
    root.attrib = {"viewBox": box, "class": css_class, "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def palette_css(dark: bool = False) -> str:
    """Return the house style's colours as CSS declarations."""
    return " ".join(f"--fig-{role}: {value};" for role, value in (DARK if dark else LIGHT).items())


def _bare(name: str) -> str:
    return name.rpartition("}")[2]


def _page_value(name: str, value: str, prefix: str) -> str:
    match name:
        case "id":
            return f"{prefix}-{value}"
        case "href":
            return value.replace("#", f"#{prefix}-", 1)
        case "style":
            value = _FAMILY.sub("", value)
            value = _COLOR.sub(_as_variable, value)
    return _REFERENCE.sub(f"url(#{prefix}-", value)


def _as_variable(found: re.Match[str]) -> str:
    role = _ROLE_OF.get(found.group())
    return f"var(--fig-{role})" if role else found.group()
