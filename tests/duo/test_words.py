"""Words and their times, from pieces cut anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo.words import Piece, Word, common, length, merged, words_of


def test_tokens_become_words() -> None:
    pieces = [Piece(0, 1, "J"), Piece(1, 2, "et"), Piece(2, 4, " lag"), Piece(4, 5, ".")]
    assert words_of(pieces) == (Word(0, 2, "Jet"), Word(2, 5, "lag."))


def test_a_phrase_is_spoken_evenly_and_chinese_word_by_character() -> None:
    assert words_of([Piece(0, 4, "ab c")]) == (Word(0, 2, "ab"), Word(3, 4, "c"))
    chinese = words_of([Piece(0, 2, "今天"), Piece(2, 3, "，好")])
    assert [word.text for word in chinese] == ["今", "天，", "好"]


def test_signs_alone_are_no_words() -> None:
    assert words_of([Piece(0, 1, " - ")]) == ()
    assert words_of([Piece(0, 1, "«"), Piece(1, 2, " so"), Piece(2, 3, " !")]) == (
        Word(0, 3, "« so !"),
    )


@given(
    words=st.lists(st.text("abcé", min_size=1, max_size=5), min_size=1, max_size=6),
    cuts=st.sets(st.integers(1, 30), max_size=6),
)
@settings(deadline=None, derandomize=True)
def test_where_pieces_are_cut_does_not_matter(words: list[str], cuts: set[int]) -> None:
    text = "".join(f" {word}" for word in words)
    edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [Piece(a, b, text[a:b]) for a, b in itertools.pairwise(edges)]
    found = words_of(pieces)
    assert [word.text for word in found] == words
    assert all(word.start < word.end for word in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))


def test_overlap_of_intervals() -> None:
    assert merged([(3, 4), (0, 2), (1, 2.5)]) == [(0, 2.5), (3, 4)]
    assert length([(0, 2), (1, 3), (5, 6)]) == 4
    assert common([(0, 2), (3, 5)], [(1, 4)]) == [(1, 2), (3, 4)]
    assert common([(0, 1)], [(1, 2)]) == []


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=6),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=6),
)
@settings(deadline=None, derandomize=True)
def test_overlap_agrees_with_counting_seconds(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    spans = [[(start, start + long) for start, long in side] for side in (one, other)]
    seconds = [{s for a, b in side for s in range(a, b)} for side in spans]
    assert length(common(*spans)) == pytest.approx(len(seconds[0] & seconds[1]))
