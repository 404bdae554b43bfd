"""Programs taken out of what a model wrote, whether it continued a text or answered in a chat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_BLOCK = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)

#: What begins in the first column after a function's body belongs to something else.
_AFTER = re.compile(r"\n(?=\S)")


def completed(
    responses: Sequence[Sequence[str]], docs: Sequence[dict[str, Any]]
) -> list[list[str]]:
    """Programs from answers to HumanEval: a function that was completed, or written anew.

    Args:
        responses: for each problem its answers.
        docs: the problems, with `prompt` and `entry_point`.
    """
    return [
        [complete(answer, doc["prompt"], doc["entry_point"]) for answer in answers]
        for answers, doc in zip(responses, docs, strict=True)
    ]


def complete(answer: str, prompt: str, function: str) -> str:
    """A program that defines `function`, from an answer to `prompt`.

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


def whole(responses: Sequence[Sequence[str]], docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Programs from answers to MBPP: the first block of code, or else the answer itself.

    Args:
        responses: for each problem its answers.
        docs: the problems; not needed.
    """
    return [[_whole(answer) for answer in answers] for answers in responses]


def _whole(answer: str) -> str:
    block = _BLOCK.search(answer)
    return block.group(1) if block else answer.partition("[DONE]")[0]
