"""Programs taken out of answers: a right one counts however it is fenced."""

from __future__ import annotations

from textwrap import indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.benchmarks.programs import called_by_tests, completed, program, whole

PROMPT = 'import math\n\n\ndef half(n: int) -> float:\n    """Half of n."""\n'
HUMANEVAL = {"prompt": PROMPT, "entry_point": "half"}
MBPP = {
    "test_list": ["assert half(3) == 1.5", "assert half(len([1])) == 0.5", "assert half(0) == 0"],
    "test_setup_code": "",
}
BODY = "    result = n / 2\n\n    return result"
FUNCTION = f"def half(n):\n{BODY}"


def run(code: str) -> float:
    space: dict = {}
    exec(code, space)
    return space["half"](5)


def of_humaneval(answer: str) -> str:
    return completed([[answer]], [HUMANEVAL])[0][0]


def of_mbpp(answer: str) -> str:
    return whole([[answer]], [MBPP])[0][0]


@pytest.mark.parametrize(
    "answer",
    [
        "    return n / 2\n",
        "\n    return n / 2\n\ndef other():\n    return 1",
        "    half = n / 2\n\n    return half\nprint(half(3))",
        "Here it is:\n```python\ndef half(n):\n    return n / 2\n```\nIt halves.",
        "```\n    return n / 2\n```",
        "```python\nimport math\n\ndef half(n: int) -> float:\n    return math.ldexp(n, -1)",
        "    return n / 2\n```",  # a closing fence alone
        "    return n / 2\n```\nOK",
        "    return n / 2\n```\n\n```python\nhalf(4)  # 2.0\n```",
        "    return n / 2\n```\n\n```\nhalf(4)\n```\n",
        "return n / 2",
        "```python\nreturn n / 2\n```",
        "result = n / 2\n    return result",
        "```\n    return n / 2\n``` which halves",
        "    ```python\n    return n / 2\n    ```",
        '```python\ndef half(n: int) -> float:\n    """Half of n."""\n```\nThe body is\n'
        "```python\n    return n / 2\n```",
    ],
)
def test_bodies_and_functions_of_humaneval(answer: str) -> None:
    assert run(of_humaneval(answer)) == 2.5


@pytest.mark.parametrize(
    "answer",
    [
        FUNCTION,
        f"{FUNCTION}\n\nIt divides by two.",
        f"Sure, here is the function:\n\n{FUNCTION}\n",
        f"{FUNCTION}\n```",
        f"{FUNCTION}\n```\n\nExample:\n```python\nhalf(3)\n```",
        f"{FUNCTION}\n[DONE]\nmore",
        f"```\n{FUNCTION}",
        f"```python\n{FUNCTION}\n\nassert half(",
        f"First\n```bash\npip install numpy\n```\nthen\n```python\n{FUNCTION}\n```",
        f"```python\nhalf(3)\n```\ncomes from\n```python\n{FUNCTION}\n```",
        f"```python\nimport math\n```\n```python\n"
        f"{FUNCTION.replace('n / 2', 'math.ldexp(n, -1)')}\n```",
        f"```python\ndef over(n):\n    return n / 2\n```\n```python\n"
        f"{FUNCTION.replace('n / 2', 'over(n)')}\n```",
        f"<think>\n```python\ndef half(n):\n    return n\n```\nNo.\n</think>\n"
        f"```python\n{FUNCTION}\n```",
        f"def half(n): return n\n</think>\n{FUNCTION}",
        f"1. Write it:\n\n   ```python\n{indent(FUNCTION, '   ')}\n   ```\n2. Run it.",
        f"- ```python\n{indent(FUNCTION, '  ')}\n  ```",
        f"~~~python\n{FUNCTION}\n~~~",
        f"````\n```\nhalf(3)\n```\n````\n~~~~\n{FUNCTION}\n~~~~",
        f"```python\n{FUNCTION}\n```python\nhalf(3)\n```",
        f"```python\ndef half(n):\n    ...\n```\nbecomes\n```python\n{FUNCTION}\n```",
    ],
)
def test_whole_functions_of_either_benchmark(answer: str) -> None:
    assert run(of_mbpp(answer)) == 2.5
    assert run(of_humaneval(answer)) == 2.5


@pytest.mark.parametrize(
    "answer",
    [
        "\n".join(f"> {line}" for line in ["```python", *FUNCTION.split("\n"), "```"]),
        f"[PYTHON]\n{FUNCTION}\n[/PYTHON]",
        f'<pre><code class="language-python">{FUNCTION}\n# &lt;-- half</code></pre>',
        f"[BEGIN]\n{FUNCTION}\n[DONE]",
        'def half(n):\n    """Half.\n\n    ```\n    half(2)\n    ```\n    """\n    return n / 2',
        f"So:\n<code>\n{FUNCTION}\n</code>\nIt divides.",
        ">>> def half(n):\n...     return n / 2\n...\n>>> half(5)\n2.5",
        '```python\ndef half(n):\n    """Half.\n\n    ```\n    half(2)\n    ```\n    """\n'
        "    return n / 2\n```",
        f"```python\n{FUNCTION}\n```".replace("    ", "\N{NO-BREAK SPACE}" * 4),
        f"```python\r\n{FUNCTION}\r\n```".replace("\n", "\r\n"),
        f"1. Do it:\n\n\t```python\n{indent(FUNCTION, chr(9))}\n\t```\n2. Done.",
        f"```{{.python}}\n{FUNCTION}\n```<|im_end|>",
        "```python\nhalf = lambda n: n / 2\n```",
    ],
)
def test_code_that_is_marked_in_other_ways(answer: str) -> None:
    assert run(of_mbpp(answer)) == 2.5
    assert run(of_humaneval(answer)) == 2.5


_PROSE = st.sampled_from(
    ["", "Here it is:", "OK", "Don't use `eval`: it is slow.", "1. First\n2. Then", "# Answer"]
)
_BEFORE = st.sampled_from(
    [
        "pip install numpy",
        "$ python half.py",
        "half(3)",
        "print(half(3))",
        "import math",
        "def half(n):\n    ...",
        "from math import floor\n\ndef third(n):\n    return n / 3",
        '{"n": 3}',
        "",
    ]
)


@st.composite
def fenced(draw: st.DrawFn, code: str) -> str:
    mark = draw(st.sampled_from(["```", "````", "~~~"]))
    language = draw(st.sampled_from(["", "python", "py", " python", "Python3"]))
    bullet = draw(st.sampled_from(["", "- ", "1. ", "   "]))
    text = f"{mark}{language}\n{code}\n{mark}"
    return bullet + indent(text, " " * len(bullet)).lstrip() if bullet else text


@st.composite
def answers(draw: st.DrawFn, code: str) -> str:
    parts = [draw(_PROSE)]
    if draw(st.booleans()):
        parts.append("<think>\n```python\ndef half(n):\n    return 0\n```\nWrong.\n</think>")
    for _ in range(draw(st.integers(0, 2))):
        parts += [draw(fenced(draw(_BEFORE))), draw(_PROSE)]
    parts.append(draw(fenced(code)))
    parts.append(draw(_PROSE))
    if draw(st.booleans()):
        parts.append(draw(fenced("half(3)")))
    return "\n\n".join(parts)


@settings(max_examples=150, deadline=None)
@given(answers(FUNCTION))
def test_whatever_stands_around_the_block_the_function_is_found(answer: str) -> None:
    assert run(of_mbpp(answer)) == 2.5
    assert run(of_humaneval(answer)) == 2.5


@settings(max_examples=150, deadline=None)
@given(answers(BODY))
def test_whatever_stands_around_the_block_the_body_is_found(answer: str) -> None:
    assert run(of_humaneval(answer)) == 2.5


@settings(max_examples=200, deadline=None)
@given(st.text("`~ \n-1.dehalfn():rtu/2<>k", max_size=80))
def test_any_text_makes_some_program(answer: str) -> None:
    assert isinstance(of_humaneval(answer), str)
    assert isinstance(of_mbpp(answer), str)


@pytest.mark.parametrize(
    "answer",
    ["(" * 5_000, "-" * 50_000 + "1", "x = 1\n" * 30_000, "def half(n):\n    return '\\d'", "\0"],
)
def test_hostile_answers_are_read_without_harm(answer: str) -> None:
    assert isinstance(of_humaneval(answer), str)
    assert isinstance(of_mbpp(answer), str)


def test_what_follows_the_function_is_cut() -> None:
    assert "assert" not in of_humaneval("    return n / 2\nassert half(2) == 3\n")


def test_a_wrong_program_does_not_become_a_right_one() -> None:
    """The first block that defines the function counts, not a better one behind it."""
    answer = f"```python\ndef half(n):\n    return n\n```\nor\n```python\n{FUNCTION}\n```"
    assert run(of_mbpp(answer)) == 5


def test_a_program_whose_functions_are_unknown_is_the_first_that_is_python() -> None:
    for answer, code in [
        ("x = 1", "x = 1"),
        ("x = 1\n[DONE]\nmore", "x = 1\n"),
        ("Sure:\n```python\nx = 1\n```\nDone.", "x = 1"),
        ("```\nx = 1", "x = 1"),
    ]:
        assert program(answer, ()) == code


def test_the_functions_that_tests_call() -> None:
    assert called_by_tests(MBPP) == {"half"}
    setup = {"test_list": ["assert f(Node(1)) == g(2)"], "test_setup_code": "class Node: ..."}
    assert called_by_tests(setup) == {"f", "g"}
    assert called_by_tests({"test_list": ["assert not valid ("]}) == frozenset()
