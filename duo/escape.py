"""Make anybody's text fit to be shown, and escape it for LaTeX, Markdown and HTML."""

from __future__ import annotations

import html
import re
import unicodedata

_DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}", "±": r"$\pm$", "−": "$-$",
    "×": r"$\times$", "†": r"$\dagger$", "‡": r"$\ddagger$", "§": r"\S{}", "–": r"\textendash{}",
    "—": r"\textemdash{}", "…": r"\dots{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}",
}  # fmt: skip
_LIGATURES = "-',"  # two of them would be set as another character
_AFTER_A_ROW = re.compile(r"^(\s*)([\[*])")  # would belong to the line break before it
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&!^])")
_MARKDOWN_BLOCK = re.compile(r"^(\d{0,9})([-+=.)])")  # at the start of a line: a list, a heading


def clean(text: str, *, lines: bool = False) -> str:
    """Make text fit to be shown: blanks of every kind become plain, other controls `\\ufffd`.

    Controls, lone surrogates and marks of writing direction could break a file or disguise what
    was said.

    Args:
        lines: let line breaks and tabs through.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        c if c in kept else " " if c.isspace() else "\ufffd" if _is_control(c) else c for c in text
    )


def visible(text: str) -> str:
    """Make text fit for a picture: clean, and without characters that have no width.

    Among these are the marks of writing direction that `clean` keeps, which could set the numbers
    beside a name in another order.
    """
    return "".join(c for c in clean(text) if unicodedata.category(c) != "Cf")


def escape_latex(text: str) -> str:
    """Escape text so that LaTeX sets it as it is, whatever it holds.

    Letters beyond Western European ones become their code points: no font has them all, and a
    document that does not compile shows nothing.
    """
    written, last = [], ""
    for character in clean(text):
        if character == last and character in _LIGATURES:
            written.append("{}")
        written.append(_latex(character))
        last = character
    return _AFTER_A_ROW.sub(r"\1{\2}", "".join(written))


def escape_markdown(text: str) -> str:
    """Escape text so that Markdown shows it as it is: no markup, no HTML, no further column."""
    return _MARKDOWN.sub(r"\\\1", clean(text))


def escape_markdown_block(text: str) -> str:
    """Escape a text that begins a line, which could be a list or a heading."""
    return _MARKDOWN_BLOCK.sub(r"\1\\\2", escape_markdown(text).strip())


def escape_html(text: str) -> str:
    """Escape text so that a browser shows it as it is, in an element or an attribute."""
    return html.escape(clean(text))


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii() or ("À" <= character <= "ÿ" and character.isalpha()):
        return character
    return f"[U+{ord(character):04X}]"


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") or (
        unicodedata.bidirectional(character) in _DIRECTIONS
    )
