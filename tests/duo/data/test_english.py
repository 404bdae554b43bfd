"""Rules for English: requests, topics, rewording, cuts, and how a recogniser writes."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.data import english
from duo.data.english import (
    Style,
    asks,
    breaking_in,
    cut_short,
    disfluent,
    draw_style,
    hidden_request,
    is_command,
    is_question,
    repeatable,
    topics,
    trail_off,
)
from duo.data.filters import normalised
from duo.errors import BadInput
from duo.yaml_file import MarkedYaml


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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hums: [um, uh]", "hmus: [um, uh]", "hmus: is not a field of this schema"),
        ("hums: [um, uh]", "hums: um", "hums: "),
        ("  - i'm looking\n", "  - '(i'\n", r"wishes\[5\]: "),
        ("question_tags: [right,", "question_tags: []\nx: [right,", "x: is not a field"),
    ],
)
def test_what_is_wrong_with_the_words_is_named_with_its_line(
    old: str, new: str, message: str
) -> None:
    text = Path(str(english.__file__)).with_suffix(".yaml").read_text("utf-8")
    MarkedYaml(text, "english.yaml").validated(english.Words)
    with pytest.raises(BadInput, match=rf"english\.yaml:\d+: {message}"):
        MarkedYaml(text.replace(old, new), "english.yaml").validated(english.Words)
