"""Files kept out of reach without any privileges (Landlock, Linux 5.13 and later).

The only guard of the user's files where namespaces are not permitted, as in most containers.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from evaluation.sandbox.inside import libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
#: Number of rights to files that each version of the interface knows.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_RIGHTS_NOW = 16  # version 5 and later
_ALL_TCP, _ALL_SCOPES = 3, 3  # bind and connect; abstract Unix sockets and signals


def restrict(readable: Iterable[str], folder: str) -> None:
    """Let this process read what is named, write below one folder, and reach no other file.

    After `confine.become`, without which the kernel refuses.

    From version 4 on it can neither open nor accept TCP connections, from version 6 on signal
    nobody outside. Files that are open already stay open.

    Args:
        readable: folders and files; those under /dev can be written as well.
        folder: the one folder that it may fill.

    Raises:
        OSError: the kernel has no Landlock.
    """
    nothing = ctypes.c_char_p(None)
    version = libc.syscall("landlock", _CREATE_RULESET, nothing, 0, _VERSION)
    everything = (1 << _RIGHTS.get(version, _RIGHTS_NOW)) - 1
    rules = struct.pack(
        "<3Q",
        everything,
        _ALL_TCP if version >= 4 else 0,
        _ALL_SCOPES if version >= 6 else 0,
    )[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = libc.syscall("landlock", _CREATE_RULESET, rules, len(rules), 0)
    try:
        for path in readable:
            rights = _READ_FILE | _EXECUTE
            if Path(path).is_dir():
                rights |= _READ_DIR
            elif path.startswith("/dev/"):
                rights = _READ_FILE | _WRITE_FILE
            _allow(ruleset, path, rights)
        _allow(ruleset, folder, everything)
        libc.syscall("landlock", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("<Qi", rights, handle)
        libc.syscall("landlock", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(handle)
