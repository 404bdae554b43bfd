"""The baseline's form: slices put together give the dialogue, and both kinds of files are read."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.data.dialogue import dialogue_of, word_spans
from duo.data.sample import AssistantTurn, Sample, UserTurn
from duo.data.slices import (
    ANSWER_TOKENS,
    answer_slices,
    read_slices,
    slice_form,
    slices,
    user_slices,
)
from duo.errors import BadInput
from duo.tokens import IDLE
from tests.duo.data.dialogues import write_lines
from tests.tiny import KINDS, tiny_tokenizer

TOKENIZERS = {kind: tiny_tokenizer(kind=kind) for kind in KINDS}
SPOKEN = "What a rainy day it is, I think! 你好 wait for 120 kilometres café 🙂 (then) we"
WORDS = SPOKEN.split()
spoken = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join)
answers = st.lists(st.sampled_from([*WORDS, "\n\n", "  "]), min_size=1, max_size=60).map(" ".join)
kinds = st.sampled_from(KINDS)


@given(spoken, st.integers(0, 99))
def test_user_slices_are_four_to_six_words(text: str, seed: int) -> None:
    cut = user_slices(text, Random(seed))
    sizes = [len(word_spans(part)) for part in cut]
    assert all(4 <= size <= 6 for size in sizes[:-1])
    assert 1 <= sizes[-1] <= 6
    assert "".join("".join(cut).split()) == "".join(text.split())


@given(st.one_of(answers, st.text(max_size=80)), kinds)
def test_answer_slices_are_the_answer_ten_tokens_at_a_time(text: str, kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    text = text.encode("utf-8", "replace").decode()
    cut = answer_slices(text, tokenizer)
    assert "".join(cut) == (text if text.strip() else "")
    assert all(part.strip() for part in cut)
    tokens = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert len(cut) <= max(1, -(-tokens // ANSWER_TOKENS))


turns = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), spoken, answers, st.booleans()),
        st.tuples(st.just("remark"), spoken, st.just(""), st.booleans()),
    ),
    min_size=1,
    max_size=5,
)


@given(turns, kinds, st.integers(0, 99))
def test_slices_of_a_sample_give_the_dialogue_back(
    talk: list[tuple[str, str, str, bool]], kind: str, seed: int
) -> None:
    messages: list[UserTurn | AssistantTurn] = []
    for what, said, answer, complete in talk:
        state = "<1>" if what == "ask" else "<2>"
        messages.append(UserTurn(content=said, state=state))  # type: ignore[arg-type]
        if what == "ask":
            messages.append(AssistantTurn(content=answer.strip(), complete=complete))
    sample = Sample(id="x", messages=tuple(messages))
    pairs = slices(sample, TOKENIZERS[kind], Random(seed))
    users = "".join(part for part, _ in pairs if part != IDLE)
    told = "".join(part for _, part in pairs if part != IDLE)
    expected = "".join(m.content for m in messages if isinstance(m, UserTurn))
    assert "".join(users.split()) == "".join(expected.split())
    assert told == "".join(m.content for m in messages if isinstance(m, AssistantTurn))


def test_silence_tells_complete_answers_from_cut_ones() -> None:
    sample = Sample(
        id="x",
        messages=(
            UserTurn(content="What is rain?", state="<1>"),
            AssistantTurn(content="Water. It", complete=False),
            UserTurn(content="uhhuh", state="<2>"),
            UserTurn(content="Stop.", state="<1>"),
            AssistantTurn(content=""),
            UserTurn(content="And what is snow?", state="<1>"),
            AssistantTurn(content="Ice."),
            UserTurn(content="And", state=None),
        ),
    )
    assert slices(sample, TOKENIZERS["bytes"], Random(0)) == [
        ("What is rain?", "Water. It"),
        ("uhhuh", IDLE),
        (IDLE, IDLE),
        ("Stop.", IDLE),
        (IDLE, IDLE),
        ("And what is snow?", "Ice."),
        (IDLE, IDLE),
        ("And", IDLE),
    ]


def test_our_own_files_are_read_back(tmp_path: Path) -> None:
    TOKENIZERS["bytes"].save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{}")
    line = slice_form(str(tmp_path / "model"), seed=0)
    first = "The river is long. It comes from the hills and goes down to the sea"
    sample = Sample(
        id="x-1#0",
        source="x",
        messages=(
            UserTurn(content="What is the name of the longest river?", state="<1>"),
            AssistantTurn(content=first, complete=False),
            UserTurn(content="Hold on, how do I get there from here by boat?", state="<1>"),
            AssistantTurn(content="You take the boat at seven."),
        ),
    )
    assert line(sample) == line(sample)
    path = write_lines(tmp_path / "train.jsonl", [line(sample)])
    [(number, read)] = read_slices(path)
    assert number == 1
    assert [role for role, _ in read] == ["user", "assistant"] * (len(read) // 2)
    found = dialogue_of(json.loads(line(sample)), source="x", fallback_id="")
    assert found is not None
    assert [turn.text for turn in found.turns] == [turn.content for turn in sample.messages]
    assert [turn.complete for turn in found.turns] == [True, False, True, True]


def test_original_files_are_read(tmp_path: Path) -> None:
    slice_ = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    path = write_lines(tmp_path / "a.jsonl", [{"output": slice_, "type": 3}] * 2)
    said = [("user", "Hi"), ("assistant", "Hello.")]
    assert list(read_slices(path)) == [(1, said), (2, said)]


@pytest.mark.parametrize(
    ("output", "field"),
    [
        (None, "output: is no list of"),
        ("Hi", "output: is no list of"),
        ([{"role": "dog", "content": "x"}], r"output\[0\]\.role: must be user or assistant"),
        ([{"role": "user", "content": 1}], r"output\[0\]\.content: is not a text"),
        (["x"], r"output\[0\]\.role: must be user or assistant"),
    ],
)
def test_bad_slices_name_their_place(tmp_path: Path, output: object, field: str) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"output": output}])
    with pytest.raises(BadInput, match=rf"a\.jsonl:1: {field}"):
        list(read_slices(path))
