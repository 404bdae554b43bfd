"""Run the parts of the GPU's bench one after the other, each in a process with a time limit.

A part says each figure as soon as it has it. So whatever hangs, runs out of memory or crashes, what
was measured before is kept, and the next part begins in time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from pydantic import ValidationError

from duo.errors import ended_by_signals
from duo.files import write_result
from duo.runs import versions
from evaluation.gpu_bench.results import Figure, GpuBench, PartResult

#: The parts in order, and which share of the time each may take at most. What a part leaves of its
#: share is there for those after it.
PARTS: dict[str, float] = {
    "machine": 0.05,
    "agreement": 0.13,
    "passes-2.4b": 0.17,
    "passes-135m": 0.09,
    "sessions-2.4b": 0.15,
    "sessions-135m": 0.07,
    "training-2.4b": 0.11,
    "training-135m": 0.05,
    "generate-2.4b": 0.07,
    "generate-135m": 0.03,
    "int8-2.4b": 0.04,
    "int4-2.4b": 0.04,
}
#: Lists the cards that a process sees.
_CARDS = "CUDA_VISIBLE_DEVICES"
#: Below so many seconds no part is begun.
_TOO_SHORT = 3.0
#: Seconds in which a part that is killed has to be gone.
_GRACE = 5.0

#: What measures a part; further arguments are the part's name, the device, and 1 for small shapes.
PROGRAM = (sys.executable, "-m", "evaluation.gpu_bench.parts")
_MARK = "figure: "


def say(figure: Figure) -> None:
    """Hand a figure from a part's process to the one that keeps them."""
    print(f"{_MARK}{figure.model_dump_json()}", flush=True)


def gpu_bench(
    device: str,
    minutes: float,
    *,
    small: bool,
    out: Path | None = None,
    parts: dict[str, float] | None = None,
    program: Sequence[str] = PROGRAM,
    report: Callable[[str], None] = lambda text: None,
) -> GpuBench:
    """Run all parts; write what there is after each.

    Args:
        device: as torch names it.
        minutes: that all of it may take.
        small: shapes that a CPU can do, in place of the real ones.
        out: file of the result; None for none.
        parts: names and shares of time, in place of `PARTS`.
        program: measures a part.
        report: is told which part begins.
    """
    shares = PARTS if parts is None else parts
    end = time.monotonic() + 60 * minutes
    found = GpuBench(device=device, small=small, minutes=minutes, versions=versions())
    spare = 0.0
    place, seen = _alone(device)
    with ended_by_signals():
        for name, share in shares.items():
            limit = min(60 * minutes * share + spare, end - time.monotonic())
            if limit < _TOO_SHORT:
                part = PartResult(name=name, ended="no time was left", seconds=0.0, figures=())
            else:
                report(f"{name}: {limit:.0f} s at most")
                part = _run(name, [*program, name, place, str(int(small))], seen, limit)
                spare = limit - part.seconds
            found = found.model_copy(update={"parts": (*found.parts, part)})
            if out is not None:
                write_result(out, found)
    return found


def _alone(device: str) -> tuple[str, dict[str, str]]:
    """Name a device as a process does that sees no other card; and give what hides the others.

    Training has no device of its own choice: it takes all cards that it sees.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return kind, {_CARDS: ""}
    if kind != "cuda":
        return device, {}
    index = int(number or 0)
    listed = os.environ.get(_CARDS)
    return kind, {_CARDS: listed.split(",")[index] if listed else str(index)}


def _run(
    name: str, command: Sequence[str], environment: dict[str, str], limit: float
) -> PartResult:
    """Run a part in a process of its own, and end it in time."""
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # it may have processes of its own, such as compilers
        env={**os.environ, **environment, "PYTHONWARNINGS": "ignore"},
    )
    lines: Queue[str | None] = Queue()
    reader = Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    figures: list[Figure] = []
    last, ended = "", f"stopped after {limit:.0f} s"
    try:
        while (left := began + limit - time.monotonic()) > 0:
            line = lines.get(timeout=left)
            if line is None:  # which is not yet the end of the process
                left = began + limit - time.monotonic()
                failed = process.wait(max(0.0, left)) != 0
                ended = f"failed: {last[:200]}" if failed else "done"
                break
            if (figure := _figure(line)) is not None:
                figures.append(figure)
            elif line.strip():
                last = line.strip()
    except (Empty, subprocess.TimeoutExpired):
        pass
    finally:  # also where the bench itself is ended
        gone = _end(process)
    if not gone:
        ended += ", but cannot be ended"
    reader.join(timeout=_GRACE)
    return PartResult(
        name=name, ended=ended, seconds=round(time.monotonic() - began, 1), figures=tuple(figures)
    )


def _read(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)
    lines.put(None)


def _figure(line: str) -> Figure | None:
    if not line.startswith(_MARK):
        return None
    try:
        return Figure.model_validate_json(line.removeprefix(_MARK))
    except ValidationError:  # cut off in the middle
        return None


def _end(process: subprocess.Popen[str]) -> bool:
    """End a part and the processes that it started; tell whether it is gone.

    One that is in a call of the driver's which does not return outlives every signal.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    return process.returncode is not None
