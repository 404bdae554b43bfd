"""Run programs in the sandbox, one or many, under the strongest protection there is here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

from duo.errors import BadInput
from duo.files import left_behind, temporary
from evaluation.sandbox import confine

Outcome = Literal["passed", "failed", "timeout", "memory", "killed", "error"]

MIB = 1024 * 1024
#: Loads the supervisor from this installation and leaves nothing of it on the module path.
_START = (
    "import sys; root = sys.argv.pop(); sys.path.insert(0, root); "
    "from evaluation.sandbox.inside import main; sys.path.remove(root); main()"
)
_ROOT = str(Path(__file__).resolve().parents[2])
_FOLDERS = "duo-program"  # what the folders of programs are called
_GRACE = 30.0  # seconds for start and clean-up on a busy machine, beside the program's own time


@dataclass(frozen=True)
class Program:
    """Model-written code and the tests that judge it, each a whole Python module.

    Attributes:
        tests: statements that raise (as `assert` does) unless the candidate is right. They use the
            candidate's functions and classes by name.
    """

    candidate: str
    tests: str


@dataclass(frozen=True)
class Limits:
    """Limit what one program may use. All are hard limits.

    HumanEval's own harness allows 3 seconds of wall time. Here CPU time decides, so that a busy
    machine gives the same verdicts as an idle one; wall time only ends what sleeps or waits. It is
    more than 3 seconds because a reference solution of MBPP (task 123) needs 3 on a slow machine.

    Attributes:
        cpu_seconds: CPU time, whole seconds, of the candidate and its tests.
        memory_bytes: address space of each process.
        processes: processes and threads together. Where seccomp is in force a candidate can start
            threads but no process at all.
        disk_bytes: size of the program's folder, which holds `confine.MOST_FILES` files at most.
        open_files: open file descriptors. What it prints is thrown away unread.
    """

    cpu_seconds: int = 8
    wall_seconds: float = 20.0
    memory_bytes: int = 512 * MIB
    processes: int = 32
    file_bytes: int = 16 * MIB
    disk_bytes: int = 64 * MIB
    open_files: int = 64


#: What a program may use if nothing else is said.
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Verdict:
    """The end of one program.

    Attributes:
        outcome: `passed`: the tests ran to their end. `failed`: they raised, the candidate raised,
            or the program ended before they did. `timeout`: CPU or wall time. `memory`: a
            `MemoryError`.
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


@dataclass(frozen=True)
class Protection:
    """The barriers between a program and the machine, besides limits, which are always set.

    Attributes:
        namespaces: user or root-made namespaces: no network at all, a file tree with nothing but
            Python's own libraries and one small folder in memory, no sight of other processes, and
            an end that takes every descendant along. Linux only.
        landlock: the kernel refuses files outside Python's libraries and the program's folder.
        seccomp: the kernel refuses new processes, sockets, signals to others, tracing, and without
            namespaces all changes of permissions, owners, times and attributes of files, which
            Landlock does not know.
        other_user: the program runs under a user id that owns nothing (only if the caller is root).
        refused: why a stronger protection is not in force here, as the system says it.
    """

    namespaces: bool
    landlock: bool
    seccomp: bool
    other_user: bool
    refused: tuple[str, ...] = field(default=(), compare=False)

    def describe(self) -> str:
        """Say what is in force and what it does not protect from, in a few plain sentences."""
        parts = {
            "namespaces": self.namespaces, "Landlock": self.landlock, "seccomp": self.seccomp,
            "another user id": self.other_user,
        }  # fmt: skip
        on = [name for name, there in parts.items() if there]
        text = [
            "Programs run in processes of their own with limits on CPU and wall time, memory, "
            "processes, files and output" + (f", with {', '.join(on)}." if on else "."),
            *(f"Stronger protection was tried and refused: {why}." for why in self.refused),
            *self._gaps(),
            "Nothing here protects from faults in the kernel, from reading the clock or the "
            "machine's hardware, or from slowing the machine down within the limits.",
        ]
        return " ".join(text)

    def _gaps(self) -> Iterator[str]:
        apart, files = self.namespaces or self.seccomp, self.namespaces or self.landlock
        if not files and not self.other_user:
            yield "Files are NOT protected: a program can read, change and delete what you can."
        if not files and self.other_user:
            yield "Files that every user may read are not hidden from a program."
        if not self.other_user and os.geteuid() == 0:
            yield (
                "Programs run as root, without its capabilities: no other user can read this "
                "Python, which should not lie in root's home folder."
            )
        if self.landlock and not apart:
            yield "A program can change permissions, owners and times of files that are yours."
        if not apart:
            yield "The network is NOT blocked, and a program can start others to outlive it."
        if not apart and not self.other_user:
            yield "A program can send signals to your other processes."
        if not self.seccomp:
            yield "Each process of a program may use the whole memory limit."
        if not self.namespaces:
            yield "A program's folder is checked ten times a second and at the end, not limited."
        if not confine.LINUX:
            yield (
                "This system refuses a limit of the address space, so memory may be unlimited, and "
                "a process that starts its own session outlives the program."
            )


#: Uses a module that is not loaded yet, so that unreadable Python libraries are noticed.
_TRIAL = Program(
    candidate="import statistics\ndef middle(xs): return statistics.median(xs)\n",
    tests="assert middle([3, 1, 2]) == 2\n",
)


@cache
def strongest_protection() -> Protection:
    """Find the strongest protection in which a harmless program runs here; only once.

    Removes the folders of programs whose caller was killed.

    Raises:
        BadInput: no program runs even with the weakest, with the reason.
    """
    for left in left_behind(Path(tempfile.gettempdir())):
        if left.name.startswith(f".{_FOLDERS}.") and _is_ours(left):
            remove(str(left))
    refused: dict[str, None] = {}
    for candidate in _strongest_first():
        verdict = run_program(_TRIAL, limits=Limits(wall_seconds=60.0), protection=candidate)
        if verdict.passed:
            return replace(candidate, refused=tuple(refused))
        refused[verdict.detail.removeprefix("the sandbox: ")] = None
    reasons = "; ".join(refused)
    raise BadInput(f"model-written programs cannot be run on this machine: {reasons}")


def _is_ours(folder: Path) -> bool:
    """Tell whether this user made a folder for a program; somebody's link is none."""
    try:
        made = folder.lstat()
    except OSError:
        return False
    users = [os.geteuid(), *(confine.FREE_USERS if os.geteuid() == 0 else ())]
    return stat.S_ISDIR(made.st_mode) and made.st_uid in users


def _strongest_first() -> list[Protection]:
    root = os.geteuid() == 0
    if not confine.LINUX:
        return [Protection(False, False, False, root)]
    ranked = [
        Protection(namespaces, landlock, seccomp, root)
        for namespaces, seccomp, landlock in product((True, False), repeat=3)
    ]
    if root:  # another user cannot read a Python that lives in root's home folder
        ranked.append(Protection(False, True, True, other_user=False))
    return ranked


def run_program(
    program: Program, *, limits: Limits = DEFAULT_LIMITS, protection: Protection | None = None
) -> Verdict:
    """Run one program to its end or its limits; nothing of it is left when this returns.

    Args:
        protection: what must be in force; by default the strongest that this machine permits. If
            any part of it cannot be set up, the program does not run and the outcome is `error`.

    Raises:
        BadInput: no program can be run on this machine.
    """
    if protection is None:
        protection = strongest_protection()
    start = time.monotonic()
    folder = tempfile.mkdtemp(prefix=temporary(_FOLDERS))
    try:
        report = _launch(program, limits, protection, folder)
    finally:
        left = remove(folder)
    if left:
        detail = f"the program left what cannot be removed: {left} ({folder})"
        report |= {"outcome": "killed", "detail": detail}
    return Verdict(
        outcome=report["outcome"],
        detail=report["detail"],
        cpu_seconds=round(report.get("cpu_seconds", 0.0), 3),
        wall_seconds=round(time.monotonic() - start, 3),
    )


def remove(folder: str) -> str:
    """Delete a folder whatever a program left in it; links in it are not followed.

    What is locked, or nested deeper than a path or a stack can say, the system's own programs can
    delete.

    Returns:
        Why something is left; empty if nothing is.
    """
    with contextlib.suppress(OSError):
        Path(folder).rmdir()  # empty as a rule, and always where there are namespaces
        return ""
    for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        done = subprocess.run([*command, "--", folder], capture_output=True, check=False)
    return done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]


def run_all(
    programs: Sequence[Program], *, workers: int, limits: Limits = DEFAULT_LIMITS
) -> list[Verdict]:
    """Run programs, `workers` at a time; verdicts in their order. Errors as in `run_program`.

    Raises:
        BadInput: no program can be run on this machine.
    """
    if not programs:
        return []
    strongest_protection()  # found out once, before the threads need it
    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(partial(run_program, limits=limits), programs))


def _launch(
    program: Program, limits: Limits, protection: Protection, folder: str
) -> dict[str, Any]:
    """Start the supervisor, hand it its orders, and take its report."""
    orders = {
        "caller": os.getpid(),
        "candidate": program.candidate,
        "tests": program.tests,
        "folder": folder,
        "limits": asdict(limits),
        "path": [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))],
        **asdict(protection),
    }
    # A fixed hash seed: the order of a set of strings, and with it a verdict, is always the same.
    environment = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    if "LD_LIBRARY_PATH" in os.environ:  # some installations of Python do not start without
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    with subprocess.Popen(
        [sys.executable, "-s", "-P", "-S", "-B", "-X", "utf8", "-c", _START, _ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=folder,
        start_new_session=True,
    ) as process:
        try:
            answer, errors = process.communicate(
                json.dumps(orders).encode(), timeout=limits.wall_seconds + _GRACE
            )
        except subprocess.TimeoutExpired:
            return {"outcome": "timeout", "detail": "the sandbox did not end in time"}
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    try:
        return json.loads(answer)
    except ValueError:
        if process.returncode < 0:  # where signals are not refused, a candidate can do that
            detail = f"signal {-process.returncode} ended the sandbox"
            return {"outcome": "killed", "detail": detail}
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return {"outcome": "error", "detail": f"the sandbox did not start: {last}"}
