"""Programs taken out of answers: continued or written anew, bare or in a block."""

from __future__ import annotations

import pytest

from evaluation.benchmarks.programs import complete, whole

_PROMPT = 'import math\n\n\ndef half(n: int) -> float:\n    """Half of n."""\n'


@pytest.mark.parametrize(
    "answer",
    [
        "    return n / 2\n",
        "\n    return n / 2\n\ndef other():\n    return 1",
        "    half = n / 2\n\n    return half\nprint(half(3))",
        "def half(n):\n    return n / 2",
        "Here it is:\n```python\ndef half(n):\n    return n / 2\n```\nIt halves.",
        "```\n    return n / 2\n```",
        "```python\nimport math\n\ndef half(n: int) -> float:\n    return math.ldexp(n, -1)",
    ],
)
def test_every_form_of_a_right_answer_is_a_right_program(answer: str) -> None:
    space: dict = {}
    exec(complete(answer, _PROMPT, "half"), space)
    assert space["half"](5) == 2.5


def test_what_follows_the_function_is_cut() -> None:
    program = complete("    return n / 2\nassert half(2) == 3\n", _PROMPT, "half")
    assert "assert" not in program


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("x = 1", "x = 1"),
        ("x = 1\n[DONE]\nmore", "x = 1\n"),
        ("Sure:\n```python\nx = 1\n```\nDone.", "x = 1"),
        ("```\nx = 1", "x = 1"),
    ],
)
def test_whole_programs(answer: str, program: str) -> None:
    assert whole([[answer]], [{}]) == [[program]]
