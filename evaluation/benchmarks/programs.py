"""Take programs out of what a model wrote, and score them in the sandbox.

Named by the task files of HumanEval and MBPP, in place of lm-eval's own functions.
"""

from __future__ import annotations

import ast
import builtins
import html
import os
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from math import comb
from statistics import fmean
from textwrap import dedent, indent
from typing import Any

from duo.errors import BadInput

#: A line that opens or closes a block of code, in a list too: "- ```python".
_FENCE = re.compile(r"((?:[ \t]*(?:[-*+]|\d+[.)])(?=[ \t]))?[ \t]*)(`{3,}|~{3,})([^`]*)")

#: Opens a block for certain: a closing fence names no language.
_LANGUAGE = re.compile(r"[ \t]*[\w+#.-]+[ \t]*|[ \t]*\{.*\}[ \t]*")

#: Ends thoughts before the answer; where they begin may stand in the prompt.
_THOUGHTS = re.compile(r"</(?:think|thinking|thought|reasoning)>")

#: Marks of code in place of fences, and what stands before each line of a quotation or a session.
_TAGS = re.compile(r"\[/?(?:PYTHON|CODE)\]|\[BEGIN\]|</?(?:pre|code)\b[^>\n]*>", re.IGNORECASE)
_PREFIX = re.compile(r"^[ \t]*(?:>>>|\.\.\.|>)(?: |$)", re.MULTILINE)

#: What begins in the first column after a function's body belongs to something else.
_AFTER = re.compile(r"\n(?=\S)")

_BEGINS_CODE = re.compile(r"(?:def|class|async|import|from)\b|@")

#: Longer texts are not read as Python: no answer to a problem is so long.
_LONGEST = 30_000

#: Pieces of text after a program that are left out, one by one.
_MOST_AFTER = 50

_Answers = Sequence[Sequence[str]]


def continued(responses: _Answers, docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Make programs from answers to HumanEval that continue the prompt, as lm-eval reads them."""
    return [
        [doc["prompt"] + answer for answer in answers]
        for answers, doc in zip(responses, docs, strict=True)
    ]


def completed(responses: _Answers, docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Make programs from answers to HumanEval: a function that was completed, or written again."""
    return [
        [program(answer, {doc["entry_point"]}, doc["prompt"]) for answer in answers]
        for answers, doc in zip(responses, docs, strict=True)
    ]


def whole(responses: _Answers, docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Make programs from answers to MBPP, which define the functions that the tests call."""
    return [
        [program(answer, called_by_tests(doc)) for answer in answers]
        for answers, doc in zip(responses, docs, strict=True)
    ]


def called_by_tests(doc: dict[str, Any]) -> frozenset[str]:
    """Name the functions that every test of an MBPP problem calls and does not bring along."""
    trees = [_tree(test) for test in doc.get("test_list") or ()]
    called = [
        {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        for tree in trees
        if tree
    ]
    setup = _tree(doc.get("test_setup_code") or "")
    known = set(dir(builtins)) | (set(_defined(setup)) if setup else set())
    return frozenset(set.intersection(*called) - known if called else ())


def program(answer: str, names: Collection[str], prompt: str = "") -> str:
    """Find the program in an answer, however it is fenced.

    Blocks of code go before the text around them, what is thought aloud before the answer does not
    count, and of several readings the first is taken that is Python and gives every function that
    is wanted a body. So a shell line, an example or a bare header in an earlier block does not hide
    the solution; imports and other functions in earlier blocks come along.

    Args:
        names: functions that the tests call; empty if unknown.
        prompt: header and docstring of the one function, which the answer may continue; empty if
            the answer has to be whole.
    """
    said = _THOUGHTS.split(answer)[-1]
    said = said if said.strip() else answer
    readings: list[str] = []
    forms = [said, _unmarked(said)]
    if _TAGS.search(said):  # one of them is Python, too
        forms.reverse()
    for texts in dict.fromkeys(tuple(_texts(form)) for form in forms):
        readings += _whole_programs(texts, names, prompt)
        if prompt:
            readings += [f"{prompt.rstrip()}\n{body}\n" for body in _bodies(texts)]
    for reading in readings:
        tree = _tree(reading)
        if tree is not None and set(names) <= set(_defined(tree)):
            return reading
    return readings[0] if readings else prompt + answer  # none is right: the tests will say so


def _unmarked(answer: str) -> str:
    """Take away what marks code in other ways than by fences."""
    if _TAGS.search(answer):
        answer = html.unescape(_TAGS.sub("\n```\n", answer))
    return _PREFIX.sub("", answer).replace("\N{NO-BREAK SPACE}", " ")


def _texts(answer: str) -> list[str]:
    """List what may be code: the blocks, all that stands between two fences or has none, all from
    the first fence to the last, and all.

    The latter three for fences that do not pair up, such as a closing one alone after a function's
    body, or that stand in a docstring.
    """
    blocks: list[list[str]] = []
    segments: list[list[str]] = [[]]
    opened: re.Match[str] | None = None
    lines = answer.partition("[DONE]")[0].split("\n")
    fences: list[int] = []
    for place, line in enumerate(lines):
        fence = _FENCE.fullmatch(line.rstrip())
        if fence is None or (opened and not fence[2].startswith(opened[2])):
            segments[-1].append(line)
            if opened:
                blocks[-1].append(_outdented(line, len(opened[1])))
            continue
        fences.append(place)
        segments.append([])
        if opened is None or _LANGUAGE.fullmatch(fence[3]):
            opened = fence
            blocks.append([])
        else:
            opened = None
    across = lines[fences[0] + 1 : fences[-1]] if fences else []
    found = ["\n".join(part) for part in (*blocks, *segments, across, lines)]
    return [text for text in dict.fromkeys(found) if text.strip()]


def _outdented(line: str, most: int) -> str:
    """Take away the indentation of the block that a line stands in."""
    return line[min(most, len(line) - len(line.lstrip(" \t"))) :]


def _whole_programs(texts: Sequence[str], names: Collection[str], prompt: str) -> Iterator[str]:
    """Read texts as programs that define what is wanted themselves."""
    wanted = [re.compile(rf"^(?:async )?(?:def|class) {re.escape(name)}\b|^{re.escape(name)}\s*=",
                         re.MULTILINE) for name in names]  # fmt: skip
    header = next(filter(None, (name.search(prompt) for name in wanted)), None)
    before = prompt[: header.start()] if header else ""
    for text in texts:
        code = dedent(text) if text.lstrip("\n")[:1].isspace() else text  # it alters blank lines
        if all(name.search(code) for name in wanted):
            helpers = [other for other in texts[: texts.index(text)] if _only_defines(other)]
            for part in _parts(code):
                yield "\n".join([*filter(None, (before, *helpers)), part]) + "\n" * bool(prompt)


def _parts(code: str) -> Iterator[str]:
    """List a text as it is, and without what stands before and after its code."""
    chunks = _AFTER.split(code)
    first = next((n for n, chunk in enumerate(chunks) if _BEGINS_CODE.match(chunk)), 0)
    for start in dict.fromkeys((0, first)):
        for end in range(len(chunks), max(start, len(chunks) - _MOST_AFTER), -1):
            yield "\n".join(chunks[start:end])


def _bodies(texts: Sequence[str]) -> Iterator[str]:
    """Read texts as a function's body: as they stand, then those that lost their indentation."""
    for text in texts:
        body = _AFTER.split(text if text.startswith("\n") else f"\n{text}", maxsplit=1)[0]
        if body.strip():
            yield body.strip("\n")
    for text in texts:
        if re.search(r"\b(?:return|yield)\b", text):
            code = dedent(text).strip("\n")
            yield indent(code, "    ")
            yield f"    {code.lstrip()}"
    yield from (text.strip("\n") for text in texts)


def _only_defines(text: str) -> bool:
    tree = _tree(text)
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return tree is not None and all(isinstance(statement, kinds) for statement in tree.body)


def _tree(code: str) -> ast.Module | None:
    """Parse Python that somebody wrote; None if it is none."""
    if len(code) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
            compile(tree, "answer", "exec", dont_inherit=True)  # refuses a return outside, too
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def _defined(tree: ast.Module) -> Iterator[str]:
    """List what a program defines, but functions whose body says nothing."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if not all(_says_nothing(part) for part in statement.body):
                yield statement.name
        elif isinstance(statement, ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            yield from (part.id for part in statement.targets if isinstance(part, ast.Name))


def _says_nothing(statement: ast.stmt) -> bool:
    """Recognise a docstring, `...` or `pass`."""
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def unbiased(samples: int, correct: int, k: int) -> float:
    """Estimate, without bias, the probability that at least one of k samples is correct.

    1 - C(n-c, k) / C(n, k) for n samples of which c are correct: one minus the share of k-subsets
    without a correct sample (Chen et al. 2021, "Evaluating Large Language Models Trained on Code",
    equation 1).

    Raises:
        ValueError: not 0 <= correct <= samples, or not 1 <= k <= samples.
    """
    if not (0 <= correct <= samples and 1 <= k <= samples):
        raise ValueError(f"no pass@{k} of {correct} correct among {samples} samples")
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


def pass_at_k(
    references: Sequence[str], predictions: _Answers, k: Sequence[int]
) -> dict[str, float]:
    """Run programs against their tests in the sandbox, and score them as `code_eval` does.

    Args:
        references: the tests, one text a task.
        predictions: for each task its candidates.

    Returns:
        `{"pass@k": mean over tasks}` for each k that every task has enough samples for.

    Raises:
        ValueError: the lists differ in length or are empty, or a task has no candidate.
        BadInput: no program can be run on this machine, or one could not be: that says nothing
            about it, so it counts neither as right nor as wrong.
    """
    from evaluation.sandbox.run import Program, run_all

    if len(references) != len(predictions) or not references or not all(predictions):
        raise ValueError("every reference needs a list of at least one prediction")
    programs = [
        Program(candidate, tests)
        for tests, candidates in zip(references, predictions, strict=True)
        for candidate in candidates
    ]
    verdicts = run_all(programs, workers=os.cpu_count() or 1)
    broken = next((verdict for verdict in verdicts if verdict.outcome == "error"), None)
    if broken is not None:
        raise BadInput(
            f"a program could not be run ({broken.detail}): its score would say nothing; start "
            "again, answers are kept",
            field="sandbox",
        )
    ended = iter(verdicts)
    passed = [[next(ended).passed for _ in candidates] for candidates in predictions]
    fewest = min(map(len, passed))
    return {
        f"pass@{most}": fmean(unbiased(len(task), sum(task), most) for task in passed)
        for most in k
        if most <= fewest
    }


def pass_at_1(references: Sequence[str], predictions: Sequence[str] | _Answers) -> float:
    """Score one program for each problem by its tests."""
    programs = [[p] if isinstance(p, str) else p for p in predictions]
    return pass_at_k(references, programs, k=[1])["pass@1"]
