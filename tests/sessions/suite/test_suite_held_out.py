"""The suite is held out: nothing in it can be in the training data that this package writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest

from duo.data.phrases import grammar
from sessions.scenario import heard_text
from sessions.suite import suite_scenarios
from tests.sessions.suite.test_suite import plain

RULES = {**grammar().alternatives}
for kind in [name for name in RULES if name.startswith("spoken_")]:
    RULES[kind] = RULES[kind] + grammar(validation=True).alternatives[kind]
#: What the grammar takes from the dialogues that are trained on: a topic is of one to three words,
#: a clause or a repeated sentence is anything. An alternative that adds less than two words of its
#: own to these ("so {said}") is a sentence of those dialogues and no wording of the grammar.
LENGTHS = {"topic": (1, 3), "clause": (1, 99), "said": (1, 99)}

SAID = sorted(
    {
        plain(heard_text(scenario.hearings(utterance)))
        for scenario in suite_scenarios() + suite_scenarios("more")
        for utterance in scenario.utterances
    }
)
LONG = [text for text in SAID if len(text.split()) >= 3]


@cache
def alternatives(symbol: str) -> tuple[tuple[str, ...], ...]:
    """A symbol's alternatives as words without marks, and symbols in braces."""
    return tuple(
        tuple(
            piece if piece.startswith("{") else plain(piece)
            for piece in re.findall(r"\{\w+\}|[^\s{}]+", text)
            if piece.startswith("{") or plain(piece)
        )
        for text in RULES[symbol]
        if not any(f"{{{name}}}" in text for name in LENGTHS)
        or len(plain(re.sub(r"\{\w+\}", "", text)).split()) >= 2
    )


class Reader:
    """A slow and obvious reader of the grammar over the words of one text."""

    def __init__(self, text: str) -> None:
        self.words = text.split()
        self._known: dict[tuple[str, int], frozenset[int]] = {}

    def derives(self, symbol: str) -> bool:
        """Tell whether the symbol can be the whole text."""
        return len(self.words) in self.ends(symbol, 0)

    def ends(self, symbol: str, start: int) -> frozenset[int]:
        """Find where a derivation of the symbol that begins at a word can end."""
        if symbol in LENGTHS:
            least, most = LENGTHS[symbol]
            return frozenset(range(start + least, min(start + most, len(self.words)) + 1))
        if (symbol, start) not in self._known:
            found: set[int] = set()
            for pieces in alternatives(symbol):
                found |= self._after(pieces, start)
            self._known[symbol, start] = frozenset(found)
        return self._known[symbol, start]

    def _after(self, pieces: tuple[str, ...], start: int) -> set[int]:
        at = {start}
        for piece in pieces:
            if piece.startswith("{"):
                at = {end for place in at for end in self.ends(piece[1:-1], place)}
            else:
                at = {place + 1 for place in at if self.words[place : place + 1] == [piece]}
        return at


def literal_runs(length: int) -> Iterator[tuple[str, ...]]:
    """List all runs of this number of words that stand in the grammar as they are."""
    for symbol in RULES:
        for pieces in alternatives(symbol):
            for place in range(len(pieces) - length + 1):
                run = pieces[place : place + length]
                if not any(piece.startswith("{") for piece in run):
                    yield run


@pytest.mark.parametrize(
    ("symbol", "text"),
    [
        ("backchannel", "uh-huh, yeah."),
        ("self_talk", "Well, let me see."),
        ("third_party_question", "Hey Anna, where are my keys?"),
        ("statement", "Yesterday, I baked bread. It was lovely."),
        ("stop", "Okay, be quiet for a moment."),
        ("remark", "I have been reading about green tea last week."),
        ("restated", "okay, so the sea is full of salt"),
    ],
)
def test_the_reader_knows_what_is_in_the_grammar(symbol: str, text: str) -> None:
    assert Reader(plain(text)).derives(symbol)
    assert not Reader(plain(f"{text} indeed never heard of")).derives("backchannel")


def test_the_reader_knows_what_the_grammar_draws() -> None:
    from random import Random

    kinds = [kind for kind in RULES if kind not in ("pause", "calling", "very", "extra")]
    for kind in kinds:
        for seed in range(5):
            given = {"topic": "red wine", "clause": "how it works", "said": "it is very old"}
            text = plain(grammar().draw(kind, Random(f"{kind}/{seed}"), **given))
            ours = text
            for words in given.values():
                ours = ours.replace(words, "")
            # A follow-up may be little more than a topic ("and the red wine?"), which is left out.
            if ours == text or (
                len(ours.split()) >= 4 and kind not in ("follow_up", "short", "it")
            ):
                assert Reader(text).derives(kind), (kind, text)


def test_nothing_of_three_words_can_be_in_the_training_data() -> None:
    assert len(LONG) > 350
    readers = {text: Reader(text) for text in LONG}
    trained = {(text, symbol) for text in LONG for symbol in RULES if readers[text].derives(symbol)}
    assert trained == set()


def test_nothing_begins_as_interruptions_are_trained() -> None:
    begins = {text: max(Reader(text).ends("opener", 0), default=0) for text in LONG}
    assert {text for text, words in begins.items() if words >= 3} == set()


def test_no_four_words_in_a_row_are_the_grammars() -> None:
    trained = set(literal_runs(4))
    assert len(trained) > 200
    ours = {
        tuple(words[place : place + 4])
        for words in (text.split() for text in SAID)
        for place in range(len(words) - 3)
    }
    assert not ours & trained


def test_names_of_people_are_others() -> None:
    words = {word for text in SAID for word in text.split()}
    assert not words & {name.lower() for name in RULES["name"]} - {"may", "will"}
