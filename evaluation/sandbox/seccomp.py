"""Install a filter of system calls that stays on for good (seccomp; Linux on x86_64 and aarch64).

A list of what is refused, not of what is allowed: Python programs use too many system calls, which
change with the C library. It closes what the other protections leave open: starting processes,
sockets, signals to and looks into other processes, and kernel interfaces with a history of faults.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

from evaluation.sandbox.confine import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, call

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000  # numbers of x86_64's second interface start here

#: System calls refused with EPERM: numbers on x86_64 and aarch64 (None: does not exist there).
_REFUSED: dict[str, tuple[int, int | None]] = {
    # new programs and processes (threads are made by clone, below)
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "setsid": (112, 157), "setpgid": (109, 154),
    # the outside world; io_uring could open sockets past this filter
    "socket": (41, 198), "io_uring_setup": (425, 425),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140),
    "sched_setaffinity": (203, 122), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    # memory and queues that the limits do not count, or that outlive the process
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    # namespaces, mounts, and parts of the kernel that no such program needs
    "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41),
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282),
}  # fmt: skip
#: Refused as well where the files of others are in sight: Landlock keeps them from being opened,
#: not from these.
_REFUSED_ON_FILES: dict[str, tuple[int, int | None]] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "truncate": (76, 45), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_CLONE_THREAD = 0x00010000
_KILL, _TGKILL = (62, 129), (234, 131)
_PRCTL, _FCNTL, _IOCTL, _PRLIMIT = (157, 167), (72, 25), (16, 29), (302, 261)
#: Values of one argument that are refused: (system call, argument, values).
_REFUSED_VALUES = (
    (_PRCTL, 0, (PR_SET_PDEATHSIG, PR_SET_DUMPABLE)),
    (_FCNTL, 1, (8, 10, 15)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals by way of a file
    (_IOCTL, 1, (0x8901, 0x8902, 0x5412, 0x541C)),  # FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX
)

# Classic BPF: load a word, compare, return; and where things stand in `struct seccomp_data`.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_Instruction = tuple[int, int, int, int]  # operation, jump if true, jump if false, operand


def install(may_signal: int, *, shares_files: bool) -> None:
    """Refuse the calls listed here to this process, for good; after `confine.become`.

    It may send signals to the process `may_signal` alone.

    Raises:
        OSError: the kernel or this machine has no such filters.
    """
    program = b"".join(struct.pack("<HBBI", *line) for line in _filter(may_signal, shares_files))
    lines = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(lines))
    call("prctl", _PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(head), 0, 0)


def _filter(may_signal: int, shares_files: bool) -> list[_Instruction]:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"seccomp: no filter for {machine}")
    column = list(_ARCHITECTURES).index(machine)
    lines: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        # The C library then falls back to clone, whose flags can be looked at.
        *_on(_CLONE3[column], [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]),
    ]
    for numbers in (_REFUSED | (_REFUSED_ON_FILES if shares_files else {})).values():
        number = numbers[column]
        if number is not None:
            lines += _on(number, [(_RETURN, 0, 0, _ERRNO | errno.EPERM)])
    lines += _on(_CLONE[column], _allow_if(0, _ANY_BIT, _CLONE_THREAD))
    for numbers in (_KILL, _TGKILL):
        lines += _on(numbers[column], _allow_if(0, _EQUAL, may_signal))
    lines += _on(_PRLIMIT[column], _allow_if(0, _EQUAL, 0))
    for numbers, argument, values in _REFUSED_VALUES:
        body: list[_Instruction] = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]
        for value in values:
            body += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
        lines += _on(numbers[column], [*body, (_RETURN, 0, 0, _ALLOW)])
    return [*lines, (_RETURN, 0, 0, _ALLOW)]


def _on(number: int, body: list[_Instruction]) -> list[_Instruction]:
    """Run `body`, which returns, for this system call; the call's number is loaded."""
    return [(_EQUAL, 0, len(body), number), *body]


def _allow_if(argument: int, test: int, operand: int) -> list[_Instruction]:
    """Allow the call if a test of the low half of an argument holds, refuse it otherwise.

    The low half is all that the kernel looks at for the arguments tested here (process ids, flags).
    """
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        (test, 0, 1, operand),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
