"""Records of every form to turns: nothing said is lost, and what was cut off stays cut off."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.data.dialogue import (
    Dialogue,
    NotADialogue,
    Turn,
    clean,
    dialogue_of,
    join_slices,
    merge_messages,
    merge_slices,
)
from duo.tokens import IDLE


def pairs(*slices: str) -> list[tuple[str, str]]:
    return [(("user", "assistant")[place % 2], text) for place, text in enumerate(slices)]


def test_slices_become_turns() -> None:
    turns = merge_slices(
        pairs("What is", IDLE, "rain?", "Water that falls", IDLE, "from the sky.", IDLE, IDLE)
    )
    assert turns == (
        Turn("user", "What is rain?"),
        Turn("assistant", "Water that falls from the sky."),
    )


def test_an_interrupted_answer_stays_cut() -> None:
    turns = merge_slices(
        pairs(
            "Tell me a story.", "Once upon a time", IDLE, "there was a",
            "No, tell me about", IDLE, "rain.", "Rain is water.", IDLE, IDLE,
        )
    )  # fmt: skip
    assert [turn.complete for turn in turns] == [True, False, True, True]
    assert turns[1].text == "Once upon a time there was a"
    assert turns[2].text == "No, tell me about rain."


def test_an_answer_that_fell_silent_or_ends_a_sentence_is_complete() -> None:
    silent = merge_slices(pairs("a", "so it is", IDLE, IDLE, "b", "yes", IDLE, IDLE))
    assert silent[1].complete
    ended = pairs("a", "So it is.", "b", "yes", IDLE, IDLE)
    assert merge_slices(ended)[1].complete
    assert not merge_slices(ended, strict=True)[1].complete


def test_words_that_nobody_answers_join_the_next() -> None:
    turns = merge_slices(pairs("Hm", IDLE, IDLE, IDLE, "what is rain?", "Water.", IDLE, IDLE))
    assert [turn.text for turn in turns] == ["Hm what is rain?", "Water."]


def test_chinese_slices_have_no_blanks_between_them() -> None:
    assert join_slices(["今天天气", "怎么样?"]) == "今天天气怎么样?"
    assert join_slices(["rain", ", and", "snow", "."]) == "rain, and snow."
    assert join_slices(["It is so", " that", " rain falls"]) == "It is so that rain falls"


WORDS = "rain falls on the town and we wait for sun"
words = st.lists(st.sampled_from(WORDS.split()), min_size=1)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=6), st.integers(0, 999))
def test_merging_gives_back_what_was_sliced(
    talk: list[tuple[list[str], list[str]]], seed: int
) -> None:
    random = Random(seed)
    said: list[tuple[str, str]] = []

    def sliced(text: list[str]) -> list[str]:
        size = random.randint(1, 4)
        return [" ".join(text[start : start + size]) for start in range(0, len(text), size)]

    for asked, told in talk:
        *first, last = sliced(asked)
        said += [pair for text in first for pair in (("user", text), ("assistant", IDLE))]
        for place, text in enumerate(sliced(told)):
            said += [("user", IDLE if place else last), ("assistant", text)]
        said += [("user", IDLE), ("assistant", IDLE)]
    turns = merge_slices(said)  # type: ignore[arg-type]
    assert [turn.text for turn in turns] == [" ".join(part) for pair in talk for part in pair]
    assert all(turn.complete for turn in turns)


messages = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=8)))


@given(messages)
def test_messages_become_alternating_turns(said: list[tuple[str, str]]) -> None:
    turns = merge_messages(said)  # type: ignore[arg-type]
    assert [turn.role for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
    assert len(turns) % 2 == 0
    assert all(turn.text.strip() == turn.text != "" for turn in turns)


@given(st.text())
def test_clean_text_has_no_control_characters_and_can_be_written(text: str) -> None:
    found = clean(text)
    found.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", found)
    assert clean(found) == found


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (3, None),
        ({}, None),
        ({"id": [], "messages": []}, "id"),
        ({"messages": "no"}, "messages"),
        ({"messages": ["no"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "dog", "content": "wow"}]}, "messages[0].role"),
        ({"output": [{"role": "user"}]}, "output[0]"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"speaker": "dog", "text": "wow"}]}, "messages[0].speaker"),
        ({"messages": [{"name": "user", "content": "a"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "said": "a"}]}, "messages[0]"),
        ({"prompt": "a", "response": ["b"]}, None),
        ({"instruction": "a", "output": "b", "history": [["c"]]}, "output"),
        ({"conversations": [{"from": "dog", "value": "wow"}]}, "conversations[0].from"),
        ({"conversations": [{"from": "human"}]}, "conversations[0]"),
        ({"conversations": [{"from": "human", "value": 3}]}, "conversations[0].value"),
        (
            {"messages": [{"role": "user", "content": ["a", {"image": "b"}]}]},
            "messages[0].content[1]",
        ),
        ({"data": ["a", 3]}, "data[1]"),
        ({"output": "a"}, "output"),
        ({"prompt": [], "completion": [{"role": "dog", "content": "wow"}]}, "completion[0].role"),
    ],
)
def test_what_is_no_dialogue_names_its_field(record: object, field: str | None) -> None:
    with pytest.raises(NotADialogue) as error:
        dialogue_of(record, source="x", fallback_id="1")
    assert error.value.field == field


def test_known_forms() -> None:
    asked, told = "What is rain?", "Water."
    forms = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]},
        {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": told}]},
        {"output": [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]},
    ]
    for form in forms:
        found = dialogue_of({**form, "extra": 1}, source="x", fallback_id="x-7")
        assert found == Dialogue("x-7", "x", (Turn("user", asked), Turn("assistant", told)))
    assert dialogue_of({"messages": []}, source="x", fallback_id="1") is None


def test_what_a_model_thought_is_no_answer() -> None:
    closed = ("<think>The user\nasks.</think>\n\n", "He asks.</think> ", "<thinking>A</thinking>")
    for thought in closed:
        said = [{"role": "user", "content": "Why <think>?"},
                {"role": "assistant", "content": f"{thought}Because."}]  # fmt: skip
        found = dialogue_of({"messages": said}, source="x", fallback_id="1")
        assert found is not None
        assert [turn.text for turn in found.turns] == ["Why <think>?", "Because."]
    assert dialogue_of({"data": ["Why?", "\n<think>It"]}, source="x", fallback_id="1") is None
    found = dialogue_of({"data": ["Why?", "Use a <think> mark."]}, source="x", fallback_id="1")
    assert found is not None
    assert found.turns[1].text == "Use a <think> mark."


def test_forms_of_other_projects() -> None:
    """Dialogues in other projects' terms: whatever the sides are called, the two take turns."""
    asked, told = "How deep is the lake?", "Nobody knows."
    expected = Dialogue("x-7", "x", (Turn("user", asked), Turn("assistant", told)))

    def pair(role: str, text: str, *sides: str) -> list[dict[str, object]]:
        return [{role: side, text: part} for side, part in zip(sides, (asked, told), strict=True)]

    parts = [[{"type": "text", "text": text}] for text in (asked, told)]
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    messages = pair("role", "content", "user", "assistant")
    records: list[dict[str, object]] = [
        {"id": None, "messages": messages},
        {"output": "a text of something else", "messages": messages},
        {"data": [asked, told]},
        {"conversations": pair("from", "value", "human", "chatgpt")},
        {"conversations": pair("from", "value", "Human", " Assistant")},
        {"conversation": pair("from", "value", "USER", "GPT")},
        {"messages": [{"role": "developer", "content": "Be brief."}, *messages]},
        {"messages": [messages[0], call, {"role": "tool", "content": "{}"}, messages[1]]},
        {
            "messages": [
                {"role": side, "content": part}
                for side, part in zip(("user", "assistant"), parts, strict=True)
            ]
        },
        *(
            {"messages": pair("role", "content", *sides)}
            for sides in (
                ("USER", "ASSISTANT:"), ("human_1", "gpt-4o-mini"), ("User", "Claude 3"),
                ("user", "ChatGPT"), ("用户", "助手"), ("customer", "agent"),
                ("user", "llama-3-8b"),
            )
        ),
        {"dialogue": pair("speaker", "text", "user", "model")},
        {"messages": pair("role", "message", "user", "bot")},
        {"messages": [None, *messages, {"role": "assistant", "content": None}]},
        {"messages": [{"role": "ipython", "content": "1"}, *messages]},
        {"conversation": [{"human": asked, "assistant": told}]},
        {"messages": [{"role": r, "content": {"content_type": "text", "parts": [t]}}
                      for r, t in (("user", asked), ("assistant", told))]},
        {"messages": [{"role": r, "parts": [{"text": t}]}
                      for r, t in (("user", asked), ("model", told))]},
        {"instruction": asked, "input": "", "output": told},
        {"prompt": asked, "completion": told},
        {"prompt": messages[:1], "completion": messages[1:]},
        {"system_prompt": "Be brief.", "question": asked, "response": told},
        {"input": asked, "output": told},
        {"contents": [{"role": r, "parts": [{"text": t}]}
                      for r, t in (("user", asked), ("model", told))]},
        {"chat_messages": pair("sender", "text", "human", "assistant")},
        {"utterances": pair("speaker", "text", "USER", "SYSTEM")},
        {"turns": pair("speaker", "utterance", "USER", "SYSTEM")},
        {"messages": [messages[0], {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": told},
            {"type": "tool_use", "id": "c"}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "9"}]}]},
        {"messages": [messages[0], {**messages[1], "channel": "analysis", "content": "Hm."},
                      {**messages[1], "channel": "final"}]},
    ]  # fmt: skip
    for record in [*records, messages]:
        assert dialogue_of(record, source="x", fallback_id="x-7") == expected, record
    alpaca = {"instruction": asked, "input": "In feet.", "output": told, "history": [["Hi", "Ho"]]}
    found = dialogue_of(alpaca, source="x", fallback_id="x-7")
    assert found is not None
    assert [turn.text for turn in found.turns] == ["Hi", "Ho", f"{asked}\nIn feet.", told]
    dolly = {"instruction": asked, "context": "It has 9 m.", "response": told, "category": "qa"}
    found = dialogue_of(dolly, source="x", fallback_id="x-7")
    assert found is not None
    assert found.turns[0].text == f"{asked}\nIt has 9 m."


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("sharegpt-QWJhYvA_0", "sharegpt-QWJhYvA"),
        ("sharegpt-QWJhYvA_12", "sharegpt-QWJhYvA"),
        ("sgd-dev-4_00004", "sgd-dev-4_00004"),
        ("ccpe-1", "ccpe-1"),
    ],
)
def test_pieces_of_one_conversation_are_one_group(name: str, group: str) -> None:
    assert Dialogue(name, "x", ()).group == group
