"""A world of its own for the program: no network, no other processes, almost no files (Linux).

Needs either CAP_SYS_ADMIN or a kernel that lets everybody make user namespaces.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path

from evaluation.sandbox.inside import libc

_NEW_MOUNT, _NEW_UTS, _NEW_IPC = 0x00020000, 0x04000000, 0x08000000
_NEW_USER, _NEW_PID, _NEW_NET = 0x10000000, 0x20000000, 0x40000000
_WORLD = _NEW_MOUNT | _NEW_UTS | _NEW_IPC | _NEW_PID | _NEW_NET

_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_DETACH = 2

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_ATTR_READ_ONLY, _ATTR_NOSUID = 1, 2

#: Where the program finds its empty folder in its own world.
FOLDER = "/program"
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store")
_FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def readable(python: Iterable[str]) -> list[str]:
    """Folders and files that a Python program needs to see: libraries, and four devices."""
    wanted = [*_SYSTEM, *_FILES, *python]
    return [path for path in dict.fromkeys(wanted) if Path(path).exists()]


def enter(mount_point: str, python: Iterable[str], *, disk_bytes: int, owner: int | None) -> None:
    """Leave for namespaces of its own; children of this process get its process namespace.

    Afterwards the file tree holds `readable(python)`, read-only, and an empty writable `FOLDER`
    that lives in memory and vanishes with the last process.

    Args:
        mount_point: an existing empty folder; it stays empty.
        python: folders of Python's own modules.
        disk_bytes: the most that FOLDER holds.
        owner: user and group id that FOLDER belongs to; None for this process's own, in a user
            namespace (for callers without privileges).

    Raises:
        OSError: the kernel does not permit it.
    """
    if owner is None:
        user, group = os.getuid(), os.getgid()
        libc.call("unshare", _WORLD | _NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    else:
        user = group = owner
        libc.call("unshare", _WORLD)
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    _build_tree(mount_point, readable(python))
    limits = f"size={disk_bytes},nr_inodes=4096,mode=700,uid={user},gid={group}"
    _mount("tmpfs", mount_point + FOLDER, "tmpfs", _NOSUID | _NODEV | _NOEXEC, limits)
    os.chdir(mount_point)
    libc.syscall("pivot_root", _PIVOT_ROOT[platform.machine()], b".", b".")
    libc.call("umount2", b".", _DETACH)
    os.chdir(FOLDER)


def _build_tree(root: str, shown: list[str]) -> None:
    """Make a read-only tree under `root` in which the shown paths stand where they always do."""
    _mount("tmpfs", root, "tmpfs", _NOSUID, "size=1m,mode=755")
    Path(root + FOLDER).mkdir()
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
    libc.syscall("mount_setattr", _MOUNT_SETATTR, *where, attributes, len(attributes))


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    libc.call(
        "mount",
        source.encode(),
        target.encode(),
        None if kind is None else kind.encode(),
        flags,
        data.encode(),
    )
