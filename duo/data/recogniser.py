"""What a speech recogniser makes of what was said: case, punctuation, disfluencies.

A model must know a query by what it says and not by how it is written down, so queries and
remarks of one sample go through the same style.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Literal

Case = Literal["written", "lower", "sentence"]
Marks = Literal["written", "none", "periods", "ends"]

#: Case and punctuation of recognisers: transcripts of meetings are lower case with full stops,
#: many engines give bare lower-case words, others write almost as people do.
_STYLES: tuple[tuple[Case, Marks], ...] = (
    ("lower", "none"),
    ("lower", "periods"),
    ("lower", "ends"),
    ("sentence", "none"),
    ("sentence", "periods"),
    ("written", "ends"),
    ("written", "none"),
)
_FILLERS = ("uh", "um", "uh", "um", "er", "you know", "like", "I mean", "well")
_END_MARKS = ".!?。！？…"
_PUNCTUATION = re.compile(
    r"[,;:!?.…。！？，；：、\"“”()\[\]*#_`~|<>]+(?=\s|$)|(?<!\S)[\"“”(\[*#_`~|<>-]+"
)
_LISTED = re.compile(r"(?<!\S)(?:[-*•#>]+|\d+[.)])\s+")


@dataclass(frozen=True)
class Style:
    """How one recogniser writes.

    Attributes:
        case: as written, all lower case, or only the first letter of the text a capital.
        marks: punctuation as written, none, only a full stop at the end, or only the last mark.
        disfluency: chance that an utterance is disfluent.
    """

    case: Case = "written"
    marks: Marks = "written"
    disfluency: float = 0.0

    def apply(self, text: str, random: Random) -> str:
        """The text as this recogniser gives it, on one line, never empty."""
        words = text.split()
        if self.disfluency and random.random() < self.disfluency:
            words = disfluent(words, random)
        said = " ".join(words)
        end = said[-1:] if said[-1:] in _END_MARKS else ""
        if self.marks != "written":
            plain = " ".join(_PUNCTUATION.sub("", _LISTED.sub("", said)).split())
            said = plain or said.strip(_END_MARKS) or said
            said += {"none": "", "periods": "." if end else "", "ends": end}[self.marks]
        if self.case != "written":
            said = said.lower()
        if self.case == "sentence":
            said = re.sub(r"\bi\b(?=$|[ '.,])", "I", said[:1].upper() + said[1:])
        return said


def draw_style(random: Random, *, restyle: float, disfluency: float) -> Style:
    """A recogniser: with chance `restyle` one that does not write as people do."""
    if random.random() >= restyle:
        return Style(disfluency=disfluency)
    case, marks = random.choice(_STYLES)
    return Style(case, marks, disfluency)


def like(text: str, model: str) -> str:
    """The text written as carelessly as another: without capitals or end mark where that is so."""
    if model[:1].islower() and text[1:2].islower():
        text = text[:1].lower() + text[1:]
    if model[-1:].isalnum() and text[-1:] in _END_MARKS:
        text = text[:-1] or text
    return text


def disfluent(words: list[str], random: Random) -> list[str]:
    """The words with one or two hesitations: a filler, a repeated word or start, a cut-off word."""
    words = list(words)
    for _ in range(random.choice((1, 1, 2))):
        place = random.randrange(len(words))
        word = words[place]
        bare = word.strip("\"“”'.,;:!?()")
        kind = random.random()
        if kind < 0.45:
            filler = random.choice(_FILLERS)
            if place == 0:
                words[0] = _lowered(words[0])
                filler = filler.capitalize()
            words.insert(place, filler)
        elif kind < 0.7 and bare.isalpha():
            words.insert(place, bare)
            words[place + 1] = _lowered(words[place + 1]) if place == 0 else words[place + 1]
        elif kind < 0.85 and len(bare) > 3 and bare.isalpha():
            words.insert(place, bare[: random.randint(1, len(bare) - 2)] + "-")
        elif place > 0 and words[place - 1].isalpha():
            words[place:place] = [
                _lowered(words[place - 1]),
                _lowered(word.strip(".,!?;:")) or word,
            ]
    return words


def _lowered(word: str) -> str:
    """A word that no longer begins its sentence."""
    return word if word == "I" or word.startswith("I'") or word.isupper() else word.lower()
