"""Text of others on a terminal: shown, never obeyed."""

from __future__ import annotations


def printable(text: str, *, lines: bool = False) -> str:
    """Text in which whatever a terminal would act on is written as an escape.

    Args:
        text: anybody's.
        lines: let line breaks through, and tabs as blanks.
    """
    if lines:
        text = text.replace("\t", "    ")
    return "".join(
        character
        if character.isprintable() or (lines and character == "\n")
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )
