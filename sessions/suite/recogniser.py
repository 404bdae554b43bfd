"""How the recogniser of a scenario writes down what is said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any, Literal

from duo.data.english import Style as Writing

Recogniser = Literal["written", "unpunctuated", "lower", "revised"]
#: As people write; without marks; in lower case without marks; as people write, but with a word
#: that is first misheard and corrected while the user goes on.
RECOGNISERS: tuple[Recogniser, ...] = ("written", "unpunctuated", "lower", "revised")

_WRITINGS = {
    "written": Writing(),
    "unpunctuated": Writing("written", "none"),
    "lower": Writing("lower", "none"),
    "revised": Writing(),
}
#: Seconds after its end at which a misheard word is corrected.
_DELAY = 0.3
#: So many words of a stretch follow a misheard word where there is room, so that the correction
#: comes while the user is speaking and not into a silence.
_ROOM = 4

#: A word of so many letters may be heard in part.
_LONG = 5

#: What common words are taken for.
_PAIRS = """
a/the ah/are aye/I be/bee bee/be boy/buoy by/buy dear/deer end/and flour/flower for/four
gee/key ha/her here/hear hm/him hour/our how/hue huh/her i/eye in/inn is/as it/eat know/no
made/maid may/made mhm/him mm/um my/mine need/knead neat/meet new/knew nice/niece
night/knight no/know of/off oh/owe one/won ooh/who our/hour rain/reign read/red
right/write sea/see so/sew some/sum stop/shop sure/shore tea/tee than/then that/hat
the/a there/their to/two true/threw was/what way/weigh week/weak well/we'll what/watt
when/one which/witch whoa/woe whole/hole why/wide wow/while would/wood yeah/year
yes/guess you/ewe yup/up
"""
_SOUNDS_LIKE = dict(pair.split("/") for pair in _PAIRS.split())
_LETTERS = re.compile(r"[^\W\d_][\w'’]*")


def heard_as(stretches: Sequence[str], recogniser: Recogniser, random: Random) -> dict[str, Any]:
    """The fields `say` and `revisions` of an utterance, all stretches of speech in one writing.

    Args:
        stretches: what is said, cut where the user pauses.
        recogniser: who writes it down.
        random: drawn from if a word is misheard.
    """
    writing = _WRITINGS[recogniser]
    texts = [writing.apply(stretch, random) for stretch in stretches]
    if recogniser != "revised":
        return {"say": texts}
    before, place = _misheard_word(texts, random)
    words = [text.split() for text in texts]
    corrected = " ".join([word for stretch in words for word in stretch][: place + 1])
    heard, inside = next(
        (stretch, place - first)
        for stretch, first in zip(words, before, strict=True)
        if place - first < len(stretch)
    )
    heard[inside] = misheard(heard[inside])
    return {
        "say": [" ".join(stretch) for stretch in words],
        "revisions": [{"after_words": place + 1, "text": corrected, "delay": _DELAY}],
    }


def misheard(word: str) -> str:
    """What a word is taken for at first: one that sounds like it, or else its own beginning.

    >>> misheard("Which"), misheard("greenhouse,")
    ('Witch', 'green,')
    """
    found = _LETTERS.search(word)
    if found is None:
        return f"{word}-"
    plain = found[0]
    beginning = plain[: (len(plain) + 1) // 2]
    wrong = _SOUNDS_LIKE.get(plain.lower()) or (beginning if beginning != plain else "uh")
    if plain[:1].isupper():
        wrong = wrong[:1].upper() + wrong[1:]
    return word[: found.start()] + wrong + word[found.end() :]


def _misheard_word(texts: Sequence[str], random: Random) -> tuple[list[int], int]:
    """How many words stand before each stretch, and which word of all is misheard."""
    words = [word for text in texts for word in text.split()]
    counts = [len(text.split()) for text in texts]
    before = [sum(counts[:place]) for place in range(len(counts))]
    roomy = [
        first + place
        for first, count in zip(before, counts, strict=True)
        for place in range(count - _ROOM)
    ]
    places = roomy or list(range(counts[0]))
    places = [place for place in places if _is_easily_misheard(words[place])] or places
    return before, places[int(random.random() * len(places))]


def _is_easily_misheard(word: str) -> bool:
    found = _LETTERS.search(word)
    return found is not None and (found[0].lower() in _SOUNDS_LIKE or len(found[0]) >= _LONG)
