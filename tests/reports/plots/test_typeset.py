"""Lines fit, lose nothing, and can be shown."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from duo.escape import clean
from reports.plots.typeset import fit, fit_end, width, wrap

SIZE = 8.0
TEXT = st.text(max_size=60)


@given(TEXT.map(clean), st.floats(12, 200))
def test_wrapped_lines_fit_and_lose_no_character(text: str, limit: float) -> None:
    lines = wrap(re.findall(r" *[^ ]+ *", text), limit, SIZE)
    assert all(width(line, SIZE) <= limit or len(line) == 1 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(TEXT.map(clean), st.floats(12, 200))
def test_what_does_not_fit_is_cut_and_says_so(text: str, limit: float) -> None:
    for cut, kept in (
        (fit(text, limit, SIZE), str.startswith),
        (fit_end(text, limit, SIZE), str.endswith),
    ):
        assert width(cut, SIZE) <= limit
        assert cut == text or ("…" in cut and kept(text, cut.strip("…")))


@given(TEXT)
def test_cleaned_text_has_nothing_that_could_break_a_file(text: str) -> None:
    shown = clean(text + "\x00\x1b[31m\ud800\u202e\ufffe\u2028\r\n\t")
    assert all(unicodedata.category(c) not in ("Cc", "Cs") for c in shown)
    assert not {"\u202e", "\ufffe", "\u2028"} & set(shown)
    shown.encode("utf-8")


def test_widths_are_those_of_the_font_that_comes_with_matplotlib() -> None:
    assert width("", SIZE) == 0
    assert width("W", SIZE) > width("i", SIZE) > 0
    assert width("W", SIZE, "bold") > width("W", SIZE)
    assert width("汉字", SIZE) == 2 * SIZE
    assert width("e\u0301", SIZE) == width("e", SIZE)
