"""Phrases and the writer that draws them: variety, plain text, nothing that asks."""

from __future__ import annotations

import json
import math
import re
from random import Random

import pytest

from duo.data.dialogue import Turn
from duo.data.english import asks
from duo.data.phrases import Grammar, Phrases, Spoken, grammar
from duo.data.plan import ASKING, Place
from duo.data.recipe import MIX
from duo.data.writers import Extractive, Overheard
from duo.errors import BadInput
from duo.yaml_file import MarkedYaml

WRITTEN = [kind for kind in MIX if kind not in ("background", "remark")]
TURNS = (
    Turn("user", "Could you tell me something about the history of bridges?"),
    Turn("assistant", "The first bridges were made of wood. Romans built them from stone later."),
)


def place(kind: str, number: int, before: tuple[Turn, ...] = TURNS) -> Place:
    return Place(kind, before, "group", False, f"seed/{number}")


def forms(grammar: Grammar, symbol: str) -> int:
    """Count the derivations of a symbol; a given symbol counts as one."""
    return sum(
        math.prod(forms(grammar, name) for name in re.findall(r"\{(\w+)\}", text))
        for text in grammar.alternatives.get(symbol, [symbol])
    )


@pytest.mark.parametrize("kind", [*WRITTEN, *ASKING, "remark", "stop", "go_on", "opener"])
def test_every_kind_has_hundreds_of_forms(kind: str) -> None:
    assert forms(grammar(), kind) > 100
    random = Random(0)
    drawn = {grammar().draw(kind, random, topic="bridges") for _ in range(2000)}
    assert len(drawn) > 90
    for text in drawn:
        assert not re.search(r"[{}|]|  |\s[.,?!]|^\s|\s$|^[a-z]", text), text


def test_as_many_texts_are_drawn_as_there_are_derivations() -> None:
    found = Grammar({"a": ["{b} {b}", "3|x"], "b": ["1", "2", "3"]})
    assert forms(found, "a") == 10
    assert len({found.draw("a", Random(seed)) for seed in range(300)}) == 10


@pytest.mark.parametrize("kind", WRITTEN)
def test_the_extractive_writer_is_deterministic_and_varied(kind: str) -> None:
    places = [place(kind, number) for number in range(400)]
    first = Extractive().write(places, 0)
    assert first == Extractive().write(places, 0)
    assert Extractive().write(places, 1) != first
    assert Extractive().write(places[::-1], 0) == first[::-1]  # each place for itself
    assert len(set(first)) > 100


@pytest.mark.parametrize("kind", ["backchannel", "acknowledgement", "statement", "story", "remark"])
def test_what_is_to_be_ignored_asks_for_nothing(kind: str) -> None:
    texts = Extractive().write([place(kind, number) for number in range(600)], 0)
    asking = {text for text in texts if asks(text)}
    assert len(asking) < 0.05 * len(texts), asking


def test_remarks_are_about_the_dialogue() -> None:
    texts = [
        text for text in Extractive().write([place("remark", n) for n in range(60)], 0) if text
    ]
    assert len(texts) > 40
    assert all(
        re.search("bridges|history|Romans|wood|stone", text, re.IGNORECASE) for text in texts
    ), texts


def test_background_speech_comes_from_the_same_side_and_another_conversation() -> None:
    overheard = [
        Overheard("we went to the sea", "other", False),
        Overheard("never this one", "group", False),
        Overheard("nor this one", "other", True),
    ]
    texts = Extractive(overheard).write([place("background", n) for n in range(50)], 0)
    assert set(texts) <= {"we went to the sea", ""}
    assert "we went to the sea" in texts
    assert Extractive().write([place("background", 0)], 0) == [""]


def test_what_people_told_is_a_statement_or_a_story_by_its_length() -> None:
    short, long = "we went to the sea", "we went to the sea " * 5
    told = [
        Overheard(text, group, validation)
        for text in (short, long)
        for group, validation in (("other", False), ("group", False), ("third", True))
    ]
    known = {"statement": short, "story": long}
    for kind, text in known.items():
        texts = Extractive(told=told).write([place(kind, number) for number in range(200)], 0)
        assert 80 < texts.count(text) < 160  # the others are the grammar's
        assert not set(texts) & (set(known.values()) - {text})
    foreign = [turn for turn in told if turn.group == "group" or turn.validation]
    texts = Extractive(told=foreign).write([place("story", number) for number in range(100)], 0)
    assert long not in texts
    assert sum(map(bool, texts)) > 60  # some have a sentence twice, and are drawn again


def test_jsonl_of_texts_can_be_written() -> None:
    for number in range(200):
        for kind in WRITTEN:
            [text] = Extractive().write([place(kind, number)], 0)
            assert json.loads(json.dumps(text)) == text
            assert text.isprintable()


class AnyPhrases(Phrases):
    drawn = ()


def read(text: str) -> Grammar:
    return Grammar(MarkedYaml(text, "words.yaml").validated(AnyPhrases).root)


def test_all_alternatives_of_another_symbol_with_a_weight() -> None:
    found = read("a: [2|x, y]\nb: [3|@a, '{a}!']")
    assert found.alternatives["b"] == ["x", "y", "{a}!"]
    drawn = [found.draw("b", Random(seed)) for seed in range(1000)]
    assert 0.5 < drawn.count("X") / 1000 < 0.7  # 6 of 10
    assert forms(found, "b") == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b: [yes, true]", r"words\.yaml:2: b\[1\]: Input should be a valid string"),
        ("b: ['{x}']", r"words\.yaml:2: b\[0\]: x is no symbol of this file"),
        ("b: ['@topic']", r"words\.yaml:2: b\[0\]: topic is no symbol of this file"),
        ("b: ['{a']", r"words\.yaml:2: b\[0\]: has a brace that belongs to no symbol"),
        ('b: ["x\\ny"]', r"words\.yaml:2: b\[0\]: must be on one line"),
        ("b: []", r"words\.yaml:2: b: has no alternative"),
        ("a: [z]", r"words\.yaml:2: a: is given twice"),
    ],
)
def test_what_is_wrong_with_a_word_list_is_named_with_its_line(line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read(f"a: ['{{topic}}', x]\n{line}\n")


def test_a_symbol_that_is_drawn_cannot_be_left_out() -> None:
    with pytest.raises(BadInput, match=r"words\.yaml:1: has no symbol backchannel"):
        MarkedYaml("a: [x]", "words.yaml").validated(Phrases)
    assert {*Phrases.drawn, *Spoken.drawn} >= (set(MIX) | set(ASKING)) - {"background"}


def test_every_tenth_whole_utterance_is_kept_for_validation() -> None:
    train, validation = (set(grammar(side).alternatives["spoken_offer"]) for side in (False, True))
    assert not train & validation
    assert 8 <= len(train) / len(validation) <= 9
    for side, own in (False, train), (True, validation):
        drawn = {grammar(side).draw("offer", Random(n), topic="{topic}") for n in range(600)}
        assert len(drawn) > 10
        assert drawn <= own  # what no rule makes


def test_what_is_about_nothing_known_is_about_anything() -> None:
    """As behind a voice, where stories are drawn that belong to no dialogue."""
    drawn = {grammar().draw("story", Random(n)) for n in range(300)}
    assert any("that thing" in text.lower() for text in drawn)
    assert not any("{" in text for text in drawn)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("assent: |\n  Yes.", "has no utterances of the kind offer"),
        ("{assent: x, offer: y}", "assent: has fewer than 10 utterances"),
        ("{assent: &a \"{when}\\n1\\n2\\n3\\n4\\n5\\n6\\n7\\n8\\n9\", offer: *a}",
         r"assent: a brace that belongs to no topic or name: \{when\}"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_whole_utterances_is_named(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        MarkedYaml(text, "words.yaml").validated(Spoken)
