"""Calls to the C library that Python 3.11 has no function for."""

from __future__ import annotations

import ctypes
import os
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38


_Argument = int | bytes | None | ctypes.Array | ctypes.c_char_p


def call(name: str, *args: _Argument) -> int:
    """Call a function of the C library.

    Raises:
        OSError: it returned -1; the error names the function.
    """
    return _checked(name, getattr(_LIBC, name)(*(_argument(arg) for arg in args)))


def syscall(name: str, number: int, *args: _Argument) -> int:
    """Make a system call by its number; errors as in `call`."""
    _LIBC.syscall.restype = ctypes.c_long
    return _checked(name, _LIBC.syscall(ctypes.c_long(number), *(_argument(arg) for arg in args)))


def prctl(option: int, value: int) -> None:
    """Change a setting of this process; Linux only."""
    call("prctl", option, value, 0, 0, 0)


def drop_capabilities() -> None:
    """Give up every capability of this process, in whatever user namespace it has them."""
    version_3 = 0x20080522
    header = ctypes.create_string_buffer(struct.pack("<Ii", version_3, 0))
    call("capset", header, ctypes.create_string_buffer(struct.pack("<6I", *[0] * 6)))


def _argument(value: _Argument) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value


def _checked(name: str, result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
