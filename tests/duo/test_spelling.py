"""Three spellings of a text, and how one is recognised."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.spelling import SPELLINGS, spell, spelling_of
from duo.words import cut


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Well, is it 7:45?  (Yes!)", "Well is it 7:45 Yes"),
        ("- They're “here”…\n- It's 3.5%.", "They're here It's 3.5%"),
        ("你好，请问几点？（谢谢。）", "你好请问几点谢谢"),
        ("我用 Python，你呢？", "我用 Python 你呢"),
        ("...", "..."),
        ("?!", "?!"),
    ],
)
def test_marks_go_and_words_stay(text: str, bare: str) -> None:
    assert spell(text, "written") == text
    assert spell(text, "unpunctuated") == bare
    assert spell(text, "lower") == bare.lower()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text("aB ,.?!-'\"“”()你好，。？:…\n", min_size=1).filter(str.strip))
def test_a_spelled_text_is_one_line_never_empty_and_stays_as_it_is(text: str) -> None:
    for spelling in SPELLINGS[1:]:
        once = spell(text, spelling)
        assert once == " ".join(once.split())
        assert once
        assert "".join(filter(str.isalnum, once)) == "".join(
            filter(str.isalnum, text if spelling == "unpunctuated" else text.lower())
        )
    assert len(cut(spell(text, "lower"))) >= 1


def test_a_spelling_is_recognised() -> None:
    text = "Could you tell me, please, what the time is?"
    assert [spelling_of(spell(text, one)) for one in SPELLINGS] == list(SPELLINGS)
    assert spelling_of("今天天气怎么样？") == "written"
    assert spelling_of("今天天气怎么样") == "lower"
