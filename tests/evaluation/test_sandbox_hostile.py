"""Candidates that try to do harm: to the machine, to the user's files, to other processes.

Each runs under the strongest protection of this machine and under each fall-back that works here.
"""

from __future__ import annotations

import ast
import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.sandbox import confine
from evaluation.sandbox.run import (
    _TRIAL,
    MIB,
    Limits,
    Program,
    Protection,
    Verdict,
    remove,
    run_program,
    strongest_protection,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have limits only")

LIMITS = Limits(
    cpu_seconds=5,
    wall_seconds=120.0,
    memory_bytes=256 * MIB,
    processes=8,
    file_bytes=2 * MIB,
    disk_bytes=4 * MIB,
)
WAYS: dict[str, dict[str, bool]] = {
    "strongest": {},
    "namespaces of a user without privileges": {"other_user": False},
    "no seccomp": {"seccomp": False},
    "no namespaces": {"namespaces": False},
    "no namespaces, own user": {"namespaces": False, "other_user": False},
}


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> Protection:
    strongest = strongest_protection()
    chosen = replace(strongest, **WAYS[request.param])
    if request.param != "strongest" and chosen == strongest:
        pytest.skip("the strongest protection here is this one already")
    if not (chosen.namespaces or (chosen.landlock and chosen.seccomp)):
        pytest.skip("this machine permits limits only")
    trial = run_program(_TRIAL, limits=LIMITS, protection=chosen)
    if not trial.passed:
        pytest.skip(f"programs do not run in this way here: {trial.detail}")
    return chosen


def run(source: str, way: Protection, *, tests: str = "attack()", **limits: Any) -> Verdict:
    return run_program(Program(source, tests), limits=replace(LIMITS, **limits), protection=way)


def said(source: str, way: Protection, **limits: Any) -> Any:
    """Return what the candidate's `attack()` returns: plain data in the detail of a failure."""
    verdict = run(source, way, tests="raise AssertionError(repr(attack()))", **limits)
    assert verdict.outcome == "failed", verdict
    text = verdict.detail.removeprefix("AssertionError: ").removesuffix(" (line 1 of the tests)")
    return ast.literal_eval(text)


#: Tries each function of a list; what it returned, or the name of the error that it raised.
TRY_EACH = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    result = getattr(libc, name)(*args)
    if result == -1: raise OSError(ctypes.get_errno(), name)
    return 'done'
def attack():
    said = []
    for act in ACTS:
        try: said.append(act() or 'done')
        except Exception as error: said.append(type(error).__name__)
    return said
"""


def own(mark: str) -> str:
    """The mark as a process name (15 bytes at most) of this test process alone: others run too."""
    return f"{mark.removeprefix('duo-')}-{os.getpid()}"[:15]


def marked(mark: str) -> list[int]:
    """Processes that this mark was given, wherever they are."""
    found = []
    for name in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if name.read_text().strip() == own(mark):
                found.append(int(name.parent.name))
    return found


def mark_source(mark: str) -> str:
    return f"import ctypes; ctypes.CDLL(None).prctl(15, {own(mark).encode()!r}, 0, 0, 0)\n"


@pytest.fixture
def canary() -> Iterator[Path]:
    """A file that everybody may read and change, in a folder that everybody may change."""
    folder = Path(tempfile.mkdtemp(prefix="duo-canary-"))
    folder.chmod(0o777)
    file = folder / "canary.txt"
    file.write_text("alive")
    file.chmod(0o666)
    yield file
    shutil.rmtree(folder)


# Processes and time


FORKS = """
import os, time
def attack():
    made = 0
    try:
        for _ in range(100):
            if os.fork() == 0: time.sleep(600)
            made += 1
    except OSError as error: return made, type(error).__name__
    return made, ''
"""


def test_forks_are_refused_or_few(way: Protection) -> None:
    made, error = said(mark_source("duo-fork") + FORKS, way)
    assert made < LIMITS.processes
    assert error == ("PermissionError" if way.seccomp else "BlockingIOError")
    assert marked("duo-fork") == []


def test_a_fork_bomb_is_gone_afterwards(way: Protection) -> None:
    bomb = (
        "import os\ndef attack():\n    while True:\n        try: os.fork()\n"
        "        except OSError: pass\n"
    )
    verdict = run(mark_source("duo-bomb") + bomb, way, cpu_seconds=1, wall_seconds=3.0)
    assert verdict.outcome == "timeout"
    assert marked("duo-bomb") == []


def test_threads_are_few(way: Protection) -> None:
    source = (
        "import threading, time\ndef attack():\n    made = 0\n    try:\n"
        "        for _ in range(200):\n"
        "            threading.Thread(target=time.sleep, args=[600], daemon=True).start()\n"
        "            made += 1\n    except RuntimeError: pass\n    return made\n"
    )
    # Where the program is root's, memory for stacks limits their number, not the user's processes.
    most = LIMITS.processes if way.other_user or os.geteuid() else 100
    assert said(source, way) < most


def test_a_daemon_does_not_outlive_the_program(way: Protection) -> None:
    source = (
        "import os, time\n"
        "def attack():\n"
        "    try:\n"
        "        if os.fork() == 0:\n            os.setsid()\n"
        "            if os.fork() == 0:\n                time.sleep(600)\n            os._exit(0)\n"
        "    except OSError: pass\n"
    )
    for end, outcome in (("", "passed"), ("\n    os._exit(0)", "failed")):
        verdict = run(mark_source("duo-daemon") + source + end, way)
        assert verdict.outcome == outcome
        assert verdict.wall_seconds < 60  # the daemon held the pipe of the verdict open
        assert marked("duo-daemon") == []


@pytest.mark.parametrize(
    "source",
    [
        "while True: pass",
        "import signal\nfor n in range(1, 64):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "while True: pass",
        "7 ** 7 ** 77",
        "def attack():\n    while True: print('x' * 1000)",
    ],
    ids=["endless loop", "ignores every signal", "huge number", "endless output"],
)
def test_cpu_time_ends_it(source: str, way: Protection) -> None:
    assert run(source, way, cpu_seconds=1).outcome == "timeout"


def test_endless_output_does_not_reach_the_caller(way: Protection) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run("import os\nwhile True: os.write(1, b'x' * 65536)", way, cpu_seconds=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_wall_time_ends_what_sleeps(way: Protection) -> None:
    source = mark_source("duo-sleep") + "import time; time.sleep(600)"
    verdict = run(source, way, wall_seconds=1.0)
    assert (verdict.outcome, verdict.detail) == ("timeout", "not done after 1 seconds")
    assert marked("duo-sleep") == []


def test_nothing_outlives_a_killed_caller(way: Protection, canary: Path) -> None:
    mark = f"duo-{os.getpid()}"
    code = (
        "import sys; sys.path = eval(sys.argv[1])\n"
        "from evaluation.sandbox.run import Program, Protection, run_program\n"
        "run_program(Program(sys.argv[2], ''), protection=Protection(**eval(sys.argv[3])))\n"
    )
    program = mark_source(mark) + "import time; time.sleep(600)"
    arguments = [repr(sys.path), program, repr(asdict(way))]
    # The killed caller cannot delete the program's folder: have it where this test does.
    environment = {**os.environ, "TMPDIR": str(canary.parent)}
    caller = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)
    try:
        _until(lambda: bool(marked(mark)))
    finally:
        caller.kill()
        caller.wait()
    _until(lambda: not marked(mark))


def _until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# Memory and disk


@pytest.mark.parametrize(
    "source",
    [
        "x = 'x' * 10 ** 12",
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "x = list(range(10 ** 9))",
        "import mmap\nx = [mmap.mmap(-1, 1 << 20) for _ in range(4096)]",
    ],
)
def test_memory_is_limited(source: str, way: Protection) -> None:
    verdict = run(source, way)
    assert verdict.outcome in ("memory", "failed"), verdict
    assert "MemoryError" in verdict.detail or "Cannot allocate memory" in verdict.detail


@pytest.mark.parametrize("depth", ["", "import sys; sys.setrecursionlimit(10 ** 9)\n"])
def test_recursion_ends_it(depth: str, way: Protection) -> None:
    verdict = run(depth + "def attack(n=0): return attack(n + 1)", way, cpu_seconds=1)
    assert verdict.outcome in ("failed", "killed", "memory", "timeout")


def test_one_file_is_limited(way: Protection) -> None:
    source = (
        "import os\ndef attack():\n    try:\n        with open('big', 'wb') as s:\n"
        "            while True: s.write(bytes(1 << 16))\n"
        "    except OSError: return os.path.getsize('big')\n"
    )
    assert said(source, way) <= LIMITS.file_bytes


def test_many_files_are_limited(way: Protection) -> None:
    source = (
        "import time\ndef attack():\n    n = 0\n    try:\n        while n < 64:\n"
        "            with open(str(n), 'wb') as s: s.write(bytes(1 << 20))\n            n += 1\n"
        "    except OSError: return n\n    time.sleep(600)\n"
    )
    if way.namespaces:
        assert said(source, way) <= LIMITS.disk_bytes // MIB
    else:
        verdict = run(source, way)
        assert (verdict.outcome, verdict.detail) == (
            "killed",
            "the program filled or locked its folder",
        )


def test_limits_cannot_be_raised(way: Protection) -> None:
    acts = "[lambda r=r, v=v: resource.setrlimit(r, (v, v)) for r in ("
    acts += "resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE)"
    acts += " for v in (1 << 40, -1)]"
    source = TRY_EACH + f"import resource\nACTS = {acts}\n"
    assert set(said(source, way)) <= {"ValueError", "PermissionError"}


def test_memory_beside_the_limits_is_refused(way: Protection) -> None:
    if not way.seccomp:
        pytest.skip("only seccomp refuses it")
    acts = "[lambda: os.memfd_create('x'), lambda: call('shmget', 0, 1 << 20, 0o1600)]"
    assert said(TRY_EACH + f"ACTS = {acts}\n", way) == ["PermissionError", "PermissionError"]


# Files


def test_files_of_others_can_be_neither_read_nor_changed(way: Protection, canary: Path) -> None:
    where, place = str(canary), str(canary.parent)
    source = TRY_EACH + (
        "import shutil\n"
        f"ACTS = [lambda: open({where!r}).read(), lambda: open({where!r}, 'w').write('dead'),\n"
        f"    lambda: os.remove({where!r}), lambda: os.rename({where!r}, {where + 'x'!r}),\n"
        f"    lambda: os.listdir({place!r}), lambda: shutil.rmtree({place!r}),\n"
        f"    lambda: open({place + '/new'!r}, 'w').close(), lambda: os.mkdir({place + '/n'!r}),\n"
        f"    lambda: os.truncate({where!r}, 0), lambda: os.link({where!r}, 'hard'),\n"
        f"    lambda: os.symlink({place!r}, 'soft') or os.remove('soft/canary.txt'),\n"
        f"    lambda: os.listdir(os.path.dirname(os.path.dirname(os.getcwd())))]\n"
    )
    results = said(source, way)
    above = results.pop()  # the root folder, where it can be listed, holds nothing of the user's
    assert above == "PermissionError" or "home" not in above
    assert set(results) <= {"PermissionError", "FileNotFoundError", "OSError", "NotADirectoryError"}
    assert canary.read_text() == "alive"
    assert list(canary.parent.iterdir()) == [canary]


def test_the_home_folder_is_out_of_reach(way: Protection) -> None:
    homes = [str(Path.home()), "/root", "/home", "/etc/passwd", "/etc/shadow", "/proc/1/environ"]
    source = TRY_EACH + (
        "def look(p): return os.listdir(p) if os.path.isdir(p) else open(p).read()\n"
        f"ACTS = [lambda p=p: look(p) for p in {homes}]\n"
    )
    # "done": an empty folder of the same name, in a world of its own
    assert set(said(source, way)) <= {"PermissionError", "FileNotFoundError", "done"}


def test_a_folder_made_undeletable_is_deleted(
    way: Protection, monkeypatch: pytest.MonkeyPatch, canary: Path
) -> None:
    parent = canary.parent / "temporary"
    parent.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    source = (
        "import os\nos.makedirs('a/b/c')\n"
        f"os.symlink({str(canary.parent)!r}, 'a/b/out')\nopen('a/b/f', 'w').close()\n"
        "os.mkdir('locked', 0)\nos.close(os.open('a/b/l', os.O_CREAT, 0))\n"
        "def attack():\n    for p in ('a/b/f', 'a/b/c', 'a/b', 'a', '.'):\n"
        "        try: os.chmod(p, 0)\n        except PermissionError: pass\n"
    )
    verdict = run(source, way)
    assert verdict.outcome in ("passed", "killed"), verdict
    assert list(parent.iterdir()) == []
    assert canary.read_text() == "alive"


LEFT = {
    "deep folders": (
        "import os\ndef attack():\n    n = 0\n    try:\n"
        "        for n in range(3000): os.mkdir('d' * 30); os.chdir('d' * 30)\n"
        "    except OSError: pass\n    return n\n"
    ),
    "folders nested 1,500 times": (
        "import os\ndef attack():\n    for n in range(1500): os.mkdir('d'); os.chdir('d')\n"
    ),
    "many files": (
        "def attack():\n    n = 0\n    try:\n"
        "        for n in range(200_000): open(str(n), 'w').close()\n"
        "    except OSError: pass\n    return n\n"
    ),
    "odd names": (
        "import os\ndef attack():\n    for name in (b'\\xff\\xfe', b'-rf', b'a\\nb', b' '):\n"
        "        os.mkdir(name); open(name + b'/' + name, 'w').close()\n"
    ),
    "odd permissions": (
        "import os\nos.umask(0)\ndef attack():\n    for mode in (0, 0o300, 0o100, 0o7777, 0o222):\n"
        "        os.mkdir(f'd{mode}', mode); os.close(os.open(f'f{mode}', os.O_CREAT, mode))\n"
    ),
    "things that are no files": (
        "import os, stat\ndef attack():\n    os.mkfifo('f'); os.mknod('s', stat.S_IFSOCK)\n"
        "    os.symlink('l', 'l'); os.symlink('.', 'o'); os.symlink('/', 'root')\n"
        "    open('a', 'w').close()\n    for n in range(99): os.link('a', f'a{n}')\n"
    ),
}
#: What is too much of it where no namespace limits it or makes it vanish.
TOO_MUCH = ("deep folders", "folders nested 1,500 times", "many files")


@pytest.mark.parametrize("what", LEFT)
def test_whatever_is_left_is_removed(
    what: str, way: Protection, monkeypatch: pytest.MonkeyPatch, canary: Path
) -> None:
    parent = canary.parent / "temporary"
    parent.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    verdict = run(LEFT[what], way)
    assert verdict.outcome in ("passed", "killed", "timeout"), verdict
    assert way.namespaces or what not in TOO_MUCH or not verdict.passed
    assert list(parent.iterdir()) == []


def test_what_cannot_be_removed_counts_as_failed(
    way: Protection, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []

    def fails(folder: str) -> str:
        removed.append(folder)
        return "Operation not permitted"

    with monkeypatch.context() as patch:
        patch.setattr("evaluation.sandbox.run.remove", fails)
        verdict = run("def attack(): pass", way)
    assert verdict.outcome == "killed"
    assert verdict.detail.startswith("the program left what cannot be removed: Operation not")
    assert remove(*removed) == ""


def test_what_others_may_do_with_files_cannot_be_changed(way: Protection, canary: Path) -> None:
    """Landlock knows nothing of permissions, owners, times and attributes."""
    if not (way.namespaces or way.seccomp):
        pytest.skip("nothing here refuses it")
    before = canary.stat()
    source = TRY_EACH + (
        f"p = {str(canary)!r}\n"
        "ACTS = [lambda: os.chmod(p, 0), lambda: os.chown(p, 1, 1), lambda: os.utime(p),\n"
        "    lambda: os.setxattr(p, 'user.x', b'x'), lambda: os.truncate(p, 0),\n"
        "    lambda: os.chmod(os.__file__, 0), lambda: os.utime(os.__file__)]\n"
    )
    assert set(said(source, way)) <= {"PermissionError", "FileNotFoundError", "OSError"}
    assert canary.stat() == before


def test_folders_deeper_than_a_path_are_removed(tmp_path: Path) -> None:
    """As the owner: locked at every depth, with links out, and names that are taken at the top."""
    kept = tmp_path / "kept"
    kept.write_text("alive")
    folder = tmp_path / "left"
    folder.mkdir()
    (folder / "0").write_text("")
    handle = os.open(folder, os.O_RDONLY)
    for depth in range(2500):
        name = str(depth % 3)
        os.mkdir(name + "d", dir_fd=handle)
        os.symlink(str(tmp_path), "out", dir_fd=handle)
        below = os.open(name + "d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    assert confine.overfull(str(folder), 2**40)
    folder.chmod(0)
    assert remove(str(folder)) == ""
    assert list(tmp_path.iterdir()) == [kept]
    assert kept.read_text() == "alive"


def test_the_environment_holds_no_secrets(way: Protection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUO_TEST_SECRET", "hush")
    source = TRY_EACH + (
        "def environment():\n"
        "    strings = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')\n"
        "    found, n = [], 0\n"
        "    while strings[n]: found.append(strings[n].decode()); n += 1\n"
        "    return found\n"
        "ACTS = [environment, lambda: dict(os.environ),\n"
        "    lambda: open('/proc/self/environ').read(),\n"
        "    lambda: open('/proc/%d/environ' % os.getppid()).read()]\n"
    )
    results = said(source, way)
    assert "HOME" in results[1]
    assert "hush" not in repr(results)
    assert str(Path.home()) not in results[1].values()


def test_no_descriptor_is_inherited(way: Protection) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    source = TRY_EACH + (
        "def kinds():\n    import stat\n    found = {}\n    for n in range(1024):\n"
        "        try: found[n] = stat.filemode(os.fstat(n).st_mode)[0]\n"
        "        except OSError: pass\n    return found\nACTS = [kinds]\n"
    )
    try:
        [found] = said(source, way)
    finally:
        os.close(reading)
        os.close(writing)
    # Nothing but /dev/null three times, and the pipe for the verdict.
    assert [found.pop(n) for n in (0, 1, 2)] == ["c", "c", "c"]
    assert list(found.values()) == ["p"]


# The network


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def test_no_connection_leaves(way: Protection, server: socket.socket, canary: Path) -> None:
    port, unix = server.getsockname()[1], str(canary.parent / "socket")
    own = socket.socket(socket.AF_UNIX)
    own.bind(unix)
    own.listen()
    Path(unix).chmod(0o777)
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0duo-{os.getpid()}")
    abstract.listen()
    abstract_name = f"\0duo-{os.getpid()}"
    source = TRY_EACH + (
        "import socket, urllib.request\n"
        "def tcp(where, family=socket.AF_INET):\n"
        "    with socket.socket(family) as s: s.settimeout(5); s.connect(where)\n"
        "def udp():\n"
        "    with socket.socket(type=socket.SOCK_DGRAM) as s: s.sendto(b'x', ('127.0.0.1', 9))\n"
        f"ACTS = [lambda: tcp(('127.0.0.1', {port})), lambda: tcp(('192.0.2.1', 80)),\n"
        f"    lambda: tcp(('::1', {port}), socket.AF_INET6), udp,\n"
        f"    lambda: tcp({unix!r}, socket.AF_UNIX),\n"
        f"    lambda: tcp({abstract_name!r}, socket.AF_UNIX),\n"
        f"    lambda: urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=5)]\n"
    )
    with own, abstract:
        results = said(source, way)
        assert "done" not in results, results
        for listening in (server, own, abstract):
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()


def test_the_server_of_that_test_can_be_reached(server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()):
        server.accept()[0].close()


# Other processes and the kernel


def test_other_processes_are_left_alone(way: Protection) -> None:
    caught: list[int] = []
    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.signal(number, lambda n, _: caught.append(n)) for number in handled}
    victim = subprocess.Popen(["sleep", "600"])
    source = TRY_EACH + (
        "import signal\n"
        f"PIDS = [{os.getpid()}, {victim.pid}, os.getppid(), 0, -1, 1]\n"
        "for n in (1, 2, 10, 15): signal.signal(n, signal.SIG_IGN)\n"
        "ACTS = [lambda p=p, n=n: os.kill(p, n) for p in PIDS[:2] for n in (1, 2, 10, 15, 9)]\n"
        "ACTS += [lambda n=n: os.kill(p, n) for p in PIDS[2:] for n in (1, 2, 10, 15)]\n"
        "ACTS += [lambda p=p: call('ptrace', 16, p, 0, 0) for p in PIDS[:3]]\n"
        "ACTS += [lambda p=p: os.pidfd_open(p) for p in PIDS[:2]]\n"
        "ACTS += [lambda p=p: os.setpriority(0, p, 19) for p in PIDS[:2]]\n"
        "ACTS += [lambda p=p: os.sched_setaffinity(p, [0]) for p in PIDS[:2]]\n"
    )
    try:
        verdict = run(source, way, tests="raise AssertionError(repr(attack()))")
        assert verdict.outcome == "failed"
        assert caught == []
        assert victim.poll() is None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        victim.kill()
        victim.wait()


def test_parts_of_the_kernel_that_no_program_needs_are_shut(way: Protection) -> None:
    if not way.seccomp:
        pytest.skip("only seccomp refuses all of it")
    source = TRY_EACH + (
        "import fcntl\n"
        "ACTS = [lambda: call('unshare', 0x10000000), lambda: call('unshare', 0x20000),\n"
        "    lambda: call('mount', b'none', b'/', b'tmpfs', 0, None), lambda: os.chroot('.'),\n"
        "    lambda: os.setsid(), lambda: call('prctl', 1, 0, 0, 0, 0),\n"
        "    lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid()),\n"
        "    lambda: call('syscall', 425, 1, 0), lambda: call('syscall', 321, 0, 0, 0),\n"
        "    lambda: os.execv('/bin/true', ['true']), lambda: os.system('true') and 1 / 0,\n"
        "    lambda: call('syscall', 435, 0, 0)]\n"
    )
    assert set(said(source, way)) == {"PermissionError", "OSError", "ZeroDivisionError"}


def test_root_is_given_up(way: Protection) -> None:
    source = (
        TRY_EACH + "ACTS = [lambda: [*os.getresuid(), *os.getresgid()], lambda: os.setuid(0)]\n"
    )
    ids, again = said(source, way)
    if way.other_user:
        assert len(set(ids)) == 1
        assert ids[0] >= 60_000
    if os.geteuid() or way.other_user:
        assert again in ("PermissionError", "OSError")  # forbidden, or no such user
