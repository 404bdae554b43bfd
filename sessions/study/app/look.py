"""How the pages look, and texts on them that are shown as they are."""

from __future__ import annotations

from html import escape

import streamlit as st

_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: .8rem 2rem 2rem; max-width: 1560px;
  margin: 0 auto; }
[data-testid="stHeader"] { height: 0; min-height: 0; background: none; }
[class*="st-key-text"] { max-width: 46rem; margin: 0 auto; width: 100%; }
[class*="st-key-text"] [data-testid="stMarkdownContainer"] p { line-height: 1.6; }
.st-key-wide-example { max-width: 64rem; margin: 0 auto; width: 100%; }
h1.duo { font-size: 1.4rem; line-height: 1.25; margin: 0; padding: 0; font-weight: 650; }
h1.duo span { font-weight: 400; opacity: .72; margin-left: .35rem; white-space: nowrap; }
h1.duo:focus { outline: none; }
[data-testid="stLayoutWrapper"]:has(> .st-key-problem) { position: sticky; top: .5rem;
  z-index: 20; border-radius: 8px; background: var(--st-background-color, Canvas); }
[data-testid="stLayoutWrapper"]:has(> .st-key-problem:empty) { display: none; }
b.duo { line-height: 2.25rem; }
h2.duo { font-size: 1.12rem; margin: 0; padding: 0; font-weight: 650; }
[class*="st-key-text"] h1.duo { font-size: 1.7rem; margin-top: 1rem; }
[class*="st-key-text"] h2.duo { margin-top: .7rem; }
h3.duo { font-size: .95rem; margin: 0; padding: 0; font-weight: 650; line-height: 1.3; }
p.duo { margin: 0 0 .4rem; line-height: 1.5; }
p.duo.soft, details.duo { color: color-mix(in srgb, currentColor 72%, transparent); }
p.duo.small { font-size: .8rem; line-height: 1.4; margin: 0; }
p.duo.open { color: #a15c00; font-weight: 600; font-size: .85rem; margin: .1rem 0 0; }
details.duo { font-size: .82rem; line-height: 1.45; margin: 0 0 .1rem; }
details.duo summary { cursor: pointer; padding: .1rem 0; width: fit-content; }
details.duo summary span { text-decoration: underline dotted; text-underline-offset: 3px; }
details.duo p, div.duo.help p { margin: .15rem 0 .3rem; }
div.duo.help { font-size: .92rem; line-height: 1.5; margin: .1rem 0 .3rem; }
div.duo.head { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; align-items: baseline;
  justify-content: space-between; }
div.duo.head p { margin: 0; font-size: .88rem; }
div.duo.track { height: 4px; border-radius: 2px; margin-top: .5rem;
  background: color-mix(in srgb, currentColor 10%, transparent); }
div.duo.track i { display: block; height: 100%; border-radius: 2px;
  background: var(--st-primary-color, #2f6fb2); transition: width .2s; }
.st-key-answers { gap: .55rem; }
.st-key-unseen { display: none; }
[class*="st-key-ask"] { padding: .4rem .8rem .55rem; border-radius: 10px; gap: .3rem;
  border: 1px solid color-mix(in srgb, currentColor 16%, transparent); }
[class*="st-key-ask"]:has(.now) { border-color: var(--st-primary-color, #2f6fb2);
  box-shadow: inset 3px 0 0 var(--st-primary-color, #2f6fb2); }
[class*="st-key-ask"] [role="radiogroup"] { gap: .35rem; }
[class*="st-key-ask"] [role="radiogroup"] label { min-height: 2.25rem; display: flex;
  flex-direction: row; align-items: center; gap: .4rem; margin: 0; border-radius: 8px;
  padding: .2rem .55rem .2rem .45rem;
  border: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
[class*="st-key-ask"] [role="radiogroup"] label:hover {
  border-color: color-mix(in srgb, currentColor 45%, transparent); }
[class*="st-key-ask"] [role="radiogroup"] label > div { margin-top: 0; }
[class*="st-key-ask"] [role="radiogroup"] label:has(input:checked) {
  border-color: var(--st-primary-color, #2f6fb2);
  background: color-mix(in srgb, var(--st-primary-color, #2f6fb2) 14%, transparent); }
[class*="st-key-ask"] [role="radiogroup"] label:has(input:focus-visible) {
  outline: 2px solid var(--st-primary-color, #2f6fb2); outline-offset: 2px; }
[class*="st-key-ask"]:has(.now) [role="radiogroup"] label::after { font-size: .72rem;
  opacity: .6; }
[class*="st-key-ask"]:has(.now) [role="radiogroup"] > :nth-child(1) label::after {
  content: "A" / ""; }
[class*="st-key-ask"]:has(.now) [role="radiogroup"] > :nth-child(2) label::after {
  content: "T" / ""; }
[class*="st-key-ask"]:has(.now) [role="radiogroup"] > :nth-child(3) label::after {
  content: "B" / ""; }
[class*="st-key-ask"]:has(.now) [role="radiogroup"] > :nth-child(4) label::after {
  content: "X" / ""; }
@media (min-width: 1100px) {
  [data-testid="stColumn"]:has(.st-key-talk) {
    align-self: flex-start; position: sticky; top: .8rem; }
}
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding: .8rem .8rem 2rem; }
  h1.duo, [class*="st-key-text"] h1.duo { font-size: 1.25rem; }
  [class*="st-key-ask"] [role="radiogroup"] { display: grid; grid-template-columns: 1fr 1fr; }
  [class*="st-key-ask"] [role="radiogroup"]:has(> :nth-child(3):last-child) {
    grid-template-columns: repeat(3, 1fr); }
  [class*="st-key-ask"] [data-testid="stElementContainer"]:has([role="radiogroup"]),
  [class*="st-key-ask"] [data-testid="stRadio"], [class*="st-key-ask"] [role="radiogroup"] {
    width: 100%; }
  [class*="st-key-ask"] [role="radiogroup"] label { min-height: 2.75rem; }
  [class*="st-key-ask"] [data-testid="stCheckbox"] label { min-height: 2.75rem; }
  details.duo summary { padding: .6rem 0; }
}
@media (max-width: 640px), (pointer: coarse) {
  .st-key-keyboard { display: none; }
  [class*="st-key-ask"]:has(.now) [role="radiogroup"] label::after { display: none; }
}
@media (prefers-color-scheme: dark) { p.duo.open { color: #f0b45e; } }
@media (prefers-reduced-motion: reduce) { div.duo.track i { transition: none; } }
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
