"""How the pages look, and texts on them that are shown as they are."""

from __future__ import annotations

from html import escape

import streamlit as st

_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 1.6rem 2rem 3rem; max-width: 1500px;
  margin: 0 auto; }
[data-testid="stHeader"] { height: 0; min-height: 0; background: none; }
[class*="st-key-text"] { max-width: 46rem; margin: 0 auto; width: 100%; }
[class*="st-key-text"] [data-testid="stMarkdownContainer"] p { line-height: 1.6; }
h1.duo { font-size: 1.7rem; line-height: 1.25; margin: 0; padding: 0; font-weight: 650; }
h2.duo { font-size: 1.2rem; margin: .6rem 0 0; padding: 0; font-weight: 650; }
h3.duo { font-size: .98rem; margin: 0; padding: 0; font-weight: 650; line-height: 1.35; }
p.duo { margin: 0 0 .4rem; line-height: 1.5; }
p.duo.soft, details.duo { color: color-mix(in srgb, currentColor 68%, transparent); }
p.duo.name { font-size: .78rem; letter-spacing: .02em; margin: 0 0 .1rem; }
p.duo.open { color: #a15c00; font-weight: 600; font-size: .85rem; margin: .2rem 0 0; }
details.duo { font-size: .86rem; line-height: 1.45; margin: .15rem 0 0; }
details.duo summary { cursor: pointer; padding: .15rem 0; }
details.duo p { margin: .15rem 0 .3rem; }
p.duo.code { font: 600 1.6rem ui-monospace, monospace; letter-spacing: .1em; }
[class*="st-key-ask"] { padding: .7rem .85rem .45rem; border-radius: 10px;
  border: 1px solid color-mix(in srgb, currentColor 14%, transparent); gap: .3rem; }
[class*="st-key-ask-now"] { border-color: var(--st-primary-color, #2f6fb2);
  box-shadow: inset 3px 0 0 var(--st-primary-color, #2f6fb2); }
[class*="st-key-ask"] [role="radiogroup"] { gap: .3rem .5rem; }
[class*="st-key-ask"] [role="radiogroup"] label { padding: .3rem .55rem .3rem .4rem; margin: 0;
  border: 1px solid color-mix(in srgb, currentColor 16%, transparent); border-radius: 8px; }
[class*="st-key-ask"] [role="radiogroup"] label:has(input:checked) {
  border-color: var(--st-primary-color, #2f6fb2);
  background: color-mix(in srgb, var(--st-primary-color, #2f6fb2) 10%, transparent); }
@media (min-width: 1100px) {
  [data-testid="stColumn"]:has(.st-key-talk) {
    align-self: flex-start; position: sticky; top: 1rem; }
}
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding: 1rem .8rem 3rem; }
  [class*="st-key-ask"] [role="radiogroup"] label { min-height: 2.6rem; align-items: center; }
}
@media (max-width: 640px), (pointer: coarse) { .st-key-keyboard { display: none; } }
</style>"""


def dress() -> None:
    """Our style sheet: constant, and nothing of it comes from outside."""
    st.html(_STYLE)


def heading(text: str, level: int = 1) -> None:
    st.html(f'<h{level} class="duo">{escape(text)}</h{level}>')


def plain(text: str, kind: str = "") -> None:
    """A paragraph, shown as it is."""
    st.html(f'<p class="duo {escape(kind)}">{escape(text)}</p>')


def authored(text: str) -> None:
    """A text of the design in which Markdown counts; never HTML, and a dollar is a dollar."""
    st.markdown(text.replace("$", r"\$"))


def title(name: str) -> str:
    """A criterion's name as it is shown.

    >>> title("human-likeness")
    'Human-likeness'
    """
    return name[:1].upper() + name[1:].replace("_", " ")


def literally(text: str) -> str:
    r"""A text for labels, which Streamlit reads as Markdown: its punctuation is shown as it is.

    >>> literally("*a* [b](c)")
    '\\*a\\* \\[b\\]\\(c\\)'
    """
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+-.!|<>$~:&" else sign for sign in text)
