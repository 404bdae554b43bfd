"""Confine a process: namespaces, Landlock, limits, and the end of all that it started.

Each part works alone, by calls of the kernel that need no program besides Python. What a part needs
and leaves open stands with it; `evaluation.sandbox.run.Protection` says it to users.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import select
import signal
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

LINUX = sys.platform == "linux"
#: Where a program in namespaces finds its empty folder.
FOLDER = "/program"
#: The most files and folders that a program may leave, and levels of folders, where no namespace
#: makes all of them vanish.
MOST_FILES, MOST_LEVELS = 4096, 64

# Calls to the C library that Python 3.11 has no function for.

_LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38


_Argument = int | bytes | None | ctypes.Array | ctypes.c_char_p


def call(name: str, *args: _Argument) -> int:
    """Call a function of the C library; where it returns -1, the `OSError` names it.

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


# Rights, resources and surroundings.

#: User ids that systemd's table of ids leaves unused; the supervisor of each program takes one.
FREE_USERS = range(60706, 61184)


def free_user() -> int:
    """Choose a user id that no one has; only root can take it.

    Programs that run at the same time get different ids, so that none counts or reaches another's
    processes.
    """
    return FREE_USERS[os.getpid() % len(FREE_USERS)]


def become(user: int | None) -> None:
    """Drop to a user without rights, if one is named, and give up all capabilities."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user) if hasattr(os, "setresgid") else os.setgid(user)
        os.setresuid(user, user, user) if hasattr(os, "setresuid") else os.setuid(user)
    if LINUX:
        drop_capabilities()
        prctl(PR_SET_NO_NEW_PRIVS, 1)  # no set-user-id program gives them back
        prctl(PR_SET_DUMPABLE, 0)  # nobody with the same user id can read its memory


def die_with_parent(is_alive: Callable[[], bool]) -> None:
    """Have the kernel kill this process when its parent ends; after `become`, which undoes it.

    Args:
        is_alive: whether the parent still lives; if not, this process ends at once.
    """
    if LINUX:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not is_alive():
        os._exit(1)


def has_reader(pipe: int) -> bool:
    """Check whether the other end of a pipe that is written here is still open."""
    poll = select.poll()
    poll.register(pipe, 0)
    return not poll.poll(0)


def limit(limits: dict[str, float], *, others: int | None) -> None:
    """Set the resource limits; see `evaluation.sandbox.run.Limits`.

    `others` are the processes and threads of the same user that are none of the program's; None if
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
    """Make an environment that holds nothing of the user's, in a folder of its own."""
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


def close_all_but(kept: int) -> None:
    """Close every descriptor from 3 on but one."""
    os.closerange(3, kept)
    os.closerange(kept + 1, 4096)


# Landlock: files kept out of reach without any privileges (Linux 5.13 and later), the only guard of
# the user's files where namespaces are not permitted, as in most containers.

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

    After `become`, without which the kernel refuses. Devices that are named can be written as well,
    and files that are open already stay open. From version 4 on the process can neither open nor
    accept TCP connections, from version 6 on signal nobody outside.

    Raises:
        OSError: the kernel has no Landlock.
    """
    nothing = ctypes.c_char_p(None)
    version = syscall("landlock", _CREATE_RULESET, nothing, 0, _VERSION)
    everything = (1 << _RIGHTS.get(version, _RIGHTS_NOW)) - 1
    rules = struct.pack(
        "<3Q", everything, _ALL_TCP if version >= 4 else 0, _ALL_SCOPES if version >= 6 else 0
    )[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = syscall("landlock", _CREATE_RULESET, rules, len(rules), 0)
    try:
        for path in readable:
            rights = _READ_FILE | _EXECUTE
            if Path(path).is_dir():
                rights |= _READ_DIR
            elif path.startswith("/dev/"):
                rights = _READ_FILE | _WRITE_FILE
            _allow(ruleset, path, rights)
        _allow(ruleset, folder, everything)
        syscall("landlock", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("<Qi", rights, handle)
        syscall("landlock", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(handle)


# Namespaces (Linux): no network, no other processes, almost no files. Needs CAP_SYS_ADMIN or a
# kernel that lets everybody make user namespaces.

_NEW_MOUNT, _NEW_UTS, _NEW_IPC = 0x00020000, 0x04000000, 0x08000000
_NEW_USER, _NEW_PID, _NEW_NET = 0x10000000, 0x20000000, 0x40000000
_WORLD = _NEW_MOUNT | _NEW_UTS | _NEW_IPC | _NEW_PID | _NEW_NET

_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_DETACH = 2

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_ATTR_READ_ONLY, _ATTR_NOSUID = 1, 2

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store")
_FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def readable(python: Iterable[str]) -> list[str]:
    """List the folders and files that a Python program needs: libraries and four devices."""
    wanted = [*_SYSTEM, *_FILES, *python]
    return [path for path in dict.fromkeys(wanted) if Path(path).exists()]


def enter(mount_point: str, python: Iterable[str], *, disk_bytes: int, owner: int | None) -> None:
    """Enter new namespaces; children of this process get the process namespace.

    Afterwards the file tree holds `readable(python)`, read-only, and an empty writable `FOLDER`
    that lives in memory and vanishes with the last process.

    Args:
        mount_point: an existing empty folder; it stays empty.
        owner: user and group id that FOLDER belongs to; None for this process's own, in a user
            namespace (for callers without privileges).

    Raises:
        OSError: the kernel does not permit it.
    """
    if owner is None:
        user, group = os.getuid(), os.getgid()
        call("unshare", _WORLD | _NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    else:
        user = group = owner
        call("unshare", _WORLD)
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    _build_tree(mount_point, readable(python))
    limits = f"size={disk_bytes},nr_inodes={MOST_FILES},mode=700,uid={user},gid={group}"
    _mount("tmpfs", mount_point + FOLDER, "tmpfs", _NOSUID | _NODEV | _NOEXEC, limits)
    os.chdir(mount_point)
    syscall("pivot_root", _PIVOT_ROOT[platform.machine()], b".", b".")
    call("umount2", b".", _DETACH)
    os.chdir(FOLDER)


def _build_tree(root: str, shown: list[str]) -> None:
    """Make a read-only tree under `root` in which the shown paths stand where they always do."""
    _mount("tmpfs", root, "tmpfs", _NOSUID, "size=1m,mode=755")
    Path(root + FOLDER).mkdir()
    if not any(path.startswith("/tmp/") for path in shown):  # such as a virtual environment
        Path(root + "/tmp").symlink_to(FOLDER)
    for path in shown:
        place = Path(root + path)
        if place.exists():
            continue  # inside something that is shown already
        place.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_symlink():
            place.symlink_to(Path(path).readlink())
            continue
        if Path(path).is_dir():
            place.mkdir()
        else:
            place.touch()
        _mount(path, str(place), None, _BIND | _RECURSIVE)
    attributes = struct.pack("<4Q", _ATTR_READ_ONLY | _ATTR_NOSUID, 0, 0, 0)
    where = (_AT_FDCWD, root.encode(), _AT_RECURSIVE)
    syscall("mount_setattr", _MOUNT_SETATTR, *where, attributes, len(attributes))


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    sort = kind.encode() if kind else None
    call("mount", source.encode(), target.encode(), sort, flags, data.encode())


# Processes and files: counted and ended by way of /proc, where there is no namespace that does it.

_PROC = Path("/proc")


def tasks_of_user(user: int) -> int:
    """Count the processes and threads of a user; 0 without /proc."""
    return sum(
        int(fields.get("Threads", "1"))
        for fields in _statuses()
        if fields.get("Uid", "").split()[:1] == [str(user)]
    )


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


def overfull(folder: str, most_bytes: float) -> bool:
    """Check whether a folder holds more bytes, files or levels than a program may leave.

    What cannot be looked into, such as a folder that was locked, counts as too much.
    """
    size, files, waiting = 0, 0, [(folder, 0)]
    while waiting:
        place, level = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, level + 1))
                    if size > most_bytes or files > MOST_FILES:
                        return True
        except FileNotFoundError:
            continue  # it is gone by now
        except OSError:
            return True
        if level > MOST_LEVELS:
            return True
    return False
