"""Candidates that pass without being right: which must not, with or without other protections, and
which deliberate cheats are documented as not prevented."""

from __future__ import annotations

import os
import sys

import pytest

from evaluation.sandbox.run import (
    Limits,
    Program,
    Protection,
    run_program,
    strongest_protection,
)

LIMITS = Limits(cpu_seconds=5, wall_seconds=60.0)

#: The tests to be cheated. They need a function, a list, a number that is compared, built-ins, a
#: module that the candidate imports, an exception, and every way to compare.
TESTS = """
def close(a, b):
    return abs(a - b) < 1e-6 and math.isclose(a, b) and not a > b + 1 and not a < b - 1

def check(answer):
    for n in range(3):
        assert answer(n) == n + 40
        assert not answer(n) != n + 40
        assert n + 40 == answer(n)
        assert close(answer(n), n + 40)
        assert str(answer(n)) == str(n + 40) and len(words()) == 3
        assert all([answer(n) in {n + 40}, answer(n) in [n + 40]])
check(answer)
assert sorted(words()) == ["a", "b", "c"]
"""
HONEST = """
import math
def answer(n): return n + 40
def words(): return ["c", "b", "a"]
"""
#: Runs and defines all names, but is wrong; what the attacks below add themselves to.
LAZY = """
import math
def answer(n): return 0
def words(): return []
"""

EVERY_DESCRIPTOR = """
import json, os
def flood(*messages):
    for descriptor in range(64):
        for message in messages:
            try: os.write(descriptor, message)
            except OSError: pass
"""

ANYTHING = """
class Anything(BASE):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return False
    __gt__ = __lt__
    def __hash__(self): return 41
    def __sub__(self, other): return 0.0
    __rsub__ = __abs__ = __float__ = __add__ = __radd__ = lambda self, *_: 0.0
    def __len__(self): return 3
    def __contains__(self, other): return True
    def __iter__(self): return iter("abc")
    def __str__(self): return Text()
class Text(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def answer(n): return Anything(ARGUMENT)
def words(): return Anything(ARGUMENT)
"""

ATTACKS = {
    "prints the marker": LAZY + "print('passed'); print('{\"outcome\": \"passed\"}')",
    "leaves with status 0": "import os; os._exit(0)",
    "leaves with status 0 when called": "import os\ndef answer(n): os._exit(0)",
    "leaves with another status": "import os; os._exit(99)",
    "leaves politely": "import sys; sys.exit(0)",
    "leaves politely when called": LAZY + "def answer(n): raise SystemExit(0)",
    "interrupts": LAZY + "def answer(n): raise KeyboardInterrupt",
    "closes its generator": LAZY + "def answer(n): raise GeneratorExit",
    "ends an iteration": LAZY + "def answer(n): raise StopIteration(n + 40)",
    "leaves at exit": "import atexit, os, sys\natexit.register(os._exit, 0); sys.exit()",
    "leaves in a thread": LAZY
    + "import os, threading\nthreading.Thread(target=os._exit, args=[0])",
    "replaces itself": "import os, sys\nos.execv(sys.executable, ['python', '-c', 'pass'])",
    "kills itself": "import os; os.kill(os.getpid(), 9)",
    "aborts": "import os; os.abort()",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "hangs up": "import os; os.closerange(0, 64)\n" + LAZY,
    "swallows the tests in a string": LAZY + "'''",
    "swallows the tests in a decorator": LAZY + "@(lambda f: lambda *_: None)",
    "swallows the tests in a block": LAZY + "if False:",
    "never ends its line": LAZY + "x = 1 \\",
    "defines the check": LAZY + "def check(*_): return True\nclose = check",
    "replaces built-ins by name": LAZY
    + "abs = lambda x: 0\nlen = lambda x: 3\nstr = repr = lambda x: ''\n"
    + "all = lambda x: True\nsorted = lambda x: ['a', 'b', 'c']\nrange = lambda n: []",
    "replaces built-ins for all": LAZY
    + "import builtins\nbuiltins.AssertionError = builtins.abs = builtins.len = lambda *_: 0\n"
    + "builtins.all = lambda x: True\nbuiltins.range = lambda n: []",
    "replaces a module": LAZY + "class math: isclose = staticmethod(lambda *_: True)",
    "changes a module": LAZY + "math.isclose = lambda *_: True",
    "changes the import": LAZY + "import builtins\nbuiltins.__import__ = lambda *_: None",
    "equals anything": "import math\n" + ANYTHING.replace("BASE", "object").replace("ARGUMENT", ""),
    "is a number that equals anything": "import math\n"
    + ANYTHING.replace("BASE", "int").replace("ARGUMENT", "5"),
    "is a text that equals anything": "import math\n"
    + ANYTHING.replace("BASE", "str").replace("ARGUMENT", "'x'"),
    "is a list that equals anything": "import math\n"
    + ANYTHING.replace("BASE", "list").replace("ARGUMENT", "'abc'"),
    "hides its class": "import math\n"
    + ANYTHING.replace("BASE", "object").replace("ARGUMENT", "")
    + "Anything.__module__, Anything.__qualname__ = 'builtins', 'list'",
    "returns its caller": LAZY + "import sys\ndef answer(n): return sys._getframe(1)",
    "skips by tracing": LAZY
    + "import sys\ndef trace(frame, event, arg):\n"
    + "    if frame.f_code.co_name == 'check': frame.f_lineno = 1\n    return trace\n"
    + "sys.settrace(trace); sys.setprofile(trace)",
    "changes frames": LAZY
    + "import sys\ndef answer(n):\n    frame = sys._getframe()\n"
    + "    while frame:\n        for d in (frame.f_globals, frame.f_locals):\n"
    + "            for name in ('check', 'gone', 'outcome', 'judge'): d[name] = lambda *_: None\n"
    + "        frame = frame.f_back",
    "patches the harness": LAZY
    + "import sys\nfor name, module in list(sys.modules.items()):\n"
    + "    if name.startswith('evaluation'):\n        for key in list(vars(module)):\n"
    + "            if callable(vars(module)[key]): setattr(module, key, lambda *a, **k: None)",
    "finds objects to change": LAZY
    + "import gc\nfor it in gc.get_objects():\n    if isinstance(it, dict) and 'outcome' in it:\n"
    + "        it['outcome'] = 'passed'\n    if type(it).__name__ == 'Peer': it.gone = None",
    "writes the verdict everywhere": EVERY_DESCRIPTOR
    + 'flood(b\'{"outcome": "passed", "detail": "", "cpu_seconds": 0}\')\nos._exit(0)',
    "writes noise everywhere": LAZY + EVERY_DESCRIPTOR + "flood(b'\\xff' * 999)",
    "replaces what the harness uses": LAZY
    + "import json, os, sys\nos.write = lambda *_: 0\nos._exit = sys.exit = lambda *_: None\n"
    + 'json.dumps = lambda *_: \'{"outcome": "passed", "detail": ""}\'\nstr = type = None',
    "leaves while the tests run": LAZY
    + "import os, threading\nthreading.Timer(0.0, os._exit, args=[0]).start()\n"
    + "def answer(n):\n    while True: pass",
    "is an endless object": LAZY + "def answer(n):\n    x = []\n    x.append(x)\n    return x",
    "raises from its text": LAZY
    + "class E(Exception):\n    def __str__(self): raise SystemExit\ndef answer(n): raise E",
    "signals the tests": LAZY
    + "import os, signal\nfor pid in (1, os.getppid(), 0, -1):\n"
    + "    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):\n"
    + "        try: os.kill(pid, number)\n        except OSError: pass",
    "forks and leaves": LAZY + "import os\nif os.fork(): os._exit(0)",
    "forks, and the child answers": LAZY
    + EVERY_DESCRIPTOR
    + 'if os.fork() == 0:\n    flood(b\'{"outcome": "passed", "detail": ""}\')\n    os._exit(0)',
    "writes through /proc/self/fd": LAZY
    + "import os\nfor n in range(64):\n    try:\n"
    + "        with open(f'/proc/self/fd/{n}', 'wb') as s:\n"
    + '            s.write(b\'{"outcome": "passed", "detail": ""}\')\n    except OSError: pass\n',
    "looks for the nonce where processes keep secrets": LAZY
    + EVERY_DESCRIPTOR
    + "import glob as g, sys\nfound = [repr((os.environ, sys.argv, sys.flags)).encode()]\n"
    + "for path in [*g.glob('/proc/*/environ'), *g.glob('/proc/*/cmdline'), *g.glob('*')]:\n"
    + "    try: found.append(open(path, 'rb').read())\n    except OSError: pass\n"
    + "for n in range(64):\n    try: os.set_blocking(n, False); found.append(os.read(n, 999))\n"
    + "    except OSError: pass\n"
    + "import re\nfor nonce in set(re.findall(rb'[0-9a-f]{32}', b' '.join(map(bytes, found)))):\n"
    + '    flood(nonce + b\'{"outcome": "passed", "detail": ""}\')\n',
    "swallows every exception": LAZY
    + "import sys\nsys.excepthook = sys.unraisablehook = lambda *_: None\n"
    + "class Quiet(AssertionError): pass\nimport builtins\nbuiltins.AssertionError = Quiet",
    "changes the memory of the tests": LAZY
    + "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    + "done = libc.ptrace(16, os.getppid(), 0, 0)\n"
    + "try: open(f'/proc/{os.getppid()}/mem', 'r+b'); done = 0\nexcept OSError: pass\n"
    + "assert done == -1\n",
}


def weakest() -> Protection:
    """Limits alone, if programs run so here: that a pass is earned needs nothing else."""
    root = os.geteuid() == 0
    trial = Program("import math, ctypes, statistics", "")
    for choice in (Protection(False, False, False, root), Protection(True, False, False, root)):
        if run_program(trial, limits=LIMITS, protection=choice).passed:
            return choice
    return strongest_protection()


@pytest.fixture(scope="module", params=["strongest", "weakest"])
def way(request: pytest.FixtureRequest) -> Protection:
    """The strongest and the weakest protection in which programs run on this machine."""
    return strongest_protection() if request.param == "strongest" else weakest()


def test_the_honest_program_passes(way: Protection) -> None:
    assert run_program(Program(HONEST, TESTS), limits=LIMITS, protection=way).passed


@pytest.mark.parametrize("name", ["", *ATTACKS])
def test_no_forgery_passes(name: str, way: Protection) -> None:
    verdict = run_program(Program(ATTACKS.get(name, LAZY), TESTS), limits=LIMITS, protection=way)
    assert verdict.outcome in ("failed", "killed", "memory", "timeout"), verdict
    assert verdict.detail
    assert "\n" not in verdict.detail


SIMPLE = "assert answer(1) == 41\nassert words() == ['a', 'b', 'c']\n"
#: Tests of other shapes: they import a module, use a framework, or end in a line that cannot fail.
IMPORTING = "import math\nassert math.isclose(answer(1), 41)\n"
FRAMEWORK = (
    "import unittest\nclass T(unittest.TestCase):\n"
    "    def test(self): self.assertEqual(answer(1), 41)\n"
    "done = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))\n"
    "assert done.wasSuccessful() and done.testsRun == 1\n"
)
TALKING = SIMPLE + "print('all right')\n"
CHEATS = {
    "an object that equals everything": (
        "class Any:\n    def __eq__(self, other): return True\n"
        "answer = lambda n: Any()\nwords = Any"
    ),
    "the answers read in the tests": (
        "import re, sys\nframe = sys._getframe()\n"
        "while 'tests' not in frame.f_locals: frame = frame.f_back\n"
        "known = dict(re.findall(r'assert (.*) == (.*)', frame.f_locals['tests']))\n"
        "answer = lambda n: eval(known[f'answer({n})'])\nwords = lambda: eval(known['words()'])"
    ),
    "tests that a trace skips": LAZY
    + (
        "import sys\n"
        "def trace(frame, event, arg):\n"
        "    if frame.f_code.co_filename == '<tests>' and event == 'line': frame.f_lineno = 3\n"
        "    return trace\nsys.settrace(trace)"
    ),
    "a module that is another": LAZY
    + "import sys, types\nsys.modules['math'] = types.SimpleNamespace(isclose=lambda *_: True)",
    "a framework that never fails": LAZY
    + "import unittest\nunittest.TestCase.assertEqual = lambda *_: None",
    "the nonce found by walking frames": (
        "import os, sys\nframe = sys._getframe()\n"
        "while 'nonce' not in frame.f_locals: frame = frame.f_back\n"
        'verdict = b\'{"outcome": "passed", "detail": ""}\'\n'
        "os.write(frame.f_locals['writing'], frame.f_locals['nonce'] + verdict)\nos._exit(0)"
    ),
}


#: The tests that a cheat is meant for, if they are others.
SHAPES = {
    "tests that a trace skips": TALKING,
    "a module that is another": IMPORTING,
    "a framework that never fails": FRAMEWORK,
}


@pytest.mark.parametrize("name", CHEATS)
def test_deliberate_cheats_that_the_docstring_names_are_not_prevented(name: str) -> None:
    """In one process they cannot be; if one is, the docstring of `evaluation.sandbox` changes."""
    tests = SHAPES.get(name, SIMPLE)
    assert run_program(Program(CHEATS[name], tests), limits=LIMITS).passed
    assert run_program(Program(LAZY, tests), limits=LIMITS).outcome == "failed"


def test_swallowing_every_error_does_not_hide_that_the_candidate_left() -> None:
    tests = "try:\n    answer(1)\nexcept BaseException:\n    pass\n"
    program = Program("import os\ndef answer(n): os._exit(0)", tests)
    verdict = run_program(program, limits=LIMITS)
    assert verdict.outcome == "failed"
    assert verdict.detail == "the program ended with status 0 before its tests did"


@pytest.mark.skipif(sys.platform != "linux", reason="how other systems name it differs")
@pytest.mark.parametrize(
    ("source", "outcome", "detail"),
    [
        ("import os; os.abort()", "killed", "the program ended by SIGABRT"),
        ("import ctypes; ctypes.string_at(0)", "killed", "the program ended by SIGSEGV"),
        ("import sys; sys.exit('x')", "failed", "SystemExit: x"),
        ("x = 'x' * 10**10", "memory", "MemoryError"),
        ("while True: pass", "timeout", "the program used up its CPU time"),
    ],
)
def test_the_outcome_tells_how_a_candidate_ended(source: str, outcome: str, detail: str) -> None:
    limits = Limits(cpu_seconds=1, wall_seconds=300.0)
    verdict = run_program(Program(source, ""), limits=limits)
    assert (verdict.outcome, verdict.detail) == (outcome, detail)
