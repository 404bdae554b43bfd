"""Take programs out of what a model wrote, and score them in the sandbox.

Named by the task files of HumanEval and MBPP, in place of lm-eval's own functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_BLOCK = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)

#: What begins in the first column after a function's body belongs to something else.
_AFTER = re.compile(r"\n(?=\S)")

_Answers = Sequence[Sequence[str]]


def continued(responses: _Answers, docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Make programs from answers to HumanEval that continue the prompt, as lm-eval reads them.

    Args:
        responses: for each problem its answers.
        docs: the problems, with `prompt`.
    """
    return [
        [doc["prompt"] + answer for answer in answers]
        for answers, doc in zip(responses, docs, strict=True)
    ]


def completed(responses: _Answers, docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Make programs from answers to HumanEval: a function that was completed, or written again.

    Args:
        responses: for each problem its answers.
        docs: the problems, with `prompt` and `entry_point`.
    """
    return [
        [complete(answer, doc["prompt"], doc["entry_point"]) for answer in answers]
        for answers, doc in zip(responses, docs, strict=True)
    ]


def complete(answer: str, prompt: str, function: str) -> str:
    """Make a program that defines `function` from an answer to `prompt`.

    A block of code counts instead of the text around it. If the function is defined in it, it is
    taken as it is, after what the prompt defines before the function; otherwise it is the body.
    """
    block = _BLOCK.search(answer)
    code = block.group(1) if block else answer
    if re.search(rf"^def {re.escape(function)}\b", code, re.MULTILINE):
        before = prompt.partition(f"def {function}")[0]
        return f"{before}\n{code}\n"
    body = _AFTER.split(code if code.startswith("\n") else f"\n{code}", maxsplit=1)
    first = body[0] if body[0].strip() else code  # an answer that begins in the first column
    return f"{prompt.rstrip()}\n{first.strip(chr(10))}\n"


def whole(responses: _Answers, docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Make programs from answers to MBPP: the first block of code, or else the answer itself.

    Args:
        responses: for each problem its answers.
        docs: the problems; not needed.
    """
    return [[_whole(answer) for answer in answers] for answers in responses]


def _whole(answer: str) -> str:
    block = _BLOCK.search(answer)
    return block.group(1) if block else answer.partition("[DONE]")[0]


def pass_at_k(
    references: Sequence[str], predictions: _Answers, k: Sequence[int]
) -> dict[str, float]:
    """Score programs by their tests: `pass@k` for each k, see `evaluation.sandbox`."""
    from evaluation.sandbox.code_eval import CodeEval

    return CodeEval().compute(references=references, predictions=predictions, k=k)[0]


def pass_at_1(references: Sequence[str], predictions: Sequence[str] | _Answers) -> float:
    """Score one program for each problem by its tests."""
    programs = [[p] if isinstance(p, str) else p for p in predictions]
    return pass_at_k(references, programs, k=[1])["pass@1"]
