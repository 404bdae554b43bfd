"""The sandbox with well-behaved programs: they pass exactly when they are right."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from evaluation.benchmarks.programs import pass_at_k, unbiased
from evaluation.sandbox import seccomp
from evaluation.sandbox.run import (
    Limits,
    Program,
    Protection,
    Verdict,
    run_all,
    run_program,
    strongest_protection,
)

#: Ample, so that a busy machine changes no verdict.
PATIENT = Limits(cpu_seconds=60, wall_seconds=300.0)

RIGHT = {
    "plain": ("def f(n):\n    return n + 1\n", "assert f(1) == 2\n"),
    "noise on both streams": (
        "import sys\nprint('start')\ndef f():\n    print('é' * 100_000)\n"
        "    print('no', file=sys.stderr)\n    return 1\n",
        "assert f() == 1\n",
    ),
    "unicode": ("def größe(s):\n    return s[::-1] + '☃𝄞'\n", "assert größe('çñ') == 'ñç☃𝄞'\n"),
    "lone surrogate": ("def f():\n    return '\\ud800'\n", "assert f() == '\\ud800'\n"),
    "imports": (
        "import array, bisect, collections, copy, datetime, decimal, fractions, functools\n"
        "import hashlib, heapq, itertools, json, math, operator, random, re, statistics, string\n"
        "from typing import *\n"
        "def f(xs: List[int]) -> int:\n    return heapq.nlargest(1, xs)[0]\n",
        "assert f([3, 9, 2]) == 9\n",
    ),
    "scripts do not run": (
        "def f():\n    return 1\nif __name__ == '__main__':\n    print(1 / 0)\n",
        "assert f() == 1\n",
    ),
    "changes its arguments in place": (
        "def f(xs, d, s):\n    xs.sort(); d['k'] = [1]; s.add(3)\n",
        "xs, d, s = [2, 1], {}, set()\nassert f(xs, d, s) is None\n"
        "assert xs == [1, 2] and d == {'k': [1]} and s == {3}\n",
    ),
    "functions of the tests": (
        "def f(g, xs):\n    return [g(x) for x in xs] + [max(xs, key=g)]\n",
        "assert f(lambda x: -x, [1, 2]) == [-1, -2, 1]\n",
    ),
    "functions of the candidate": (
        "def f(k):\n    return lambda x: x + k\n",
        "assert f(1)(2) == 3\nassert list(map(f(2), [1])) == [3]\n",
    ),
    "generators": (
        "def f():\n    n = 0\n    while True:\n        yield n\n        n += 1\n",
        "it = f()\nassert [next(it), next(it)] == [0, 1]\nassert next(iter(it)) == 2\n",
    ),
    "an own class": (
        "class Node:\n"
        "    def __init__(self, v): self.v, self.next = v, None\n"
        "    def __eq__(self, o): return self.v == o.v\n"
        "    def __len__(self): return self.v\n"
        "def last(n):\n    return n if n.next is None else last(n.next)\n",
        "root = Node(1)\nroot.next = Node(2)\nroot.next.next = Node(3)\n"
        "assert last(root).v == 3 and last(root) == Node(3) and last(root) != Node(1)\n"
        "assert len(root) == 1 and isinstance(root, Node) and not isinstance(3, Node)\n",
    ),
    "exceptions": (
        "class Mine(ValueError): pass\ndef f(n):\n    if n < 0: raise Mine('negative')\n"
        "    return {}['k']\n",
        "for n, kind in ((-1, ValueError), (1, KeyError)):\n"
        "    try:\n        f(n)\n    except kind:\n        continue\n    assert False\n",
    ),
    "subclasses of plain types": (
        "import collections, enum\nP = collections.namedtuple('P', 'x y')\n"
        "class E(enum.IntEnum): A = 3\nclass S(str, enum.Enum): A = 'raw'\n"
        "def f():\n    return [P(1, 2), E.A, S.A, collections.Counter('aa')]\n",
        "assert f() == [(1, 2), 3, 'raw', {'a': 2}]\n",
    ),
    "its own name of a built-in": ("def sum(a, b):\n    return a + b\n", "assert sum(2, 3) == 5\n"),
    "modules that the candidate imported": (
        "import math\ndef f():\n    return 0.1 + 0.2\n",
        "assert math.isclose(f(), 0.3)\n",
    ),
    "huge numbers": ("def f(n):\n    return 7 ** n\n", "assert f(20_000) == 7 ** 20_000\n"),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(xs):\n    with ThreadPoolExecutor(2) as p: return list(p.map(abs, xs))\n",
        "assert f([-1, 2]) == [1, 2]\n",
    ),
    "files in its folder": (
        "import os, tempfile\ndef f():\n"
        "    with open('a.txt', 'w') as s: s.write('x')\n"
        "    with tempfile.NamedTemporaryFile('w') as t: t.write('y')\n"
        "    return open(os.path.expanduser('~/a.txt')).read(), os.listdir()\n",
        "assert f() == ('x', ['a.txt'])\n",
    ),
    "asyncio": (
        "import asyncio\nasync def g():\n    await asyncio.sleep(0)\n    return 1\n"
        "def f():\n    return asyncio.run(g())\n",
        "assert f() == 1\n",
    ),
    "dataclasses": (
        "from __future__ import annotations\nfrom dataclasses import dataclass, astuple\n"
        "@dataclass\nclass D:\n    a: int\ndef f():\n    return astuple(D(1))\n",
        "assert f() == (1,)\n",
    ),
    "objects of its own": (
        "class Point:\n    def __init__(self, x): self.x = x\n"
        "    def __eq__(self, o): return isinstance(o, Point) and self.x == o.x\n"
        "def f(): return Point(1)\n",
        "p = f()\nassert p == Point(1) != Point(2) and p is p and type(p) is Point\n",
    ),
    "its own helper with a built-in's name": (
        "def sum(xs, start=None):\n    return 'mine'\ndef f(xs):\n    return sum(xs)\n",
        "assert f([1]) == 'mine' and sum([1, 2]) == 3\n",
    ),
    "state that the tests look at": (
        "calls = 0\ndef f():\n    global calls\n    calls += 1\n",
        "f()\nf()\nassert calls == 2\n",
    ),
    "no tests": ("x = 1\n", ""),
}

WRONG = {
    "a wrong result": (*RIGHT["plain"][:1], "assert f(1) == 3\n", "AssertionError (line 1"),
    "a later failure": (RIGHT["plain"][0], "assert f(1) == 2\n\nassert f(2) == 2\n", "(line 3"),
    "a syntax error": ("def f(:\n", "assert True\n", "SyntaxError"),
    "cut off": ("def f():\n", "assert True\n", "IndentationError"),
    "an error at import": ("1 / 0\n", "assert True\n", "ZeroDivisionError: division by zero"),
    "a missing function": ("g = 1\n", "assert f() == 1\n", "NameError: name 'f' is not defined"),
    "a missing module": ("import no_such_thing\n", "", "ModuleNotFoundError"),
    "an own exception": (
        "class Mine(Exception): pass\ndef f():\n    raise Mine('why')\n",
        "f()\n",
        "why (line 1 of the tests)",
    ),
    "reading input": ("n = input()\n", "", "EOFError"),
    "the wrong type": ("def f():\n    return (1, 2)\n", "assert f() == [1, 2]\n", "AssertionError"),
    "an iterator for a list": ("def f():\n    return map(int, '12')\n", "assert f() == [1, 2]", ""),
    "a null byte": ("x = 1\0\n", "", "null bytes"),
    "broken tests": ("x = 1\n", "assert (\n", "SyntaxError"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_program_passes(name: str) -> None:
    verdict = run_program(Program(*RIGHT[name]), limits=PATIENT)
    assert (verdict.outcome, verdict.detail) == ("passed", "")
    assert verdict.wall_seconds > 0


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_fails_with_its_reason(name: str) -> None:
    candidate, tests, reason = WRONG[name]
    verdict = run_program(Program(candidate, tests), limits=PATIENT)
    assert verdict.outcome == "failed", verdict
    assert reason in verdict.detail
    assert "\n" not in verdict.detail


def test_run_all_keeps_the_order() -> None:
    programs = [Program(f"x = {n}", f"assert x == {n} and x % 3") for n in range(10)]
    verdicts = run_all(programs, workers=3, limits=PATIENT)
    assert [verdict.passed for verdict in verdicts] == [n % 3 != 0 for n in range(10)]
    assert run_all([], workers=1) == []


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n: int, data: Any) -> None:
    k, correct = data.draw(st.integers(1, n)), data.draw(st.integers(0, n))
    subsets = list(combinations(range(n), k))
    share = sum(min(subset) < correct for subset in subsets) / len(subsets)
    assert unbiased(n, correct, k) == pytest.approx(share)


@pytest.mark.parametrize("numbers", [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)])
def test_pass_at_k_refuses_impossible_counts(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no pass@"):
        unbiased(*numbers)


def test_pass_at_k_is_the_mean_over_tasks_of_what_passes() -> None:
    add, times = "def add(a, b): return a + b", "def add(a, b): return a * b"
    references = ["assert add(2, 3) == 5", "assert add(0, 0) == 1"]
    scores = pass_at_k(references, [[add, times], [add, times]], k=[1, 2, 3])
    assert scores == {"pass@1": 0.25, "pass@2": 0.5}


@pytest.mark.parametrize(("references", "predictions"), [([], []), (["x"], []), (["x"], [[]])])
def test_pass_at_k_refuses_tasks_without_candidates(references: Any, predictions: Any) -> None:
    with pytest.raises(ValueError, match="at least one prediction"):
        pass_at_k(references, predictions, k=[1])


def test_what_could_not_be_run_is_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    strongest_protection()  # found out before it is broken
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BadInput, match="sandbox: a program could not be run") as caught:
        pass_at_k(["x"], [["y"]], k=[1])
    assert len(str(caught.value).splitlines()) == 1


def test_a_sandbox_that_is_killed_is_no_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A candidate can do it if signals are not refused, and must not end the whole run so."""
    suicide = tmp_path / "suicide"
    suicide.write_text("#!/bin/sh\nkill -9 $$\n")
    suicide.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(suicide))
    verdict = run_program(Program("", ""), limits=PATIENT, protection=Protection(*[True] * 4))
    assert (verdict.outcome, verdict.detail) == ("killed", "signal 9 ended the sandbox")


def test_the_protection_in_force_is_said_in_words() -> None:
    assert strongest_protection() is strongest_protection()
    everything = Protection(True, True, True, True).describe()
    assert "namespaces, Landlock, seccomp, another user id" in everything
    assert "NOT" not in everything
    assert "faults in the kernel" in everything
    nothing = Protection(False, False, False, False).describe()
    assert "Files are NOT protected" in nothing
    assert "The network is NOT blocked" in nothing
    assert "signals to your other processes" in nothing


def test_what_was_tried_and_refused_is_said_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_here(_: Program, *, protection: Protection, **__: object) -> Verdict:
        if protection.namespaces:
            detail = "the sandbox: namespaces: unshare: Operation not permitted"
            return Verdict("error", detail, 0.0, 0.0)
        return Verdict("passed", "", 0.0, 0.0)

    monkeypatch.setattr("evaluation.sandbox.run.run_program", run_here)
    found = strongest_protection.__wrapped__()
    assert not found.namespaces
    assert found.refused == ("namespaces: unshare: Operation not permitted",)
    assert "refused: namespaces: unshare: Operation not permitted." in found.describe()


def test_programs_of_root_are_said_to_run_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can read a Python in root's home folder, if there is no namespace to show it."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    said = "Programs run as root, without its capabilities: no other user can read this Python"
    assert said in Protection(False, True, True, other_user=False).describe()
    assert said not in Protection(False, True, True, other_user=True).describe()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert said not in Protection(False, True, True, other_user=False).describe()


def test_libraries_under_the_temporary_folder_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a virtual environment there; the program's own temporary folder is another."""
    if not (strongest_protection().namespaces and str(tmp_path).startswith("/tmp/")):
        pytest.skip("no namespaces here, or temporary files elsewhere")
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "lent.py").write_text("VALUE = 7\n")
    library.chmod(0o755)
    monkeypatch.syspath_prepend(str(library))
    candidate = (
        "import lent, tempfile\n"
        "def f():\n    with tempfile.TemporaryFile() as s: return s.write(b'abcdefg')\n"
    )
    verdict = run_program(Program(candidate, "assert f() == lent.VALUE"), limits=PATIENT)
    assert verdict.passed, verdict
    outside = "import os\ndef f(): return os.listdir('/tmp')\n"
    run = run_program(Program(outside, "raise AssertionError(f())"), limits=PATIENT)
    assert "PermissionError" in run.detail or str([tmp_path.parts[2]]) in run.detail


def test_a_part_that_cannot_be_set_up_is_named() -> None:
    verdict = run_program(
        Program("x = 1", ""),
        limits=replace(PATIENT, open_files=-2),
        protection=Protection(*[False] * 4),
    )
    assert verdict.outcome == "error"
    assert verdict.detail.startswith("the sandbox: limits: RLIMIT_NOFILE")


def test_it_imports_and_describes_itself_on_another_system() -> None:
    program = (
        "import sys, zoneinfo; sys.platform = 'darwin'\n"  # which looks at Python's own build
        "from evaluation.sandbox import run\n"
        "weak = run._strongest_first()\n"
        "assert all(not (it.namespaces or it.landlock or it.seccomp) for it in weak)\n"
        "assert 'address space' in weak[0].describe()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_protection_that_cannot_be_set_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    verdict = run_program(Program("", ""), limits=PATIENT, protection=Protection(*[True] * 4))
    assert verdict.outcome == "error"
    assert "did not start" in verdict.detail


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's own table")
@pytest.mark.parametrize(
    ("column", "header", "prefixes"),
    [
        (0, "x86_64-linux-gnu/asm/unistd_64.h", ("__NR_",)),
        (1, "asm-generic/unistd.h", ("__NR_", "__NR3264_")),
    ],
)
def test_system_calls_have_the_kernels_numbers(
    column: int, header: str, prefixes: tuple[str, ...]
) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip(f"{path} is not installed")
    words = [line.split() for line in path.read_text().splitlines() if "#define __NR" in line]
    table = {it[1]: it[2] for it in words if len(it) > 2 and it[2].isdigit()}
    known = {
        name: row[column]
        for name, row in {
            **seccomp._REFUSED,
            **seccomp._REFUSED_ON_FILES,
            "clone": seccomp._CLONE,
            "clone3": seccomp._CLONE3,
            "kill": seccomp._KILL,
            "tgkill": seccomp._TGKILL,
            "prctl": seccomp._PRCTL,
            "fcntl": seccomp._FCNTL,
            "ioctl": seccomp._IOCTL,
            "prlimit64": seccomp._PRLIMIT,
        }.items()
    }
    newest = max(map(int, table.values()))  # that these headers know
    for name, number in known.items():
        if number is not None and number > newest:
            continue
        found = [table[prefix + name] for prefix in prefixes if prefix + name in table]
        assert found == ([] if number is None else [str(number)]), name


def benchmark_rows(*parts: str) -> list[dict[str, Any]]:
    folder = os.environ.get("DUO_SHARED")
    path = Path(folder or "no-such-folder", "benchmarks", *parts)
    if not path.exists():
        pytest.skip("DUO_SHARED names no folder with the benchmarks' data")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def failed(programs: dict[Any, Program], *, sample: int | None) -> list[Any]:
    """List the programs (of a fixed random sample, or of all) that do not pass."""
    names = list(programs)
    if sample is not None and "DUO_ALL_PROGRAMS" not in os.environ:
        names = sorted(random.Random(7).sample(names, sample))
    verdicts = run_all([programs[name] for name in names], workers=2, limits=PATIENT)
    return [name for name, verdict in zip(names, verdicts, strict=True) if not verdict.passed]


def test_humaneval_reference_solutions_pass() -> None:
    rows = benchmark_rows("openai_humaneval", "openai_humaneval", "test.jsonl.gz")
    programs = {
        row["task_id"]: Program(
            row["prompt"] + row["canonical_solution"],
            f"{row['test']}\ncheck({row['entry_point']})",
        )
        for row in rows
    }
    assert len(programs) == 164
    assert failed(programs, sample=None) == []


def test_mbpp_reference_solutions_pass() -> None:
    rows = benchmark_rows("mbpp", "full", "test.jsonl.gz")
    bare = {row["task_id"]: Program(row["code"], "\n".join(row["test_list"])) for row in rows}
    whole = {
        row["task_id"]: Program(row["code"], "\n".join([row["test_setup_code"], *row["test_list"]]))
        for row in rows
    }
    assert len(bare) == 500
    # Task 367 needs its set-up code; task 123 takes seconds.
    assert failed({367: bare[367]}, sample=None) == [367]
    assert failed({name: whole[name] for name in (123, 367)}, sample=None) == []
    assert failed(whole, sample=60) == []
