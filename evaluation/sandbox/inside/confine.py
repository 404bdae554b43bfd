"""What one process gives up before it runs code of others: rights, resources, surroundings."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Iterable

from evaluation.sandbox.inside import libc

LINUX = sys.platform == "linux"

#: User ids that systemd's table of ids leaves unused; the supervisor of each program takes one.
_FREE_USERS = range(60706, 61184)


def free_user() -> int:
    """A user id that no one has; only root can take it.

    Programs that run at the same time get different ids, so that none counts or reaches another's
    processes.
    """
    return _FREE_USERS[os.getpid() % len(_FREE_USERS)]


def become(user: int | None) -> None:
    """Drop to a user without rights, if one is named, and give up all capabilities."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user) if hasattr(os, "setresgid") else os.setgid(user)
        os.setresuid(user, user, user) if hasattr(os, "setresuid") else os.setuid(user)
    if LINUX:
        libc.drop_capabilities()
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)  # no set-user-id program gives them back
        libc.prctl(libc.PR_SET_DUMPABLE, 0)  # nobody with the same user id can look inside


def die_with_parent(is_alive: Callable[[], bool]) -> None:
    """Have the kernel kill this process when its parent ends; after `become`, which undoes it.

    Args:
        is_alive: whether the parent still lives; if not, this process ends at once.
    """
    if LINUX:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if not is_alive():
        os._exit(1)


def has_reader(pipe: int) -> bool:
    """Whether the other end of a pipe that is written here is still open."""
    poll = select.poll()
    poll.register(pipe, 0)
    return not poll.poll(0)


def limit(limits: dict[str, float], *, others: int | None) -> None:
    """Set the resource limits; see `evaluation.sandbox.program.Limits`.

    Args:
        limits: its fields by name.
        others: processes and threads of the same user that are none of the program's; None if
            that cannot be known: then their number is not limited.

    Raises:
        OSError: this Linux refuses a limit. Other systems may lack some: macOS has no limit of the
            address space.
    """
    cpu = int(limits["cpu_seconds"])
    wanted = {
        # The soft limit ends a program at once; the hard one ends those that ignore the signal.
        "RLIMIT_CPU": (cpu, cpu + 1),
        "RLIMIT_AS": (int(limits["memory_bytes"]),) * 2,
        "RLIMIT_FSIZE": (int(limits["file_bytes"]),) * 2,
        "RLIMIT_NOFILE": (int(limits["open_files"]),) * 2,
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_MEMLOCK": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
    }
    if others is not None:
        wanted["RLIMIT_NPROC"] = (int(limits["processes"]) + others,) * 2
    for name, pair in wanted.items():
        try:
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            lower = [most if hard == resource.RLIM_INFINITY else min(most, hard) for most in pair]
            resource.setrlimit(kind, (lower[0], lower[1]))
        except (AttributeError, ValueError, OSError) as error:
            if LINUX:
                raise OSError(f"{name} cannot be set: {error}") from error


def surround(folder: str) -> None:
    """An environment that holds nothing of the user's, and no descriptor to read or print to."""
    os.environ.clear()
    os.environ.update(
        HOME=folder,
        TMPDIR=folder,
        PATH="",
        LANG="C.UTF-8",
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
    )
    os.chdir(folder)


def silence(*descriptors: int) -> None:
    """Connect descriptors to nothing."""
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    if null not in descriptors:
        os.close(null)


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor from 3 on that is not named."""
    start = 3
    for descriptor in sorted(kept):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, 4096)
