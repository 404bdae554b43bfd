"""Words and their times."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.words import blank_between, cut
from sessions.scenario import Hearing, heard_text, paced, revised

WORDS = st.lists(st.sampled_from(["a", "soup,", "don't", "“so”", "3.5", "long-winded"]), min_size=1)
ANY_TEXT = st.one_of(
    st.text(),
    st.text(alphabet="ab 你好吗，。《》“”！? \n…é🙂カ한"),
    WORDS.map(" ".join),
)


@settings(max_examples=400)
@given(ANY_TEXT)
def test_words_joined_are_the_text_with_single_blanks(text: str) -> None:
    words = cut(text)
    assert "".join(words) == " ".join(text.split())
    assert all(word.strip() for word in words)
    assert not any(word.endswith(" ") for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Well, what's up?", ["Well,", " what's", " up?"]),
        ("It cost 3.50 — really…", ["It", " cost", " 3.50 —", " really…"]),
        ("你好，我想订票。", ["你", "好，", "我", "想", "订", "票。"]),
        ("《红楼梦》用Python讲", ["《红", "楼", "梦》", "用", "Python", "讲"]),
        ("他说“好”。", ["他", "说", "“好”。"]),
        ("He said “so” twice", ["He", " said", " “so”", " twice"]),
        ("안녕 하세요", ["안녕", " 하세요"]),
        ("?!", ["?!"]),
        ("", []),
    ],
)
def test_words_are_what_a_recogniser_hands_on(text: str, words: list[str]) -> None:
    assert list(cut(text)) == words


@pytest.mark.parametrize(
    ("before", "after", "blank"),
    [("a", "b", " "), ("", "b", ""), ("a ", "b", ""), ("好。", "我", ""), ("said", "“so”", " ")],
)
def test_blanks_part_what_is_written_with_blanks(before: str, after: str, blank: str) -> None:
    assert blank_between(before, after) == blank


@given(WORDS, st.floats(1, 1000), st.floats(0, 100))
def test_a_stretch_lasts_what_its_rate_says(words: list[str], rate: float, start: float) -> None:
    hearings = paced(words, per_minute=rate, start=start)
    assert hearings[0].start == start
    assert hearings[-1].end - start == pytest.approx(len(words) * 60 / rate)
    for before, after in itertools.pairwise(hearings):
        assert before.end == after.start
    assert all(hearing.end > hearing.start for hearing in hearings)


def test_a_longer_word_takes_longer() -> None:
    # Two letters' worth for each word and one for each letter: shares 3, 5, 8 of 16; 1.2 s in all.
    hearings = paced(["I", " see", " orange"], per_minute=150)
    assert [round(hearing.end, 3) for hearing in hearings] == [0.225, 0.6, 1.2]


def spoken(*words: str) -> list[Hearing]:
    """Each word takes a second."""
    return [Hearing(word, float(at), at + 1.0) for at, word in enumerate(words)]


def test_a_revision_replaces_the_first_words_and_keeps_the_later_ones() -> None:
    heard = list(
        revised(spoken("Should", " I", " serve", " a", " seat"), [(3, "Do I reserve", 1.5)])
    )
    assert [(hearing.text, hearing.end) for hearing in heard] == [
        ("Should", 1.0),
        (" I", 2.0),
        (" serve", 3.0),
        (" a", 4.0),
        ("Do I reserve a", 4.5),
        (" seat", 5.0),
    ]
    assert [hearing.restates for hearing in heard] == [False] * 4 + [True, False]
    assert heard_text(heard) == "Do I reserve a seat"


def test_the_last_of_two_revisions_wins() -> None:
    heard = list(revised(spoken("a", " b", " c"), [(1, "A", 0.0), (3, "x", 0.2)]))
    assert [hearing.text for hearing in heard] == ["a", "A", " b", " c", "x"]
    assert heard_text(heard) == "x"


@given(st.data(), WORDS)
def test_what_is_heard_in_the_end_is_the_last_revision_and_the_words_after(
    data: st.DataObject, words: list[str]
) -> None:
    timed = spoken(*cut(" ".join(words)))
    counts = sorted(data.draw(st.sets(st.integers(1, len(timed)), max_size=3)))
    delay = data.draw(st.floats(0, 5))
    changes = [(count, f"text {count}", delay) for count in counts]
    heard = list(revised(timed, changes))
    count, text = (counts[-1], f"text {counts[-1]}") if counts else (0, "")
    assert heard_text(heard) == text + "".join(word.text for word in timed[count:])
    assert [hearing.end for hearing in heard] == sorted(hearing.end for hearing in heard)
    assert sum(not hearing.restates for hearing in heard) == len(timed)
