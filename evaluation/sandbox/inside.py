"""Run one program inside its confinement: the supervisor, and the process of candidate and tests.

    caller -> supervisor -> program

The supervisor reads its orders from standard input, sets up the protections, forks the program's
process, waits for its verdict on a private pipe, ends everything, and writes a report to standard
output. The verdict counts only if it begins with a nonce that the supervisor made: a program that
leaves early, prints, or writes to whatever descriptors it finds does not pass by accident. See
`evaluation.sandbox` for what this does not prevent.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from types import CodeType, ModuleType
from typing import Any, NoReturn

from evaluation.sandbox import confine, seccomp

#: The name of the candidate's module: not `__main__`, so that what stands under
#: `if __name__ == "__main__":` does not run (as in the harnesses of HumanEval and MBPP).
_MODULE, _TESTS = "candidate", "<tests>"
_GLANCE = 0.1  # seconds between two looks at the process and what it left in its folder
_LONGEST_DETAIL = 2000
_LONGEST_VERDICT = 1 << 16  # bytes that are kept of what the program's process wrote

Report = dict[str, Any]
_FILLED: Report = {"outcome": "killed", "detail": "the program filled or locked its folder"}
_Ended = tuple[int, int, resource.struct_rusage]  # as `os.wait4` says it


def main() -> None:
    """Do what standard input says; write one line of JSON with outcome, detail and CPU time."""
    orders = json.loads(sys.stdin.buffer.read())
    confine.die_with_parent(lambda: os.getppid() == orders["caller"])
    try:
        report = _supervise(orders)
    except OSError as error:
        report = _error(error)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    report["cpu_seconds"] = usage.ru_utime + usage.ru_stime
    os.write(1, json.dumps(report).encode())


def _supervise(orders: Report) -> Report:
    os.umask(0o022)
    limits, folder = orders["limits"], orders["folder"]
    user = confine.free_user() if orders["other_user"] else None
    sys.path += orders["path"]
    python = [*sys.path, f"{sys.base_prefix}/lib"]
    others: int | None = 0
    init = None
    if orders["namespaces"]:
        with _part("namespaces"):
            confine.enter(folder, python, disk_bytes=limits["disk_bytes"], owner=user)
        confine.die_with_parent(lambda: os.getppid() == orders["caller"])  # undone by `enter`
        folder = confine.FOLDER
        init = _first_process()
    elif user is None:
        others = confine.tasks_of_user(os.getuid()) if confine.LINUX else None
    else:
        os.chown(folder, user, user)
    if confine.LINUX:
        confine.prctl(confine.PR_SET_CHILD_SUBREAPER, 1)
        confine.prctl(confine.PR_SET_DUMPABLE, 0)
    visible = confine.readable(python) if orders["landlock"] else None
    nonce = os.urandom(16).hex().encode()
    reading, writing = os.pipe()
    program = os.fork()
    if program == 0:
        os.close(reading)
        try:
            _give_up_rights(orders, folder, user, others, visible, writing)
        except OSError as error:
            os.write(writing, nonce + json.dumps(_error(error)).encode())
            os._exit(0)
        _run(orders.pop("candidate"), orders.pop("tests"), writing, nonce)
    os.close(writing)
    watched = None if init else orders["folder"]
    report, ended = _await(program, reading, nonce, limits, watched)
    if init:
        os.kill(init, signal.SIGKILL)
    if not ended:
        os.kill(program, signal.SIGKILL)
        ended = os.wait4(program, 0)
    confine.end_descendants()
    if watched is not None and confine.overfull(watched, limits["disk_bytes"]):
        report = _FILLED
    _, status, usage = ended
    return report or _end(status, usage.ru_utime + usage.ru_stime, limits["cpu_seconds"])


def _first_process() -> int:
    """Fork the first process of a process namespace, with which all others of it end.

    The kernel shields a first process from most signals, so that it must be another than the
    program's. It ends when the supervisor does.
    """
    reading, _ = os.pipe()
    init = os.fork()
    if init == 0:
        confine.close_all_but(reading)
        os.closerange(0, 3)
        os.read(reading, 1)
        os._exit(0)
    return init


def _give_up_rights(
    orders: Report,
    folder: str,
    user: int | None,
    others: int | None,
    visible: list[str] | None,
    writing: int,
) -> None:
    """Confine this process, for good; only `writing` stays open.

    Raises:
        OSError: a part of the protection cannot be set up; names it.
    """
    confine.silence(0, 1, 2)
    confine.close_all_but(writing)
    confine.become(user)
    confine.die_with_parent(lambda: confine.has_reader(writing))
    confine.surround(folder)
    with _part("limits"):
        confine.limit(orders["limits"], others=others)
    if visible is not None:
        with _part("Landlock"):
            confine.restrict(visible, folder)
    if orders["seccomp"]:
        with _part("seccomp"):
            seccomp.install(os.getpid(), shares_files=not orders["namespaces"])


def _run(candidate: str, tests: str, writing: int, nonce: bytes) -> NoReturn:
    """Run candidate and tests, write the verdict, and end."""
    # Bound before the candidate runs: it may replace any attribute of any module.
    write, leave, dumps, failure = os.write, os._exit, json.dumps, _failure
    report = {"outcome": "passed", "detail": ""}
    try:
        run_module(candidate, tests)
    except BaseException as error:
        report = failure(error)
    try:
        write(writing, nonce + dumps(report).encode())
    finally:
        leave(0)


def run_module(candidate: str, tests: str) -> None:
    """Run the candidate's module, then the tests, in this process; raise what they raise."""
    own = dict(vars(builtins))
    module = ModuleType(_MODULE)
    sys.modules[_MODULE] = module
    # Not inherited: this module's own `from __future__` must not change the program.
    exec(compile(candidate, f"<{_MODULE}>", "exec", dont_inherit=True), vars(module))
    code = compile(tests, _TESTS, "exec", dont_inherit=True)
    exec(code, Names(vars(module), code, own))


class Names(dict[str, Any]):
    """The global names of the tests; what they do not define, the candidate's module has.

    Built-in names (`abs`, `len`, `all`) stay what they were, whatever the candidate binds to them,
    unless the tests use nothing else of the candidate's: then a built-in name is their subject
    (MBPP has a task to write `sum`).
    """

    def __init__(self, candidate: dict[str, Any], tests: CodeType, own: dict[str, Any]) -> None:
        super().__init__(__name__="tests", __builtins__=own)
        used = set(_names(tests)) & set(candidate)
        self._candidate = candidate
        self._kept = set(own) if used - set(own) else set()

    def __missing__(self, name: str) -> Any:
        if name in self._kept:
            raise KeyError(name)
        return self._candidate[name]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _await(
    program: int, reading: int, nonce: bytes, limits: dict[str, float], watched: str | None
) -> tuple[Report, _Ended | None]:
    """Wait for the verdict, or the end of the program's process.

    Others that it started may hold the pipe open: neither its verdict nor its end waits for them.

    Returns:
        The verdict, empty if there is none; and how the process ended, if it did.
    """
    end = time.monotonic() + limits["wall_seconds"]
    data, ended = b"", None
    while time.monotonic() < end:
        if not ended and (found := os.wait4(program, os.WNOHANG))[0]:
            ended = found
        ready, _, _ = select.select([reading], [], [], 0 if ended else _GLANCE)
        if ready:
            part = os.read(reading, _LONGEST_VERDICT)
            data = (data + part)[-_LONGEST_VERDICT:]
            _, marked, verdict = data.rpartition(nonce)
            with contextlib.suppress(ValueError):
                if marked:
                    return json.loads(verdict), ended
            if not part:
                return {}, ended
        elif ended:
            return {}, ended
        elif watched is not None and confine.overfull(watched, limits["disk_bytes"]):
            return _FILLED, None
    late = f"not done after {limits['wall_seconds']:g} seconds"
    return {"outcome": "timeout", "detail": late}, ended


def _failure(error: BaseException) -> Report:
    """Describe what the candidate or the tests raised."""
    try:
        text = str(error)
    except BaseException:  # the text can be the candidate's to give
        text = ""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == _TESTS]
    where = f" (line {lines[-1]} of the tests)" if lines else ""
    outcome = "memory" if isinstance(error, MemoryError) else "failed"
    detail = f"{type(error).__name__}: {text}".removesuffix(": ")
    return {"outcome": outcome, "detail": " ".join(detail.split())[:_LONGEST_DETAIL] + where}


def _end(status: int, cpu_seconds: float, limit: float) -> Report:
    """Describe a process that ended without a verdict."""
    if os.WIFEXITED(status):
        code = os.WEXITSTATUS(status)
        detail = f"the program ended with status {code} before its tests did"
        return {"outcome": "failed", "detail": detail}
    number = os.WTERMSIG(status)
    spent = cpu_seconds >= limit - 0.1
    if number == signal.SIGXCPU or (number == signal.SIGKILL and spent):
        return {"outcome": "timeout", "detail": "the program used up its CPU time"}
    return {"outcome": "killed", "detail": f"the program ended by {signal.Signals(number).name}"}


@contextlib.contextmanager
def _part(name: str) -> Iterator[None]:
    """Name the part of the protection that could not be set up."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise OSError(f"{name}: {error.strerror or error}{where}") from error


def _error(error: OSError) -> Report:
    return {"outcome": "error", "detail": f"the sandbox: {error.strerror or error}"}
