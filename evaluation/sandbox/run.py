"""Run programs in the sandbox, one or many."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.sandbox.inside.supervisor import LENGTH
from evaluation.sandbox.program import DEFAULT_LIMITS, Limits, Program, Verdict
from evaluation.sandbox.protection import Protection
from evaluation.sandbox.protection import protection as strongest

#: Loads the supervisor from this installation and leaves nothing of it on the module path.
_START = (
    "import sys; root = sys.argv.pop(); sys.path.insert(0, root); "
    "from evaluation.sandbox.inside.supervisor import main; sys.path.remove(root); main()"
)
_ROOT = str(Path(__file__).resolve().parents[2])
_GRACE = 30.0  # seconds for start and clean-up on a busy machine, beside the program's own time


def run_program(
    program: Program, *, limits: Limits = DEFAULT_LIMITS, protection: Protection | None = None
) -> Verdict:
    """Run one program to its end or its limits; nothing of it is left when this returns.

    Args:
        program: the candidate and its tests.
        limits: what it may use.
        protection: what must be in force; by default the strongest that this machine permits. If
            any part of it cannot be set up, the program does not run and the outcome is `error`.

    Raises:
        BadInput: no program can be run on this machine.
    """
    if protection is None:
        protection = strongest()
    start = time.monotonic()
    folder = tempfile.mkdtemp(prefix="duo-program-")
    try:
        report = _launch(program, limits, protection, folder)
    finally:
        _remove(Path(folder))
    return Verdict(
        outcome=report["outcome"],
        detail=report["detail"],
        cpu_seconds=round(report.get("cpu_seconds", 0.0), 3),
        wall_seconds=round(time.monotonic() - start, 3),
    )


def run_all(
    programs: Sequence[Program],
    *,
    workers: int,
    limits: Limits = DEFAULT_LIMITS,
    on_done: Callable[[int, Verdict], None] | None = None,
) -> list[Verdict]:
    """Run programs, several at a time; verdicts in the order of the programs.

    Args:
        programs: what to run.
        workers: how many run at the same time, at least 1.
        limits: what each of them may use.
        on_done: called with a program's index and its verdict as soon as it ends, in the thread of
            the caller and in the order in which they end.

    Raises:
        BadInput: no program can be run on this machine.
    """
    if not programs:
        return []
    strongest()  # found out once, before the threads need it
    verdicts: dict[int, Verdict] = {}
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting = {
            pool.submit(run_program, program, limits=limits): index
            for index, program in enumerate(programs)
        }
        try:
            for done in as_completed(waiting):
                index = waiting[done]
                verdicts[index] = done.result()
                if on_done is not None:
                    on_done(index, verdicts[index])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [verdicts[index] for index in range(len(programs))]


def _launch(
    program: Program, limits: Limits, protection: Protection, folder: str
) -> dict[str, Any]:
    """Start the supervisor, hand it its orders, and take its report."""
    orders = {
        "caller": os.getpid(),
        "candidate": program.candidate,
        "folder": folder,
        "limits": asdict(limits),
        "path": [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))],
        "namespaces": protection.namespaces,
        "landlock": protection.landlock,
        "seccomp": protection.seccomp,
        "other_user": protection.other_user,
    }
    head = json.dumps(orders).encode()
    tests = program.tests.encode("utf-8", "surrogatepass")
    # A fixed hash seed: the order of a set of strings, and with it a verdict, is always the same.
    environment = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    if "LD_LIBRARY_PATH" in os.environ:  # some installations of Python do not start without
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    process = subprocess.Popen(
        [sys.executable, "-s", "-P", "-S", "-B", "-X", "utf8", "-c", _START, _ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    try:
        answer, errors = process.communicate(
            LENGTH.pack(len(head)) + head + tests, timeout=limits.wall_seconds + _GRACE
        )
    except subprocess.TimeoutExpired:
        return {"outcome": "timeout", "detail": "the sandbox did not end in time"}
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    try:
        return json.loads(answer)
    except ValueError:
        if process.returncode < 0:  # where signals are not refused, a candidate can do that
            detail = f"signal {-process.returncode} ended the sandbox"
            return {"outcome": "killed", "detail": detail}
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return {"outcome": "error", "detail": f"the sandbox did not start: {last}"}


def _remove(folder: Path) -> None:
    """Delete a folder whose content may have been locked; links in it are not followed."""
    folder.chmod(0o700)
    for place, names, _ in os.walk(folder):  # from the top: unlocks what it enters next
        for path in (Path(place, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder)
