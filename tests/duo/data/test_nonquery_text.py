"""What is written into samples: variety, plain text, filters, recognisers' style, cuts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.data.asking import ASKING
from duo.data.dialogue import Turn
from duo.data.filters import Filters, HeldOut, normalised, read_held_out
from duo.data.grammar import Grammar
from duo.data.nonqueries import MIX, Extractive, Overheard, Place
from duo.data.phrases import GRAMMAR
from duo.data.recogniser import Style, disfluent, draw_style
from duo.data.requests import asks, is_command, is_question
from duo.data.rewording import breaking_in, hidden_request
from duo.data.topics import repeatable, topics
from duo.data.unfinished import cut_short, trail_off
from duo.errors import BadInput
from tests.duo.data.talk import write_lines

WRITTEN = [kind for kind in MIX if kind not in ("background", "remark")]
TURNS = (
    Turn("user", "Could you tell me something about the history of bridges?"),
    Turn("assistant", "The first bridges were made of wood. Romans built them from stone later."),
)


def place(kind: str, number: int, before: tuple[Turn, ...] = TURNS) -> Place:
    return Place(kind, before, "group", False, f"seed/{number}")


@pytest.mark.parametrize("kind", [*WRITTEN, *ASKING, "remark", "stop", "go_on", "opener"])
def test_every_kind_has_hundreds_of_forms(kind: str) -> None:
    assert GRAMMAR.forms(kind) > 100
    random = Random(0)
    drawn = {GRAMMAR.draw(kind, random, topic="bridges") for _ in range(2000)}
    assert len(drawn) > 90
    for text in drawn:
        assert not re.search(r"[{}|]|  |\s[.,?!]|^\s|\s$|^[a-z]", text), text


def test_forms_counts_derivations() -> None:
    grammar = Grammar({"a": ["{b} {b}", "3|x"], "b": ["1", "2", "3"]})
    assert grammar.forms("a") == 10
    assert len({grammar.draw("a", Random(seed)) for seed in range(300)}) == 10


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


@pytest.mark.parametrize(
    "text",
    ["What is rain?", "can you tell me", "how do i get there", "is it far", "It's cold, isn't it?"],
)
def test_questions_are_known_without_their_mark(text: str) -> None:
    assert is_question(text)


@pytest.mark.parametrize(
    "text",
    ["Tell me more.", "okay, please stop", "I would like a coffee", "So give me a list", "Go on."],
)
def test_commands_are_known(text: str) -> None:
    assert is_command(text)


@pytest.mark.parametrize(
    "text", ["uhhuh.", "mm-hmm.", "right.", "oh okay.", "I see.", "The sea is blue today.", "huh."]
)
def test_remarks_ask_for_nothing(text: str) -> None:
    assert not asks(text)


def test_topics_and_sentences_of_a_dialogue() -> None:
    found = topics("Tell me about bridges and the history of Rome in the north, or at Lake Garda.")
    assert {"bridges", "history"} <= set(found)
    assert "Lake Garda" in found
    assert repeatable("The first bridges were made of wood. I can help you. Do you like it?") == [
        "the first bridges were made of wood."
    ]


def test_filters_count_what_they_drop() -> None:
    held_out = HeldOut(["That is what my mother always said!", "okay", "Oh I see."])
    filters = Filters(held_out, longest=10)
    kept = [
        ("okay", "backchannel"),  # everybody says it: exempt
        ("Okay.", "backchannel"),
        ("oh I see", "backchannel"),
        ("The harbour was full of old boats.", "remark"),
        ("Mum, where are my keys?", "third_party_question"),
    ]
    dropped = [
        ("that is what my mother, always, said", "remark", "held_out"),
        ("Full of old boats the harbour was.", "remark", "near_duplicate"),
        ("What is rain?", "remark", "question"),
        ("Tell me more about rain.", "statement", "command"),
        ("one two three four five six seven eight nine ten eleven", "remark", "too_long"),
        ("...", "backchannel", "empty"),
    ]
    assert all(filters.keeps(*pair) for pair in kept)
    for text, kind, _ in dropped:
        assert not filters.keeps(text, kind), text
    assert filters.dropped == {reason: 1 for _, _, reason in dropped}


def test_near_duplicates_are_forgotten_after_a_while() -> None:
    filters = Filters(HeldOut(), memory=2)
    texts = [f"the number {word} stands here" for word in ("seventeen", "twenty", "thirty")]
    assert all(filters.keeps(text, "remark") for text in texts)
    assert filters.keeps(texts[0], "remark")
    assert not filters.keeps(texts[2], "remark")


def test_held_out_files(tmp_path: Path) -> None:
    packed = write_lines(tmp_path / "a.jsonl.gz", [{"text": "One two three, four!"}])
    plain = tmp_path / "b.txt"
    plain.write_text("five six seven eight\n\n")
    found = read_held_out([packed, plain])
    assert "one TWO three four" in found
    assert "Five six seven eight." in found
    assert len(found) == 2
    for line in ('{"label": "x"}', "{"):
        write_lines(tmp_path / "c.jsonl", [{"text": "a"}, line])
        with pytest.raises(BadInput, match=r"c\.jsonl:2: "):
            read_held_out([tmp_path / "c.jsonl"])
    with pytest.raises(BadInput, match="cannot read"):
        read_held_out([tmp_path / "missing.jsonl"])


SPOKEN = (
    "What is the best way, to clean a kettle? I think that it was blue. Well; and then Anna "
    'came because she had a (very) old "bike" 1. here ... you\'re fine!'
)
spoken = st.lists(st.sampled_from(SPOKEN.split()), min_size=1, max_size=20).map(" ".join)


@given(spoken, st.integers(0, 999))
def test_style_keeps_the_words(text: str, seed: int) -> None:
    style = draw_style(Random(seed), restyle=1.0, disfluency=0.0)
    written = style.apply(text, Random(seed))
    assert written
    assert "\n" not in written
    list_number = r"\b1\b"  # "1." may stand for the start of a list
    said, kept = (re.sub(list_number, "", normalised(part)).split() for part in (text, written))
    assert kept == said or not said


@given(spoken, st.integers(0, 999))
def test_disfluencies_only_add(text: str, seed: int) -> None:
    words = text.split()
    found = iter(word.lower().strip(".,!?;:") for word in disfluent(words, Random(seed)))
    assert all(any(word.lower().strip(".,!?;:") == other for other in found) for word in words)


def test_a_style_gives_nothing_away() -> None:
    """The same recogniser writes a query and a remark: case and marks are those of the style."""
    for seed in range(300):
        style = draw_style(Random(seed), restyle=1.0, disfluency=0.3)
        query, remark = (style.apply(t, Random(seed)) for t in ("Who is Anna?", "I like Anna."))
        assert query.islower() == remark.islower()
        assert query[-1].isalnum() == remark[-1].isalnum()


def test_rates_of_styles() -> None:
    styles = [draw_style(Random(seed), restyle=0.5, disfluency=0.0) for seed in range(2000)]
    share = sum(style != Style() for style in styles) / len(styles)
    assert 0.45 < share < 0.55
    assert all(draw_style(Random(n), restyle=0, disfluency=0) == Style() for n in range(50))


@given(spoken, st.booleans(), st.integers(0, 999))
def test_what_is_cut_short_is_a_beginning(text: str, query: bool, seed: int) -> None:
    short = cut_short(text, Random(seed), query=query)
    if short is not None:
        assert text.startswith(short)
        assert len(short.split()) < len(text.split())
        assert short[-1:] not in ".,;:!?"


@pytest.mark.parametrize(
    "text", ["What is the capital of France?", "How do I clean a kettle in winter?"]
)
def test_a_query_is_not_cut_where_it_is_a_query_already(text: str) -> None:
    whole = {"What is the capital", "How do I clean a kettle"}
    cuts = {cut_short(text, Random(seed), query=True) for seed in range(300)}
    assert len(cuts) > 2
    assert not cuts & whole


def test_a_statement_is_often_cut_at_a_clause() -> None:
    text = "The bridge was closed all summer, so we took the boat to the other side."
    cuts = [cut_short(text, Random(seed), query=False) for seed in range(300)]
    assert cuts.count("The bridge was closed all summer") > 60
    assert len(set(cuts)) > 8
    assert cut_short("Yes.", Random(0), query=False) is None


def test_ends_of_what_is_not_over() -> None:
    bare = {trail_off("so we took", Random(seed), marks=False) for seed in range(200)}
    assert bare == {"so we took"}
    marked = {trail_off("so we took", Random(seed), marks=True) for seed in range(300)}
    assert {"so we took", "so we took.", "so we took,", "so we took..."} <= marked
    cut = {trail_off("so we remembered", Random(seed), marks=False) for seed in range(300)}
    assert any(text.endswith("-") for text in cut)


@pytest.mark.parametrize(
    ("query", "ending"),
    [
        ("How do I clean a kettle?", "how to clean a kettle."),
        ("What is the capital of France?", "what the capital of France is."),
        ("Why do cats sleep so much?", "why cats sleep so much."),
        ("Could you explain the tides?", "explain the tides."),
        ("Write a poem about rain.", "write a poem about rain."),
    ],
)
def test_requests_hidden_in_statements(query: str, ending: str) -> None:
    drawn = [hidden_request(query, Random(seed)) for seed in range(100)]
    hidden = [text for text in drawn if text and not text.endswith(query)]
    assert len(set(hidden)) > 5
    assert all(text.endswith(ending) for text in hidden), hidden
    assert not any(is_question(text) for text in hidden)


def test_some_queries_cannot_be_hidden() -> None:
    long = "What is the reason that all of these many people who came here want to see it? Tell me."
    assert {hidden_request(long, Random(seed)) for seed in range(20)} == {None}


@given(st.integers(0, 999))
def test_breaking_in_keeps_the_query(seed: int) -> None:
    text = breaking_in("What about Anna?", Random(seed))
    assert text.lower().endswith(" what about anna?")
    assert text[0].isupper()


def test_jsonl_of_texts_can_be_written() -> None:
    for number in range(200):
        for kind in WRITTEN:
            [text] = Extractive().write([place(kind, number)], 0)
            assert json.loads(json.dumps(text)) == text
            assert text.isprintable()
