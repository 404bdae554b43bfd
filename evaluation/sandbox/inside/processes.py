"""Counting and ending processes by way of /proc, where there is no namespace that does it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def tasks_of_user(user: int) -> int:
    """Processes and threads that belong to a user; 0 without /proc."""
    return sum(
        int(fields.get("Threads", "1"))
        for fields in _statuses()
        if fields.get("Uid", "").split()[:1] == [str(user)]
    )


def end_group(leader: int) -> None:
    """Kill a process and its process group, and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(leader, signal.SIGKILL)


def end_descendants() -> None:
    """Kill and reap all descendants of this process, until none is left.

    Complete only where orphans become children of this process (Linux, as a subreaper).
    """
    stopped: set[int] = set()
    # Stopped first: processes that keep making others would otherwise outrun their killer.
    while fresh := set(_descendants(os.getpid())) - stopped:
        _signal(fresh, signal.SIGSTOP)
        stopped |= fresh
    _signal(stopped, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _signal(wanted: set[int], number: signal.Signals) -> None:
    for process in wanted:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def _descendants(of: int) -> list[int]:
    parents = {int(it["Pid"]): int(it["PPid"]) for it in _statuses() if "PPid" in it}
    found, last = [], [of]
    while last:
        last = [process for process, parent in parents.items() if parent in last]
        found += last
    return found


def _statuses() -> Iterator[dict[str, str]]:
    for folder in _PROC.glob("[0-9]*"):
        try:
            text = (folder / "status").read_text(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        pairs = (line.partition(":") for line in text.splitlines())
        yield {name: value.strip() for name, _, value in pairs}
