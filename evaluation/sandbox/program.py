"""What goes into the sandbox and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "timeout", "memory", "killed", "error"]

MIB = 1024 * 1024


@dataclass(frozen=True)
class Program:
    """Model-written code and the tests that judge it, each a whole Python module.

    They are kept apart because they run in two processes: see `evaluation.sandbox`.

    Attributes:
        candidate: the code to be judged; it never sees the tests.
        tests: statements that raise (as `assert` does) unless the candidate is right. They use the
            candidate's functions and classes by name.
    """

    candidate: str
    tests: str


@dataclass(frozen=True)
class Limits:
    """What one program may use. All are hard limits.

    HumanEval's own harness allows 3 seconds of wall time. Here CPU time decides, so that a busy
    machine gives the same verdicts as an idle one; wall time only ends what sleeps or waits. It is
    more than 3 seconds because a reference solution of MBPP (task 123) needs 3 on a slow machine.

    Attributes:
        cpu_seconds: CPU time, whole seconds, of the candidate and of its tests each.
        wall_seconds: time on the clock for both together.
        memory_bytes: address space of the candidate and of its tests each.
        processes: processes and threads together. Where seccomp is in force a candidate can start
            threads but no process at all.
        file_bytes: size of one file.
        disk_bytes: size of the candidate's folder.
        open_files: open file descriptors.
        answer_bytes: size of one value that the candidate hands to the tests. What it prints is
            thrown away unread.
    """

    cpu_seconds: int = 8
    wall_seconds: float = 20.0
    memory_bytes: int = 512 * MIB
    processes: int = 32
    file_bytes: int = 16 * MIB
    disk_bytes: int = 64 * MIB
    open_files: int = 64
    answer_bytes: int = 16 * MIB


#: What a program may use if nothing else is said.
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Verdict:
    """How one program ended.

    Attributes:
        outcome: `passed`: the tests ran to their end. `failed`: they raised, the candidate raised,
            or it ended before they did. `timeout`: CPU or wall time. `memory`: a `MemoryError`.
            `killed`: a signal ended it, or it filled its folder. `error`: the sandbox itself could
            not run it, which says nothing about the program.
        detail: the reason in one line, empty if it passed. It can hold text of the program: escape
            it before showing it (`duo.terminal.printable`).
        cpu_seconds: CPU time of candidate and tests together.
        wall_seconds: time on the clock, with the start and clean-up of the sandbox.
    """

    outcome: Outcome
    detail: str
    cpu_seconds: float
    wall_seconds: float

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"
