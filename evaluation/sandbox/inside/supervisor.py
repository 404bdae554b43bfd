"""The first process inside: set up the protections, start the other two, end everything.

    caller -> supervisor -> tests -> candidate

It reads its orders from standard input and writes the verdict to standard output, which neither of
the others has. The tests' text follows the orders in the same pipe; it is read by the tests'
process, after the candidate's has been forked off and has closed the pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from evaluation.sandbox.inside import confine, landlock, libc, namespaces, processes, seccomp
from evaluation.sandbox.inside.candidate import run_candidate
from evaluation.sandbox.inside.judge import end_of_process, judge
from evaluation.sandbox.inside.wire import Gone, Peer

LENGTH = struct.Struct("<Q")
_GLANCE = 0.1  # seconds between two looks at the size of a folder that nothing else limits

Report = dict[str, Any]


def main() -> None:
    """Do what standard input says; write one line of JSON with outcome, detail and CPU time."""
    (length,) = LENGTH.unpack(_read(LENGTH.size))
    orders = json.loads(_read(length))
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
    if orders["namespaces"]:
        namespaces.enter(folder, python, disk_bytes=limits["disk_bytes"], owner=user)
        confine.die_with_parent(lambda: os.getppid() == orders["caller"])  # undone by `enter`
        folder = namespaces.FOLDER
    elif user is None:
        others = processes.tasks_of_user(os.getuid()) if confine.LINUX else None
    else:
        os.chown(folder, user, user)
    if confine.LINUX:
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
    visible = namespaces.readable(python) if orders["landlock"] else None
    reading, writing = os.pipe()
    tests = os.fork()
    if tests == 0:
        os.close(reading)
        _in_own_process(writing, lambda: _run_tests(orders, folder, user, others, visible, writing))
    os.close(writing)
    os.close(0)
    watched = None if orders["namespaces"] else folder
    report = _await(reading, limits, watched)
    processes.end_group(tests)
    _, status, usage = os.wait4(tests, 0)
    processes.end_descendants()
    if report is not None:
        return report
    cpu = usage.ru_utime + usage.ru_stime
    return end_of_process("the tests' process", status, cpu, limits["cpu_seconds"])


def _await(reading: int, limits: dict[str, float], watched: str | None) -> Report | None:
    """Wait for the tests' report; None if their process ended without one."""
    end = time.monotonic() + limits["wall_seconds"]
    data = b""
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([reading], [], [], left if watched is None else _GLANCE)
        if ready:
            part = os.read(reading, 1 << 16)
            if not part:
                return json.loads(data) if data else None
            data += part
        elif watched is not None and _size(watched) > limits["disk_bytes"]:
            return {"outcome": "killed", "detail": "the candidate filled its folder"}
    return {"outcome": "timeout", "detail": f"not done after {limits['wall_seconds']:g} seconds"}


def _run_tests(
    orders: Report,
    folder: str,
    user: int | None,
    others: int | None,
    visible: list[str] | None,
    report_to: int,
) -> Report:
    """The tests' process: give up all rights, fork the candidate, judge it."""
    confine.silence(1, 2)
    os.setpgid(0, 0)
    confine.become(user)
    confine.die_with_parent(lambda: confine.has_reader(report_to))
    confine.surround(folder)
    confine.limit(orders["limits"], others=others)
    if visible is not None:
        landlock.restrict(visible, folder)
    largest = int(orders["limits"]["answer_bytes"])
    (questions_out, questions_in), (answers_out, answers_in) = os.pipe(), os.pipe()
    parent = os.getpid()
    candidate = os.fork()
    if candidate == 0:
        confine.silence(0)
        confine.close_all_but((questions_out, answers_in))
        confine.die_with_parent(lambda: os.getppid() == parent)
        if orders["seccomp"]:
            seccomp.install(os.getpid())
        os.write(answers_in, b"+")  # protected: without this byte the candidate is not judged
        run_candidate(orders["candidate"], questions_out, answers_in, largest=largest)
    os.close(questions_out)
    os.close(answers_in)
    if orders["seccomp"]:
        seccomp.install(candidate)
    if os.read(answers_out, 1) != b"+":
        raise OSError("the candidate's process could not be protected")
    peer = Peer(answers_out, questions_in, largest=largest, perform=_call_only, may_export=callable)
    report = judge(peer, _read_all().decode("utf-8", "surrogatepass"), candidate)
    with contextlib.suppress(OSError):  # it may have ended; reaped, its CPU time counts as ours
        os.kill(candidate, signal.SIGKILL)
        os.waitpid(candidate, 0)
    return report


def _call_only(operation: str, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What the candidate may ask of the tests: to call a function that they have handed to it."""
    if operation != "call":
        raise TypeError("an object of the tests can only be called")
    return target(*args, **kwargs)


def _in_own_process(writing: int, work: Callable[[], Report]) -> NoReturn:
    """Run `work` in this forked process, write its report, and end."""
    try:
        report = work()
    except (OSError, Gone) as error:
        report = _error(error)
    with contextlib.suppress(OSError):
        os.write(writing, json.dumps(report).encode())
    os._exit(0)


def _error(error: BaseException) -> Report:
    return {"outcome": "error", "detail": f"the sandbox: {getattr(error, 'strerror', 0) or error}"}


def _size(folder: str) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH118
    return total


def _read(count: int) -> bytes:
    """Exactly so many bytes of standard input, and none further."""
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            raise EOFError("standard input ended")
        data += part
    return data


def _read_all() -> bytes:
    parts = []
    while part := os.read(0, 1 << 16):
        parts.append(part)
    return b"".join(parts)
