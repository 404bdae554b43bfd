"""The tests' process: run the tests against a candidate that lives in another process.

The tests' text, their variables and the verdict exist only here. The candidate's functions are
`Remote` objects and their results plain data, so no code of the candidate runs here.
"""

from __future__ import annotations

import ast
import builtins
import os
import resource
import signal
import sys
from importlib import import_module
from types import TracebackType
from typing import Any

from evaluation.sandbox.inside.wire import Gone, Peer, Stopped

_FILE = "<tests>"
_LONGEST_DETAIL = 2000


class Names(dict[str, Any]):
    """The global names of the tests; what they do not define, the candidate's module has.

    Two kinds of name stay what they are, whatever the candidate binds to them:

    - built-in ones (`abs`, `len`, `all`), unless the tests name nothing else of the candidate: then
      a built-in name is their subject (MBPP has a task to write `sum`);
    - modules of the standard library that the tests use as such (`math.isclose`).
    """

    def __init__(self, peer: Peer, tests: ast.Module) -> None:
        super().__init__(__name__="tests", __builtins__=builtins)
        self._peer = peer
        names = [node for node in ast.walk(tests) if isinstance(node, ast.Name)]
        bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        for node in ast.walk(tests):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound.add(node.name)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, ast.alias):
                bound.add((node.asname or node.name).partition(".")[0])
        free = {node.id for node in names} - bound
        modules = {
            node.value.id
            for node in ast.walk(tests)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        self._modules = free & modules & sys.stdlib_module_names
        self._own_builtins = any(not hasattr(builtins, n) for n in free - self._modules)

    def __missing__(self, name: str) -> Any:
        if self._own_builtins and hasattr(builtins, name):
            raise KeyError(name)
        value = self._peer.ask("name", None, name)  # raises KeyError where there is none
        return import_module(name) if name in self._modules else value


def judge(peer: Peer, tests: str, candidate: int) -> dict[str, str]:
    """Run the tests to their end, or to their first failure.

    Args:
        peer: the line to the candidate, which has been started.
        tests: the text of the tests.
        candidate: process id of the candidate, a child of this process.

    Returns:
        `outcome` and `detail` of the verdict.
    """
    try:
        peer.answer()
        parsed = ast.parse(tests, _FILE)
        exec(compile(parsed, _FILE, "exec", dont_inherit=True), Names(peer, parsed))
    except BaseException as error:
        if peer.gone is None:
            return _failure(error)
    if peer.gone is not None:  # also where the tests swallowed the error and went on
        return _end_of_candidate(peer.gone, candidate)
    return {"outcome": "passed", "detail": ""}


def _failure(error: BaseException) -> dict[str, str]:
    """What the tests, or the candidate through them, raised."""
    text = _text(error) if isinstance(error, Stopped | Gone) else _named(error)
    line = _line_of_tests(error.__traceback__)
    where = f" (line {line} of the tests)" if line else ""
    outcome = "memory" if isinstance(error, MemoryError) else "failed"
    return {"outcome": outcome, "detail": text + where}


def _end_of_candidate(reason: str, candidate: int) -> dict[str, str]:
    """What became of a candidate that no longer answers."""
    if reason != "ended":
        return {"outcome": "failed", "detail": f"the candidate {reason}"}
    _, status, usage = os.wait4(candidate, 0)
    limit = resource.getrlimit(resource.RLIMIT_CPU)[0]
    return end_of_process("the candidate", status, usage.ru_utime + usage.ru_stime, limit)


def end_of_process(who: str, status: int, cpu_seconds: float, limit: float) -> dict[str, str]:
    """Outcome and detail for a process that ended before the tests did.

    Args:
        who: its name in the detail.
        status: its wait status.
        cpu_seconds: CPU time that it has used.
        limit: CPU time that it was allowed, in seconds.
    """
    if os.WIFEXITED(status):
        code = os.WEXITSTATUS(status)
        detail = f"{who} ended with status {code} before the tests did"
        return {"outcome": "failed", "detail": detail}
    number = os.WTERMSIG(status)
    spent = cpu_seconds >= limit - 0.1
    if number == signal.SIGXCPU or (number == signal.SIGKILL and spent):
        return {"outcome": "timeout", "detail": f"{who} used up its CPU time"}
    return {"outcome": "killed", "detail": f"{who} ended by {signal.Signals(number).name}"}


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {_text(error)}".removesuffix(": ")


def _text(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())[:_LONGEST_DETAIL]
    except BaseException:  # the text of an argument can be the candidate's to give
        return ""


def _line_of_tests(trace: TracebackType | None) -> int | None:
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
