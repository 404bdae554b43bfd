"""Score answers as UltraEval does, the platform that the paper's Table 1 was measured with.

Named by the task files of the profile `ultraeval`, each as `process_results` of lm-eval's task: it
takes an item and the answers to it, of which there is one, and gives the accuracy. The rules are
those of UltraEval (OpenBMB/UltraEval, Apache-2.0: metrics and post-processing of its tasks at the
time of the paper), faults included, for they are part of the published numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_Scores = dict[str, float]

_MARKED = re.compile(r"#### (-?[0-9.,]+)")

#: What an answer of BIG-Bench Hard comes after.
_ANSWER = ("answer is", "答案是")


def prefix_match(answer: str, right: str) -> bool:
    """Tell whether an answer begins with the right one; blanks around it do not count."""
    return answer.strip().startswith(right.strip())


def qa_match(answer: str, question: str, options: Sequence[str], right: int) -> bool:
    """Tell whether an answer names the right option by its letter or begins with its text.

    The letter is the first word of the first line that is a letter of one of the options, with or
    without parentheses and with or without a full stop; so "A cat, (C)" says "(A)". The text may
    come after the question, repeated.
    """
    answer = answer.strip()
    letters = [chr(ord("A") + number) for number in range(len(options))]
    for word in answer.partition("\n")[0].split(" "):
        bare = word.removesuffix(".")
        letter = bare[1:-1] if bare[:1] + bare[-1:] == "()" else bare
        if letter in letters:
            if letter == letters[right]:
                return True
            break
    return answer.removeprefix(question.strip()).strip().startswith(options[right].strip())


def number(answer: str) -> str:
    """Take the number out of an answer to GSM8K, in four steps.

    The number after the first "####"; else the word after the last ">>"; else the word after the
    last "="; else the last word of digits alone, and if there is none the first word. Commas do
    not count, nor in the second and third step dollar signs around it and full stops behind it.
    """
    marked = _MARKED.search(answer)
    if marked:
        return marked[1].replace(",", "")
    for sign in (">>", "="):
        _, found, rest = answer.rpartition(sign)
        if found and rest.split():
            return rest.split()[0].strip("$").replace(",", "").rstrip(".")
    words = answer.split()
    return next((word for word in reversed(words) if word.isdigit()), words[0] if words else "")


def free_answer(answer: str) -> str:
    """Take the answer out of one to the tasks of BIG-Bench Hard without options.

    Of the first paragraph what stands after the last "answer is"; after "So the answer is" without
    a full stop at the end. Blanks do not count.
    """
    text = answer.strip().partition("\n\n")[0]
    _, so, rest = text.rpartition("So the answer is")
    text = rest.strip().rstrip(".") if so else text
    for mark in _ANSWER:
        text = text.rpartition(mark)[2]
    return "".join(text.split())


def mmlu(doc: dict[str, Any], answers: Sequence[str]) -> _Scores:
    """Score an answer to MMLU: it begins with the letter in parentheses."""
    return _score(prefix_match(answers[0], f"({'ABCD'[doc['answer']]})"))


def cmmlu(doc: dict[str, Any], answers: Sequence[str]) -> _Scores:
    """Score an answer to CMMLU: it begins with the letter in parentheses."""
    return _score(prefix_match(answers[0], f"({doc['Answer']})"))


def bbh(doc: dict[str, Any], answers: Sequence[str]) -> _Scores:
    """Score an answer to BIG-Bench Hard: it begins with the letter, or is the free answer."""
    if doc["options"]:
        return _score(prefix_match(answers[0], doc["target"]))
    return _score(free_answer(answers[0]) == "".join(doc["target"].split()))


def gsm8k(doc: dict[str, Any], answers: Sequence[str]) -> _Scores:
    """Score an answer to GSM8K: the same number as in the published one, digit by digit."""
    return _score(number(answers[0]) == number(doc["answer"]))


def arc(doc: dict[str, Any], answers: Sequence[str]) -> _Scores:
    """Score an answer to ARC: it names the right option."""
    right = doc["choices"]["label"].index(doc["answerKey"])
    return _score(qa_match(answers[0], doc["question"], doc["choices"]["text"], right))


def hellaswag(doc: dict[str, Any], answers: Sequence[str]) -> _Scores:
    """Score an answer to HellaSwag: it names the right ending."""
    scene = f"{doc['ctx_a']} {doc['ctx_b']}".strip()
    return _score(qa_match(answers[0], scene, doc["endings"], int(doc["label"])))


def _score(right: bool) -> _Scores:
    return {"acc": float(right)}
