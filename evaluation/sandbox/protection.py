"""Which protections this machine permits, found out by trying, and what they leave open."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache

from duo.errors import BadInput
from evaluation.sandbox.program import Limits, Program


@dataclass(frozen=True)
class Protection:
    """What stands between a program and the machine, besides limits, which are always set.

    Attributes:
        namespaces: user or root-made namespaces: no network at all, a file tree with nothing but
            Python's own libraries and one small folder in memory, no sight of other processes, and
            an end that takes every descendant along. Linux only.
        landlock: the kernel refuses files outside Python's libraries and the program's folder.
        seccomp: the kernel refuses new processes, sockets, signals to others, tracing.
        other_user: the program runs under a user id that owns nothing (only if the caller is root).
    """

    namespaces: bool
    landlock: bool
    seccomp: bool
    other_user: bool

    def describe(self) -> str:
        """What is in force and what it does not protect from: a few plain sentences."""
        on = [name for name, there in self._parts() if there]
        text = [
            "Programs run in processes of their own with limits on CPU and wall time, memory, "
            "processes, files and output" + (f", with {', '.join(on)}." if on else ".")
        ]
        text += [gap for gap in self._gaps() if gap]
        text.append(
            "Nothing here protects from faults in the kernel, from reading the clock or the "
            "machine's hardware, or from slowing the machine down within the limits."
        )
        return " ".join(text)

    def _parts(self) -> list[tuple[str, bool]]:
        return [
            ("namespaces", self.namespaces),
            ("Landlock", self.landlock),
            ("seccomp", self.seccomp),
            ("another user id", self.other_user),
        ]

    def _gaps(self) -> list[str]:
        files = self.namespaces or self.landlock
        return [
            "" if files or self.other_user else (
                "Files are NOT protected: a program can read, change and delete what you can."
            ),
            "" if files or not self.other_user else (
                "Files that every user may read are not hidden from a program."
            ),
            "" if self.namespaces or self.seccomp else (
                "The network is NOT blocked, and a program can start others that try to outlive it."
            ),
            "" if self.namespaces or self.seccomp or self.other_user else (
                "A program can send signals to your other processes."
            ),
            "" if self.seccomp else (
                "Each process of a program may use the whole memory limit."
            ),
            "" if self.namespaces else (
                "The size of a program's folder is checked ten times a second, not enforced."
            ),
            "" if sys.platform == "linux" else (
                "This system refuses a limit of the address space, so memory may be unlimited, and "
                "a process that starts its own session outlives the program."
            ),
        ]  # fmt: skip


#: Uses a module that is not loaded yet, so that unreadable Python libraries are noticed.
_TRIAL = Program(
    candidate="import statistics\ndef middle(xs): return statistics.median(xs)\n",
    tests="assert middle([3, 1, 2]) == 2\n",
)


@cache
def protection() -> Protection:
    """The strongest protection in which a harmless program runs here; found out once.

    Raises:
        BadInput: no program runs even with the weakest, with the reason.
    """
    from evaluation.sandbox.run import run_program

    reason = ""
    patient = Limits(wall_seconds=60.0)
    for candidate in _strongest_first():
        verdict = run_program(_TRIAL, limits=patient, protection=candidate)
        if verdict.passed:
            return candidate
        reason = verdict.detail
    raise BadInput(f"model-written programs cannot be run on this machine: {reason}")


def _strongest_first() -> list[Protection]:
    root = os.geteuid() == 0
    if sys.platform != "linux":
        return [Protection(False, False, False, root)]
    choices = (True, False)
    ranked = [
        Protection(namespaces, landlock, seccomp, root)
        for namespaces in choices
        for seccomp in choices
        for landlock in choices
    ]
    if root:  # another user cannot read a Python that lives in root's home folder
        ranked.append(Protection(False, True, True, other_user=False))
    return ranked
