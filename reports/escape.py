"""Text that others chose, made harmless for a spreadsheet, for LaTeX and for Markdown."""

from __future__ import annotations

import re
import unicodedata

from duo.table import clean

#: A spreadsheet would run text that begins so: an apostrophe goes before it. A sign before a
#: letter, as in `+Duo`, would be run too.
_FORMULA = re.compile(r"^['\s]*[=+\-@]")

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "-": "{-}", "[": "{[}", "]": "{]}",
    ",": "{,}", "!": "{!}", "?": "{?}", "*": r"$\ast$", "±": r"$\pm$", "−": r"$-$", "–": "--",
    "†": r"$\dagger$", "‡": r"$\ddagger$",
}  # fmt: skip

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&!^])")


def csv_cell(value: object) -> object:
    """A CSV cell: None is empty, text cannot become a formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    value = clean(value)
    # What has no width could hide how a cell begins.
    return f"'{value}" if _FORMULA.match(visible(value)) else value


def latex(text: str) -> str:
    """Text that LaTeX sets as it is, whatever it holds.

    Letters beyond Western European ones become their code points: no font has them all, and a
    document that does not compile shows nothing.
    """
    return "".join(map(_latex, clean(text)))


def markdown(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no further column."""
    return _MARKDOWN.sub(r"\\\1", clean(text))


def visible(text: str) -> str:
    """Text for a picture: clean, and without characters that have no width.

    Among these are the marks of writing direction that `clean` keeps, which could set the numbers
    beside a name in another order.
    """
    return "".join(c for c in clean(text) if unicodedata.category(c) != "Cf")


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii() or ("À" <= character <= "ÿ" and character.isalpha()):
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"
