"""Spell a text as recognisers do: as written, without marks, or without case and marks."""

from __future__ import annotations

import re
from typing import Literal, get_args

Spelling = Literal["written", "unpunctuated", "lower"]
SPELLINGS: tuple[Spelling, ...] = get_args(Spelling)

#: Characters of Chinese and Japanese, as a range of a regular expression.
HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
HAN += "\U00020000-\U0003ffff"

END_MARKS = ".!?。！？…"
_WIDE = "。，、；：！？「」『』《》〈〉（）【】〔〕～"
_BETWEEN_HAN = re.compile(rf"(?<=[{HAN}])[{_WIDE}…“”]+(?=[{HAN}])")
# A mark inside a word, as in "3.5", "o'clock" or "7:45", is part of it.
_MARKS = re.compile(rf"[{_WIDE}]+|[,;:!?.…\"“”()\[\]*#_`~|<>]+(?=\s|$)|(?<!\S)[\"“”(\[*#_`~|<>-]+")
_LIST_MARK = re.compile(r"(?<!\S)(?:[-*•#>]+|\d+[.)])\s+")


def spell(text: str, spelling: Spelling) -> str:
    """Spell a text that is as written, on one line; a text of marks alone keeps them.

    >>> spell("Well, is it 7:45? (Yes.)", "lower"), spell("你好，请问几点？", "unpunctuated")
    ('well is it 7:45 yes', '你好请问几点')
    """
    if spelling == "written":
        return text
    text = " ".join(text.split())
    bare = _BETWEEN_HAN.sub("", _LIST_MARK.sub("", text))
    bare = " ".join(_MARKS.sub(" ", bare).split())
    bare = bare or text.strip(END_MARKS).strip() or text
    return bare.lower() if spelling == "lower" else bare


def spelling_of(text: str) -> Spelling:
    """Find how a text is spelled, best a long one; that of a script without case may be "lower"."""
    if spell(text, "unpunctuated") != " ".join(text.split()):
        return "written"
    return "lower" if text == text.lower() else "unpunctuated"
