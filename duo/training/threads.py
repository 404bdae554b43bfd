"""Sharing processor cores with other programs."""

from __future__ import annotations

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
