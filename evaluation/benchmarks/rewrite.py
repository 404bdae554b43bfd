"""Items rewritten before they are asked: BIG-Bench Hard with a letter for every option.

Most of its tasks have lettered options; six have two bare words to choose from. UltraEval asks all
of these by letter, and only the four whose answers are free by the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from evaluation.benchmarks.folders import Row

#: Answers that are no choice among options.
FREE = frozenset({"dyck_languages", "multistep_arithmetic_two", "object_counting", "word_sorting"})

#: The two answers of tasks whose options have no letters.
PAIRS: Mapping[str, tuple[str, str]] = {
    "boolean_expressions": ("True", "False"),
    "causal_judgement": ("Yes", "No"),
    "formal_fallacies": ("valid", "invalid"),
    "navigate": ("Yes", "No"),
    "sports_understanding": ("yes", "no"),
    "web_of_lies": ("Yes", "No"),
}

_OPTION = re.compile(r"(\([A-Z]\)) (.*)")
_OPTIONS = re.compile(r"\n*Options:\n.*\Z", re.DOTALL)


def letters(subset: str, row: Row) -> Row:
    """An item of BIG-Bench Hard with `question`, `options` (a text, empty where answers are free)
    and as `target` the letter in parentheses, or the free answer."""
    text, target = row["input"], row["target"].strip()
    if subset in FREE:
        return {"question": text, "options": "", "target": target}
    if subset in PAIRS:
        pair = PAIRS[subset]
        options = "\n".join(f"({letter}) {word}" for letter, word in zip("AB", pair, strict=True))
        target = f"({'AB'[pair.index(target)]})" if target in pair else target
        return {"question": _OPTIONS.sub("", text), "options": options, "target": target}
    found = _OPTIONS.search(text)
    options = found.group().strip().removeprefix("Options:").strip() if found else ""
    # Three published targets are an option's text instead of its letter.
    by_text = {option: letter for letter, option in _OPTION.findall(options)}
    target = by_text.get(target, target)
    return {"question": _OPTIONS.sub("", text), "options": options, "target": target}
