"""How a process of heavy computing uses its machine: cores and memory."""

from __future__ import annotations

import ctypes
import os
import sys


def share_cores() -> None:
    """Let idle threads sleep instead of spin, as far as nobody has said otherwise.

    By default OpenMP's threads wait for each other in a busy loop. On a machine that does something
    else as well they then wait for cores that they keep busy themselves: six times slower on two
    cores with one other program, where sleeping threads lose a third. Counts only before torch is
    loaded.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_memory() -> None:
    """Let freed memory stay with the process, where the C library is glibc's.

    Otherwise every large tensor is mapped from the system anew, and training spends a third of its
    time on a CPU on clearing pages.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    largest = 2**31 - 1
    for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, largest), (_TOP_PAD, 2**26)):
        mallopt(parameter, value)


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
