"""Writers of non-query turns, and the one that needs nothing but the dialogues themselves.

A writer is asked for the text of a turn that is to be ignored, given what was said before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from duo.data.dialogue import Turn
from duo.data.phrases import GRAMMAR
from duo.data.requests import asks, sentences
from duo.data.topics import repeatable, topics

#: Kinds of turns that call for no answer, with the weight that each has unless told otherwise.
#: `remark` is what the paper inserts; a writer other than `extractive` writes these.
MIX: dict[str, float] = {
    "backchannel": 6.0,
    "acknowledgement": 3.0,
    "remark": 3.0,
    "statement": 3.0,
    "story": 2.0,
    "self_talk": 2.0,
    "muttering": 1.0,
    "third_party_talk": 2.5,
    "third_party_question": 1.5,
    "background": 2.0,
}
#: Kinds that cannot be taken for the answer to a question that was just asked.
AFTER_QUESTION = ("self_talk", "third_party_talk", "third_party_question")
#: Share of statements and stories that people have really told, where there are any.
_REAL = 0.6
#: What is told in more words than this is a story, otherwise a statement.
_STORY_FROM = 16
#: Kinds that may come before anything was said.
OPENING = (
    "statement",
    "story",
    "self_talk",
    "muttering",
    "third_party_talk",
    "third_party_question",
    "background",
)


@dataclass(frozen=True)
class Place:
    """Where a non-query turn goes.

    Attributes:
        kind: of turn, a key of `MIX`.
        before: the turns before it.
        group: the conversation's group, see `Dialogue.group`.
        validation: which side of the split the sample is on.
        seed: of this place alone.
    """

    kind: str
    before: tuple[Turn, ...]
    group: str
    validation: bool
    seed: str


class Writer(Protocol):
    """Writes non-query turns."""

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        """A text for each place, empty where there is none to be had.

        Args:
            places: where the turns go.
            attempt: 0, then 1, 2 ... for places whose last text was not used.
        """
        ...


@dataclass(frozen=True)
class Overheard:
    """A sentence of some conversation, to be background speech in another."""

    text: str
    group: str
    validation: bool


class Extractive:
    """Texts from a phrase grammar, the dialogue's own topics and sentences, and other dialogues.

    Args:
        overheard: sentences of all conversations; those of the other side of the split or of the
            same conversation are never used.
        told: what people tell one another in turns that ask for nothing, under the same rule.
    """

    def __init__(self, overheard: Sequence[Overheard] = (), told: Sequence[Overheard] = ()) -> None:
        self._overheard = _by_side(overheard)
        is_long = [len(turn.text.split()) > _STORY_FROM for turn in told]
        self._told = {
            "statement": _by_side(
                [turn for turn, long in zip(told, is_long, strict=True) if not long]
            ),
            "story": _by_side([turn for turn, long in zip(told, is_long, strict=True) if long]),
        }

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        return [self._text(place, Random(f"{place.seed}/{attempt}")) for place in places]

    def _text(self, place: Place, random: Random) -> str:
        if place.kind == "background":
            return _heard(self._overheard[place.validation], place, random)
        if place.kind in self._told and random.random() < _REAL:
            told = _heard(self._told[place.kind][place.validation], place, random)
            if told:
                return told
        known = topics(" ".join(turn.text[:600] for turn in place.before[-4:]))
        if place.kind == "remark":
            said = repeatable(place.before[-1].text) if place.before else []
            if said and (not known or random.random() < 0.4):
                return GRAMMAR.draw("restated", random, said=random.choice(said))
            if not known:
                return ""
        topic = random.choice(known) if known else "that thing"
        text = GRAMMAR.draw(place.kind, random, topic=topic)
        parts = [part.lower() for part in sentences(text)]
        return text if len(set(parts)) == len(parts) else ""


def _by_side(overheard: Sequence[Overheard]) -> dict[bool, list[Overheard]]:
    return {
        side: [heard for heard in overheard if heard.validation == side] for side in (False, True)
    }


def _heard(pool: Sequence[Overheard], place: Place, random: Random) -> str:
    """A text of another conversation on the same side of the split, or nothing."""
    for _ in range(8 if pool else 0):
        heard = random.choice(pool)
        if heard.group != place.group:
            return heard.text
    return ""


def may_be_overheard(text: str, longest: int = 30) -> bool:
    """Whether a text of a dialogue can stand alone as speech that is nobody's request.

    Args:
        text: a sentence, or a whole turn.
        longest: most words.
    """
    words = text.split()
    return (
        3 <= len(words) <= longest
        and text.isprintable()
        and not any(mark in text for mark in "*#|`{}[]<>=\\_:")
        and any(character.isalpha() for character in text)
        and not asks(text)
    )
