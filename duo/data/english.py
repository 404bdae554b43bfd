"""Judge and change English sentences by rules of thumb, wide rather than exact.

Five questions, in the order of this file: does a text ask for something; what is it about; how is a
request put in other words; where can an utterance be broken off; and how does a speech recogniser
write it down. The words that the rules go by are in `english.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from duo.data.phrases import grammar
from duo.spelling import END_MARKS, spell
from duo.yaml_file import read_yaml

_List = Annotated[tuple[str, ...], Field(min_length=1)]


class Words(BaseModel):
    """The lists of `english.yaml`, which says what each is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question_words: _List
    auxiliaries: _List
    commands: _List
    softeners: _List
    wishes: Annotated[tuple[re.Pattern[str], ...], Field(min_length=1)]
    question_tags: _List
    before_nouns: _List
    after_nouns: _List
    no_topic_endings: _List
    no_topics: _List
    sentence_starts: _List
    personal: _List
    dangling: frozenset[str]
    hums: frozenset[str]
    may_stop_before: frozenset[str]
    clause_starts: frozenset[str]
    subordinate_starts: _List
    orders: _List
    fillers: _List


_WORDS = read_yaml(Path(__file__).with_name("english.yaml")).validated(Words)


def _any(words: Iterable[str]) -> str:
    """Make a group for a regular expression that matches any of some words."""
    return f"(?:{'|'.join(map(re.escape, words))})"


# Does a text ask for something?

_SOFTENERS = rf"(?:{_any(_WORDS.softeners)}\b[\s,.!]*)*"
_QUESTION = re.compile(
    rf"^{_SOFTENERS}(?:{_any(_WORDS.question_words)}\b|{_any(_WORDS.auxiliaries)}\s+(?:n't\s+)?\w)",
    re.IGNORECASE,
)
_COMMAND = re.compile(rf"^{_SOFTENERS}{_any(_WORDS.commands)}\b", re.IGNORECASE)
_WISH = re.compile(rf"\b(?:{'|'.join(wish.pattern for wish in _WORDS.wishes)})", re.IGNORECASE)
_TAG = re.compile(rf",\s*{_any(_WORDS.question_tags)}\W*$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"')\]]*\s+|\n+")


def sentences(text: str) -> list[str]:
    """Split a text into sentences, roughly."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def is_question(text: str) -> bool:
    """Judge whether a sentence of the text is a question, with or without its question mark."""
    return bool("?" in text or "？" in text or _TAG.search(text)) or any(
        _QUESTION.match(part) for part in sentences(text)
    )


def is_command(text: str) -> bool:
    """Judge whether the text orders, asks for or wishes something."""
    return bool(_WISH.search(text)) or any(_COMMAND.match(part) for part in sentences(text))


def asks(text: str) -> bool:
    """Judge whether the text asks the listener for anything at all.

    The rule chooses among texts whose label would otherwise be doubtful: a remark that might be a
    request is not used as a remark, and a turn that is plainly no request not as a query.
    """
    return is_question(text) or is_command(text)


# What is a text about?

_NOUN = re.compile(
    rf"\b{_any(_WORDS.before_nouns)}\s+((?:[a-z]{{4,}}\s+)?[a-z]{{4,}})"
    rf"(?=[.,;:?!)]|\s+{_any(_WORDS.after_nouns)}\b|$)"
)
_NAME = re.compile(r"(?<=[a-z,] )([A-Z][a-z]{2,}(?: [A-Z][a-z]+){0,2})\b")
_NO_TOPIC = re.compile(rf"{_any(_WORDS.no_topic_endings)}$|^{_any(_WORDS.no_topics)}$")
_SENTENCE_START = re.compile(rf"{_any(_WORDS.sentence_starts)}\b", re.IGNORECASE)
_PERSONAL = re.compile(rf"\b{_any(_WORDS.personal)}\b", re.IGNORECASE)


def topics(text: str, most: int = 12) -> list[str]:
    """List nouns and names of a text, in its order, each once."""
    found: dict[str, None] = {}
    for match in sorted(
        [*_NOUN.finditer(text), *_NAME.finditer(text)], key=lambda match: match.start()
    ):
        words = match[1].split()
        if match.re is _NOUN and _NO_TOPIC.search(words[0]):
            words = words[-1:]
        if _NO_TOPIC.search(words[-1].lower()):
            continue
        found[" ".join(words)] = None
        if len(found) == most:
            break
    return list(found)


def repeatable(answer: str, longest: int = 14) -> list[str]:
    """List short statements of an answer that a listener might say again, in mid-sentence."""
    kept = []
    for sentence in sentences(answer)[:12]:
        words = sentence.split()
        if not 4 <= len(words) <= longest or not re.fullmatch(r"[A-Z][\w' ,-]+\.", sentence):
            continue
        if not _PERSONAL.search(sentence) and not asks(sentence):
            common = _SENTENCE_START.match(sentence)
            kept.append(sentence[:1].lower() + sentence[1:] if common else sentence)
    return kept


# How is a request put in other words?

_HOW = re.compile(r"^how (?:do|can|should|would|could) (?:i|you|we|one) (?P<rest>.+)$", re.I)
_HOW_TO = re.compile(r"^(?P<rest>how to .+)$", re.I)
_COPULA = re.compile(r"^(?P<w>what|who|where) (?P<be>is|are|was|were) (?P<rest>[\w' -]+)$", re.I)
_DO = re.compile(r"^(?P<w>what|why|how|where|when) do (?P<rest>[\w' ,-]+)$", re.I)
_YES_NO = re.compile(r"^do (?P<rest>(?:most |some |all )?[a-z]+s .+|people .+|they .+)$", re.I)
_ORDER = re.compile(
    rf"^(?:(?:can|could|would|will) you )?(?:please )?(?P<rest>{_any(_WORDS.orders)} .+)$", re.I
)
_LONGEST_HIDDEN = 24  # words


def hidden_request(query: str, random: Random) -> str | None:
    """Put a query as a statement ("I never understood how to ..."), if its form allows it.

    The answer to the query is still an answer to the statement.
    """
    if len(sentences(query)) != 1 or len(query.split()) > _LONGEST_HIDDEN:
        return None
    plain = query.strip().rstrip("?.! ")
    if random.random() < 0.25:  # something said first, then the request itself
        first = grammar().draw(random.choice(("lead_in", "fact")), random)
        return f"{first}. {query[:1].upper()}{query[1:]}"
    if found := _ORDER.match(plain):
        return grammar().draw("hidden_order", random, clause=_continued(found["rest"]))
    clause = _indirect(plain)
    return grammar().draw("hidden", random, clause=clause) if clause else None


def _indirect(question: str) -> str | None:
    """Put a direct question as an indirect one."""
    if found := _HOW.match(question):
        return f"how to {found['rest']}"
    if found := _HOW_TO.match(question):
        return _continued(found["rest"])
    if found := _COPULA.match(question):
        rest = found["rest"].split()
        if 1 <= len(rest) <= 8 and "that" not in rest:
            return f"{found['w'].lower()} {found['rest']} {found['be'].lower()}"
        return None
    if found := _DO.match(question):
        return f"{found['w'].lower()} {found['rest']}"
    if found := _YES_NO.match(question):
        return f"whether {found['rest']}"
    return None


def breaking_in(query: str, random: Random) -> str:
    """Put words before a query that break into what is being said."""
    opener = grammar().draw("opener", random)
    separate = opener[-1] == "."
    return f"{opener} {query[:1].upper() + query[1:] if separate else _continued(query)}"


def _continued(text: str) -> str:
    """Write a sentence as one that no longer stands at the beginning."""
    first = text.split()[0].strip("?.!,") if text.split() else ""
    keep = first == "I" or first.startswith("I'") or not first[1:].islower()
    return text if keep and len(first) != 1 else text[:1].lower() + text[1:]


# Where can an utterance be broken off?

_SUBORDINATE = re.compile(rf"^{_any(_WORDS.subordinate_starts)}\b", re.IGNORECASE)
_MARKS = ".,;:!?…\"“”'()"


def cut_short(text: str, random: Random, *, query: bool) -> str | None:
    """Draw the beginning of an utterance that plainly goes on, without a mark at its end.

    A query is cut inside a phrase or after a leading clause ("If it rains tomorrow"), not where
    the words so far would be a question of their own. A statement is cut at a clause or anywhere.

    Returns:
        The beginning, at least a word shorter; None if there is no good place.
    """
    words = text.split()
    dangling, clauses, others = [], [], []
    start = 0  # of the sentence that the word is in
    for place in range(1, len(words)):
        last, following = words[place - 1], words[place].lower().strip(_MARKS)
        if last[-1] in ".!?…:":
            start = place
            continue
        sentence = " ".join(words[start:place])
        if last.lower().strip(_MARKS) in _WORDS.dangling:
            if place == 1 and last.lower() in _WORDS.hums:
                continue
            dangling.append(place)
        elif last[-1] == "," or following in _WORDS.clause_starts:
            if place - start >= 3 and (not query or _SUBORDINATE.match(sentence)):
                clauses.append(place)
        elif place - start >= 2 and (not query or following not in _WORDS.may_stop_before):
            others.append(place)
    kinds = [(dangling, 0.4), (clauses, 0.25 if query else 0.4), (others, 0.35)]
    kinds = [(places, weight) for places, weight in kinds if places]
    if not kinds:
        return None
    [places] = random.choices([found for found, _ in kinds], [weight for _, weight in kinds])
    return " ".join(words[: random.choice(places)]).rstrip(_MARKS + " ")


def trail_off(text: str, random: Random, *, marks: bool) -> str:
    """End an unfinished utterance as a speech recogniser would write it.

    Args:
        marks: whether this recogniser writes punctuation at all.
    """
    word = text.rpartition(" ")[2]
    if random.random() < 0.08 and len(word) > 4 and word.isalpha():
        return text[: -random.randint(1, len(word) - 2)] + "-"
    if not marks:
        return text
    return text + random.choices(("", ".", ",", "...", "-"), (40, 25, 15, 15, 5))[0]


# How does a speech recogniser write it down?

Case = Literal["written", "lower", "sentence"]
Marks = Literal["written", "none", "periods", "ends"]

#: Transcripts of meetings are lower case with full stops, many engines give bare lower-case words,
#: others write almost as people do.
_STYLES: tuple[tuple[Case, Marks], ...] = (
    ("lower", "none"),
    ("lower", "periods"),
    ("lower", "ends"),
    ("sentence", "none"),
    ("sentence", "periods"),
    ("written", "ends"),
    ("written", "none"),
)


@dataclass(frozen=True)
class Style:
    """A recogniser's way of writing: case, punctuation and disfluencies.

    A model must know a query by what it says and not by how it is written down, so queries and
    remarks of one sample go through the same style.

    Attributes:
        case: as written, all lower case, or only the first letter of the text a capital.
        marks: punctuation as written, none, only a full stop at the end, or only the last mark.
        disfluency: chance that an utterance is disfluent.
    """

    case: Case = "written"
    marks: Marks = "written"
    disfluency: float = 0.0

    def apply(self, text: str, random: Random) -> str:
        """Write a text as this recogniser gives it, on one line, never empty."""
        words = text.split()
        if self.disfluency and random.random() < self.disfluency:
            words = disfluent(words, random)
        said = " ".join(words)
        end = said[-1:] if said[-1:] in END_MARKS else ""
        if self.marks != "written":
            said = spell(said, "unpunctuated")
            said += {"none": "", "periods": "." if end else "", "ends": end}[self.marks]
        if self.case != "written":
            said = said.lower()
        if self.case == "sentence":
            said = re.sub(r"\bi\b(?=$|[ '.,])", "I", said[:1].upper() + said[1:])
        return said


def draw_style(random: Random, *, restyle: float, disfluency: float) -> Style:
    """Draw a recogniser: with chance `restyle` one that does not write as people do."""
    if random.random() >= restyle:
        return Style(disfluency=disfluency)
    case, marks = random.choice(_STYLES)
    return Style(case, marks, disfluency)


def like(text: str, model: str) -> str:
    """Write a text as carelessly as another: without capitals or end mark where that is so."""
    if model[:1].islower() and text[1:2].islower():
        text = text[:1].lower() + text[1:]
    if model[-1:].isalnum() and text[-1:] in END_MARKS:
        text = text[:-1] or text
    return text


def disfluent(words: list[str], random: Random) -> list[str]:
    """Add one or two hesitations: a filler, a repeated word or start, a cut-off word."""
    words = list(words)
    for _ in range(random.choice((1, 1, 2))):
        place = random.randrange(len(words))
        word = words[place]
        bare = word.strip("\"“”'.,;:!?()")
        kind = random.random()
        if kind < 0.45:
            filler = random.choice(_WORDS.fillers)
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
    """Write a word as one that no longer begins its sentence."""
    return word if word == "I" or word.startswith("I'") or word.isupper() else word.lower()
